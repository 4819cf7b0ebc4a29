"""Much state in a gateway: partitions with a producer each, groups with a member and an offset."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import NamedTuple

from gateway.broker.partition import Partition
from gateway.groups.coordinators import group_hash
from gateway.groups.members import Identity, JoinRequest, SyncRequest
from gateway.groups.offsets import OffsetToCommit
from gateway.server import Gateway
from protocol import ErrorCode, Record, build_batch, read_header

PARTITIONS_A_TOPIC = 100
AT_ONCE_COUNT = 200


class Size(NamedTuple):
    """What there is in all."""

    logs_count: int
    partitions_count: int
    groups_count: int


async def fill(gateway: Gateway, size: Size, name: str, log_id: int | None = None) -> None:
    """Partitions with a record of a producer each; groups with a member and a committed offset, on
    one log if it is said."""
    broker = gateway.broker
    left = size.partitions_count
    while left > 0:
        count = min(left, PARTITIONS_A_TOPIC)
        topic = broker.creations.create(f"{name}-{left}", count)
        await broker.creations.settled(topic)
        await asyncio.gather(*(append(gateway, partition) for partition in topic.partitions))
        left -= count
    await broker.offsets_topic.ready()
    groups = _groups(gateway, size.groups_count, name, log_id)
    for at in range(0, len(groups), AT_ONCE_COUNT):
        some = groups[at : at + AT_ONCE_COUNT]
        await asyncio.gather(*(_use(gateway, group, topic.name) for group in some))


def append(gateway: Gateway, partition: Partition) -> Awaitable[None]:
    broker = gateway.broker
    now_ms = broker.now_ms()
    batch = build_batch(
        [Record(key=b"key", value=b"value", timestamp_ms=now_ms)],
        producer_id=broker.new_producer_id(),
        producer_epoch=0,
        base_sequence=0,
    )
    view = memoryview(batch)
    appended = partition.append(view, read_header(view), now_ms, broker.steady_ms())
    assert appended.confirmation is not None
    return asyncio.shield(appended.confirmation)


def _groups(gateway: Gateway, count: int, name: str, log_id: int | None) -> list[str]:
    found: list[str] = []
    number = 0
    while len(found) < count:
        number += 1
        group = f"group-{name}-{number}"
        if log_id in (None, gateway.broker.offsets_topic.log_of(group_hash(group))):
            found.append(group)
    return found


async def _use(gateway: Gateway, group: str, topic: str) -> None:
    coordinator = gateway.groups.of(group)
    joined = await coordinator.join(
        group,
        JoinRequest(
            member_id="",
            group_instance_id=None,
            client_id="scale",
            client_host="/127.0.0.1",
            session_timeout_ms=1_800_000,
            rebalance_timeout_ms=60_000,
            protocol_type="consumer",
            protocols=(("range", bytes(60)),),
            require_known_member_id=False,
            supports_skip_assignment=True,
        ),
    )
    member = Identity(joined.member_id)
    synced = await coordinator.sync(
        group,
        SyncRequest(
            member=member,
            generation=joined.generation,
            protocol_type="consumer",
            protocol_name="range",
            assignments={joined.member_id: bytes(60)},
        ),
    )
    offset = OffsetToCommit(topic=topic, partition=0, offset=1, leader_epoch=1, metadata="")
    codes = await coordinator.commit(group, member, joined.generation, [offset])
    assert (joined.error, synced.error, *codes) == (ErrorCode.NONE,) * 3
