"""Reading for one reply, from partitions of a whole gateway; whose turn it is: test_fetch_fairness.

What the reading takes of the memory for replies is given back by its connection
(gateway/fairness/tests/test_reply_share.py).
"""

import asyncio

import pytest

from gateway.broker import reading as reading_module
from gateway.broker.reading import LOOKS_COUNT, Reading, Wanted
from gateway.fairness.reply_budget import ReplyBudget
from gateway.fairness.reply_share import ReplyRoom, ReplyShare
from gateway.fairness.slices import Slices
from gateway.fairness.turns import Turns
from gateway.tests.harness import World, batch_of, produce_request, started, virtual
from protocol import ApiKey
from wal_core import Log, Payloads

PARTITIONS_COUNT = 8
MIB = 1 << 20


async def _filled(sizes: list[int]) -> World:
    """Batches of these sizes, in partitions of their own, all in one request and one block."""
    world, client = await started()
    await client.create("t", partitions=len(sizes))
    batches = {("t", index): batch_of(bytes(size)) for index, size in enumerate(sizes)}
    await client.call(ApiKey.PRODUCE, 9, produce_request(batches))
    return world


def _wanted(world: World, *indexes: int) -> list[Wanted]:
    found = [world.gateway.broker.partition("t", index) for index in indexes]
    return [Wanted(partition, 0, MIB) for partition in found if partition is not None]


def _reading(*, left_bytes: int = MIB, limit_bytes: int = 64 * MIB) -> Reading:
    room = ReplyRoom(ReplyShare(ReplyBudget(limit_bytes), lambda: 0, lambda: None))
    deadline_s = asyncio.get_running_loop().time() + 1
    slices = Slices()
    return Reading(
        Turns(), room, slices, left_bytes=left_bytes, enough_bytes=1, deadline_s=deadline_s
    )


@virtual
async def test_what_is_read_is_what_was_taken_of_the_memory_for_replies() -> None:
    world = await _filled([1_000] * PARTITIONS_COUNT)
    reading = _reading()
    wanted = _wanted(world, *range(PARTITIONS_COUNT))
    await reading.fill(wanted)
    got_bytes = sum(len(piece) for want in wanted for piece in want.records)
    assert reading.got_bytes == reading.room.count_bytes == got_bytes > 8_000
    assert not reading.is_cut


@virtual
async def test_a_reply_is_cut_where_its_bytes_or_its_part_of_the_memory_end() -> None:
    world = await _filled([1_000] * PARTITIONS_COUNT)
    for reading in (_reading(left_bytes=3_500), _reading(limit_bytes=8 * 3_500 + 3_500)):
        wanted = _wanted(world, *range(PARTITIONS_COUNT))
        await reading.fill(wanted)
        assert reading.is_cut
        assert [bool(want.records) for want in wanted] == [True] * 3 + [False] * 5


@pytest.mark.parametrize("from_storage", [False, True])
def test_small_parts_of_large_blocks_keep_only_themselves_in_memory(from_storage: bool) -> None:
    """Or a client that takes its time would keep what the caches have long forgotten."""

    @virtual
    async def body() -> None:
        world = await _filled([20_000, 500_000, 1_000])
        if from_storage:
            await world.restart()
        wanted = _wanted(world, 0, 1, 2)
        await _reading().fill(wanted)
        for want in wanted:
            kept_bytes = {
                id(holder): len(holder)
                for piece in want.records
                for holder in [piece.obj if isinstance(piece, memoryview) else piece]
            }
            size_bytes = sum(map(len, want.records))
            assert size_bytes > 1_000
            assert sum(kept_bytes.values()) <= 2 * size_bytes

    body()


def test_only_what_keeps_much_more_than_itself_is_copied() -> None:
    much, little = memoryview(bytes(100_000)), memoryview(bytes(100_000))
    given = [
        much[:40_000],
        much[40_000:70_000],
        little[:10_000],
        little[10_000:20_000],
        b"x" * 9_000,
    ]
    found = reading_module._records(Payloads(list(given), 0, sum(map(len, given))))
    assert [len(piece) for piece in found] == [40_000, 30_000, 20_000, 9_000]
    assert found[0] is given[0]
    assert found[-1] is given[-1]
    assert isinstance(found[2], bytes)


class PartOfFile:
    """Stands in for one."""

    def __len__(self) -> int:
        return 100


def test_parts_of_files_are_left_as_they_are() -> None:
    parts = [PartOfFile() for _ in range(3)]
    given = [b"a", b"b", parts[0], parts[1], b"c", b"d" * 9_000, parts[2]]
    found = reading_module._records(Payloads(list(given), 0, sum(map(len, given))))
    assert found == [b"ab", parts[0], parts[1], b"c", b"d" * 9_000, parts[2]]
    assert reading_module._records(Payloads([parts[0]], 0, 100)) == [parts[0]]


@virtual
async def test_an_error_is_that_of_its_partition() -> None:
    world = await _filled([1_000] * 3)
    wanted = _wanted(world, 0, 1, 2)
    wanted[1].partition.deleted = True
    reading = _reading()
    await reading.fill(wanted)
    assert reading.has_failed
    assert [want.error is not None for want in wanted] == [False, True, False]
    assert [bool(want.records) for want in wanted] == [True, False, True]


@virtual
async def test_what_is_in_memory_is_asked_for_once_whether_it_fits_or_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    read_tail = Log.read_tail

    def counted(log: Log, stream_id: int, offset: int, bytes_max: int) -> Payloads | None:
        asked.append(stream_id)
        return read_tail(log, stream_id, offset, bytes_max)

    world = await _filled([1_000] * PARTITIONS_COUNT)
    monkeypatch.setattr(Log, "read_tail", counted)
    for left_bytes in (MIB, 3_500, 1):
        asked.clear()
        wanted = _wanted(world, *range(PARTITIONS_COUNT))
        await _reading(left_bytes=left_bytes).fill(wanted)
        got_count = sum(bool(want.records) for want in wanted)
        assert got_count == {MIB: PARTITIONS_COUNT, 3_500: 3, 1: 1}[left_bytes]
        # All that came, and the first that did not.
        assert len(asked) == len(set(asked)) <= got_count + 1
        assert all(want.at_hand is None for want in wanted if not want.records)


@virtual
async def test_the_clock_is_looked_at_once_for_several_partitions_that_have_nothing() -> None:
    world, client = await started()
    await client.create("t", partitions=10 * LOOKS_COUNT)
    slices = _CountingSlices()
    reading = _reading()
    reading.slices = slices
    await reading.fill(_wanted(world, *range(10 * LOOKS_COUNT)))
    assert slices.looks_count == 10


class _CountingSlices(Slices):
    looks_count = 0

    @property
    def is_over(self) -> bool:
        self.looks_count += 1
        return super().is_over
