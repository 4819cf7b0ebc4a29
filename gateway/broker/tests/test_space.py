"""What is deleted gives its space back: by retention, by request, and with its topic."""

import asyncio
import gc
import random  # noqa: TID251 - seeded
from collections.abc import Awaitable, Callable

import pytest

from gateway.broker.partition import Partition
from gateway.broker.producer_state import ProducerStates
from gateway.broker.topics import Topic
from gateway.tests.harness import Client, World, batch_of, produce_request, started, virtual
from protocol import ApiKey
from wal_core import CHECKPOINT_STREAM_ID
from wal_core.state.streams import Stream

SMALL_SEGMENTS = {"segment_bytes_max": 65_536, "block_bytes_max": 8_192}
RECORDS_COUNT, RECORD_BYTES = 120, 7_000
HOUR_S = 3_600


async def _by_time(world: World, client: Client) -> None:
    await asyncio.sleep(HOUR_S)  # the topic's retention.ms is ten minutes


async def _by_request(world: World, client: Client) -> None:
    assert (await client.deleted("t", -1)).low_watermark == RECORDS_COUNT


async def _with_the_topic(world: World, client: Client) -> None:
    await client.deleted_topics("t")


async def _stored_bytes(world: World) -> int:
    return sum(row.size_bytes for row in await world.objects.inner.list(""))


@pytest.mark.parametrize("delete", [_by_time, _by_request, _with_the_topic])
@virtual
async def test_space_is_given_back_and_the_neighbour_keeps_all(
    delete: Callable[[World, Client], Awaitable[None]],
) -> None:
    rng = random.Random(1)
    world, client = await started(**SMALL_SEGMENTS, connections_max_idle_ms=0)
    retention = {"retention.ms": "600000"} if delete is _by_time else {}
    await client.create("t", configs=retention)
    await client.create("kept")
    kept = [rng.randbytes(100) for _ in range(RECORDS_COUNT)]
    for value in kept:
        await client.produced("t", batch_of(rng.randbytes(RECORD_BYTES)))
        await client.produced("kept", batch_of(value))
    assert await _stored_bytes(world) > RECORDS_COUNT * RECORD_BYTES
    await delete(world, client)
    client = await world.restart()
    # The segment that was being written is finished by what comes next.
    await client.produced("kept", batch_of(bytes(70_000)))
    await asyncio.sleep(2 * HOUR_S)
    await client.produced("kept", batch_of(bytes(70_000)))
    await asyncio.sleep(2 * HOUR_S)
    assert await _stored_bytes(world) < RECORDS_COUNT * RECORD_BYTES / 2
    for offset, value in enumerate(kept):
        found = await client.fetched("kept", offset, partition_bytes_max=1)
        assert value in bytes(found.records)


@pytest.mark.parametrize("written", [False, True])
@virtual
async def test_topics_that_come_and_go_leave_nothing_in_memory(written: bool) -> None:
    world, client = await started()

    async def turn() -> None:
        await client.create("t", partitions=100)
        if written:
            batches = {("t", index): batch_of(b"x") for index in range(100)}
            await client.call(ApiKey.PRODUCE, 9, produce_request(batches))
        await client.deleted_topics("t")

    for _ in range(10):  # by then the checkpoint has a stream
        await turn()
    before = _objects_count()
    for _ in range(5):
        await turn()
    assert _objects_count() == before
    left = world.log._contents.streams.keys() - {CHECKPOINT_STREAM_ID}
    assert len(left) == written  # the journal


def _objects_count() -> list[int]:
    gc.collect()
    kinds = (Topic, Partition, ProducerStates, Stream)
    return [sum(isinstance(one, kind) for one in gc.get_objects()) for kind in kinds]
