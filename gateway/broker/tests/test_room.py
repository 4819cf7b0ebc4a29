"""A disk that is full: records are refused, deletions and a stop get through, room comes back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.tests.harness import Client, World, batch_of, loop_ms, virtual
from protocol import ErrorCode
from wal_core import Unavailable
from wal_core.stores.objects.memory import MemoryStore
from wal_core.stores.room import Room
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.small_disk import SmallDisk, SmallObjectStore

KIB = 1 << 10
DISK_BYTES = 4_000 * KIB
LEAST_BYTES = 800 * KIB
RESERVE_BYTES = 200 * KIB
STORAGE_ERROR = ErrorCode.KAFKA_STORAGE_ERROR


class SmallWorld(World):
    """On a small disk, with everything that gives space back at its defaults, minutes and more."""

    def __init__(self, **config: Any) -> None:
        room_config = {
            "disk_free_bytes_min": LEAST_BYTES,
            "disk_reserve_bytes": RESERVE_BYTES,
            "segment_bytes_max": 1_000 * KIB,
            "block_bytes_max": 100 * KIB,
        }
        super().__init__(**(room_config | config))
        self.disk = SmallDisk(DISK_BYTES)
        room = Room(self.disk)
        self.objects = FaultyObjectStore(SmallObjectStore(MemoryStore(), self.disk, room))
        self.store = ObjectSegmentStore(self.objects, room=room)


async def _small(**config: Any) -> tuple[SmallWorld, Client]:
    world = SmallWorld(**config)
    await world.start()
    client = world.client()
    await client.create("t", "other")
    return world, client


async def _code(client: Client, topic: str = "t", **fields: Any) -> int:
    return (await client.produced(topic, batch_of(bytes(50 * KIB)), **fields)).error_code


async def _fill_by_producing(client: Client) -> int:
    """Until it is refused; the end of "t"."""
    count = 0
    while (code := await _code(client)) == 0:
        count += 1
        assert count < DISK_BYTES // (50 * KIB)
    assert code == STORAGE_ERROR
    return count


async def _delete_topic(client: Client) -> int:
    (code,) = await client.deleted_topics("t", timeout_ms=3_000)
    return code


async def _delete_records(client: Client) -> int:
    return (await client.deleted("t", -1, timeout_ms=3_000)).error_code


async def _takes_records_again(client: Client, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while await _code(client, "other"):
            await asyncio.sleep(0.5)


@virtual
async def test_records_are_refused_before_the_disk_is_full_and_all_else_goes_on() -> None:
    world, client = await _small()
    await _fill_by_producing(client)
    assert world.disk.left_bytes >= LEAST_BYTES - 100 * KIB
    assert await _code(client, timeout_ms=100) == STORAGE_ERROR
    assert loop_ms() < 60_000
    assert await client.create("made") == [0]
    await world.append_group_records(0, [(b"\x00\x01k", b"v")])
    assert (await client.fetched("t", 0)).error_code == 0
    await world.stop()


@virtual
async def test_the_repeat_of_a_batch_that_is_stored_is_no_new_one() -> None:
    world, client = await _small()
    batch = batch_of(b"x", producer_id=7, producer_epoch=0, base_sequence=0)
    first = await client.produced("t", batch)
    await _fill_by_producing(client)
    again = await client.produced("t", batch)
    assert (again.error_code, again.base_offset) == (0, first.base_offset)
    await world.stop()


@pytest.mark.parametrize("delete", [_delete_records, _delete_topic])
@pytest.mark.parametrize("others_fill", [False, True])
def test_what_is_deleted_makes_room(
    delete: Callable[[Client], Awaitable[int]], others_fill: bool
) -> None:
    """Long before the segment's time is over and the grace for what is garbage."""

    @virtual
    async def body() -> None:
        world, client = await _small()
        await _fill_by_producing(client)
        if others_fill:
            world.disk.fill()
            await asyncio.sleep(1)
            assert await _code(client) == STORAGE_ERROR
        began_ms = loop_ms()
        assert await delete(client) == 0
        assert loop_ms() - began_ms <= 3_000
        await _takes_records_again(client, within_s=60)
        began_ms = loop_ms()
        await world.stop()
        assert loop_ms() - began_ms < 3_000

    body()


@virtual
async def test_what_others_filled_at_one_blow_leaves_the_reserve_for_deletions() -> None:
    world, client = await _small()
    for _ in range(50):
        assert await _code(client) == 0
    world.disk.fill()  # and nobody has looked since
    assert await _code(client, timeout_ms=5_000) == 0  # into the reserve
    assert await _code(client) == STORAGE_ERROR
    assert await client.create("made") == [STORAGE_ERROR]
    assert await _delete_records(client) == 0
    await _takes_records_again(client, within_s=60)
    assert world.disk.reserve_bytes == RESERVE_BYTES
    await world.stop()


@virtual
async def test_a_deletion_that_had_no_room_is_written_soon_after_there_is_some() -> None:
    """Others have eaten the reserve, too, and leave after seconds: however often it was tried."""
    world, client = await _small(disk_reserve_bytes=0)
    await _fill_by_producing(client)
    world.disk.fill()
    deleting = asyncio.create_task(client.deleted("t", -1, timeout_ms=20_000))
    await asyncio.sleep(5.2)
    world.disk.filled_bytes -= RESERVE_BYTES
    began_ms = loop_ms()
    async with asyncio.timeout(20):
        answer = await deleting
    assert answer.error_code == 0
    assert loop_ms() - began_ms <= 1_500
    await world.stop()


@virtual
async def test_a_stop_waits_a_moment_for_what_a_full_disk_does_not_take() -> None:
    """Nobody was told that it is there."""
    world, client = await _small(disk_reserve_bytes=0)
    world.disk.fill()
    stuck = client.produce("t", batch_of(bytes(50 * KIB)))
    await asyncio.sleep(0.1)
    began_ms = loop_ms()
    with pytest.raises(Unavailable):
        await world.stop()
    assert loop_ms() - began_ms < 3_000
    assert not stuck.done()


@virtual
async def test_a_full_disk_lets_a_broker_start() -> None:
    """It ends the old segment first, and commits a manifest."""
    world, client = await _small()
    for _ in range(20):
        assert await _code(client) == 0
    await world.crash()
    await world.log.room.close()
    await world.log._maintenance.stop()
    world.disk.fill()
    async with asyncio.timeout(60):
        await world.start()
    client = world.client()
    assert (await client.fetched("t", 19)).high_watermark == 20
    assert await _delete_topic(client) == 0
    await world.stop()


@virtual
async def test_a_compaction_that_only_tidies_leaves_the_room_that_is_left() -> None:
    """Four segments of live records are sealed; a copy of them would fill the disk."""
    world, client = await _small(segment_bytes_max=600 * KIB)
    await client.create("s")
    count = 0
    while await _code(client, "ts"[count % 2]) == 0:
        count += 1
    await asyncio.sleep(600)
    assert not world.log.room.is_spent
    assert world.disk.left_bytes >= LEAST_BYTES - 100 * KIB
    await world.stop()
