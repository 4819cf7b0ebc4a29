"""DescribeLogDirs (35), versions 0-5: how much every partition holds (KIP-113).

There is one "directory", the data location. A partition's size is that of its record batches from
the block on that holds the log start; how much room the location has is not known (-1, KIP-827).
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.api.call import Call, error_code
from gateway.broker.partition import Partition
from gateway.fairness.slices import Slices
from protocol import ErrorCode
from protocol.messages.describe_log_dirs import (
    DescribeLogDirsPartition,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    DescribeLogDirsResult,
    DescribeLogDirsTopic,
)
from wal_core import WalError

PARTITIONS_PER_TURN_COUNT = 100  # measured in one turn of the loop: about a millisecond


async def describe_log_dirs(request: DescribeLogDirsRequest, call: Call) -> DescribeLogDirsResponse:
    """What is not there is left out, as in Kafka."""
    result = DescribeLogDirsResult(log_dir=_location(call), topics=[])
    try:
        result.topics = await _measured(await _asked(request, call))
    except WalError as error:
        result.error_code = error_code(error)
    return DescribeLogDirsResponse(results=[result])


def _location(call: Call) -> str:
    config = call.services.config
    in_folder = not (config.in_memory or config.in_bucket)
    return str(Path(config.data).absolute()) if in_folder else config.data


async def _asked(request: DescribeLogDirsRequest, call: Call) -> list[Partition]:
    """Each once."""
    if request.topics is None:
        topics = call.broker.topics
        return [p for topic in topics for p in topic.partitions if p.is_served]
    found: dict[Partition, None] = {}
    slices = Slices()
    for topic in request.topics:
        for index in topic.partitions:
            if slices.is_over:
                await slices.pause()
            partition = call.broker.partition(topic.topic, index)
            if partition is not None and partition.is_served:
                found[partition] = None
    return list(found)


def describe_log_dirs_weight(request: DescribeLogDirsRequest, call: Call) -> int:
    """Partitions that the answer will tell of."""
    return call.broker.topics.partitions_count if request.topics is None else 0


async def _measured(partitions: list[Partition]) -> list[DescribeLogDirsTopic]:
    topics: dict[str, DescribeLogDirsTopic] = {}
    for number, partition in enumerate(partitions, 1):
        if not number % PARTITIONS_PER_TURN_COUNT:
            await asyncio.sleep(0)
        size_bytes = await partition.size_bytes()
        if partition.deleted:
            continue
        name = partition.topic.name
        topic = topics.setdefault(name, DescribeLogDirsTopic(name=name, partitions=[]))
        topic.partitions.append(
            DescribeLogDirsPartition(
                partition_index=partition.index,
                partition_size=size_bytes,
                offset_lag=0,
                is_future_key=False,
            )
        )
    return list(topics.values())


def describe_log_dirs_error(
    request: DescribeLogDirsRequest, code: ErrorCode
) -> DescribeLogDirsResponse:
    """At the top and in a row: versions before 3 have no error at the top."""
    return DescribeLogDirsResponse(
        error_code=code, results=[DescribeLogDirsResult(error_code=code, topics=[])]
    )
