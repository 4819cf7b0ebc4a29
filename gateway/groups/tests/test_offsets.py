"""Commits and their end: bounds in bytes, and work in slices whatever is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from gateway.groups.members import Identity
from gateway.groups.offsets import SLICE_COUNT, OffsetToCommit
from gateway.groups.tests.harness import FakeJournal, make, settle, virtual
from protocol.error_codes import ErrorCode as E

SIMPLE = Identity("")
DAY_MS = 86_400_000


def wanted(count: int, *, metadata: str = "", topic: str = "t") -> list[OffsetToCommit]:
    return [
        OffsetToCommit(topic=topic, partition=n, offset=n, leader_epoch=0, metadata=metadata)
        for n in range(count)
    ]


class SlicedJournal(FakeJournal):
    """Knows how many records came at most between two turns of the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.most_in_a_turn = 0
        self._in_this_turn = 0

    def append(self, group_id, records):
        if not self._in_this_turn:
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._in_this_turn += len(records)
        self.most_in_a_turn = max(self.most_in_a_turn, self._in_this_turn)
        return super().append(group_id, records)

    def _next_turn(self) -> None:
        self._in_this_turn = 0


@pytest.mark.parametrize("count", [1_000, 2_000, 4_000])
@virtual
async def test_whatever_is_committed_the_loop_comes_in_between(count):
    journal = SlicedJournal()
    coordinator = make(journal, offsets_check_interval_ms=DAY_MS, offsets_retention_ms=DAY_MS)
    assert await coordinator.commit("g", SIMPLE, -1, wanted(count)) == [E.NONE] * count
    assert len(coordinator.committed_partitions("g")) == count
    assert len(journal.log) == count
    await coordinator.topics_deleted(["t"])
    assert coordinator.committed_partitions("g") == []
    assert len(journal.log) == 2 * count
    await coordinator.commit("g", SIMPLE, -1, wanted(count))
    await asyncio.sleep(3 * 86_400)
    assert coordinator.committed_partitions("g") == []
    assert len(journal.log) == 4 * count
    assert journal.most_in_a_turn <= SLICE_COUNT
    assert coordinator.snapshot() == []


@virtual
async def test_an_ordinary_commit_is_one_batch():
    journal = FakeJournal()
    journal.hold = True
    coordinator = make(journal)
    committing = asyncio.ensure_future(coordinator.commit("g", SIMPLE, -1, wanted(SLICE_COUNT)))
    await settle()
    assert len(journal.held) == 1
    journal.release()
    assert set(await committing) == {E.NONE}


@virtual
async def test_a_commit_is_bounded_by_the_batch_it_makes():
    journal = FakeJournal()
    coordinator = make(journal, commit_bytes_max=100_000)
    # A thousand times the group's id, of which the request has one; no slice is too large.
    codes = await coordinator.commit("g" * 200, SIMPLE, -1, wanted(1_000))
    assert codes == [E.INVALID_COMMIT_OFFSET_SIZE] * 1_000
    codes = await coordinator.commit("g", SIMPLE, -1, wanted(100, metadata="m" * 2_000))
    assert codes == [E.INVALID_COMMIT_OFFSET_SIZE] * 100
    assert journal.log == []
    assert await coordinator.commit("g", SIMPLE, -1, wanted(1_000)) == [E.NONE] * 1_000


@virtual
async def test_offsets_are_bounded_for_a_group_and_in_all_and_go_on_within_the_bounds():
    coordinator = make(group_offsets_bytes_max=10_000, offsets_bytes_max=1_000_000)
    assert await coordinator.commit("g", SIMPLE, -1, wanted(18)) == [E.NONE] * 18
    assert (
        await coordinator.commit("g", SIMPLE, -1, wanted(25)) == [E.INVALID_COMMIT_OFFSET_SIZE] * 25
    )
    assert await coordinator.commit("g", SIMPLE, -1, wanted(18)) == [E.NONE] * 18

    async def fill(client_host: str) -> int:
        for n in range(10_000):
            code = await coordinator.commit(
                f"{client_host}-{n}", SIMPLE, -1, wanted(10), client_host
            )
            if set(code) != {E.NONE}:
                return n
        raise AssertionError("nothing was refused")

    assert await fill("greedy") < 120
    assert await coordinator.commit("greedy-0", SIMPLE, -1, wanted(10), "greedy") == [E.NONE] * 10
    assert await coordinator.commit("new", SIMPLE, -1, wanted(10), "modest") == [E.NONE] * 10


@virtual
async def test_each_slice_asks_again_whether_its_caller_may_commit():
    coordinator = make()
    committing = asyncio.ensure_future(
        coordinator.commit("g", SIMPLE, -1, wanted(SLICE_COUNT * 11))
    )
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(coordinator.close())
    codes = await committing
    await closing
    assert set(codes[-SLICE_COUNT:]) == {E.NOT_COORDINATOR}


@virtual
async def test_nothing_is_committed_for_a_topic_while_its_offsets_are_deleted():
    journal = FakeJournal()
    coordinator = make(journal)
    await coordinator.commit("g", SIMPLE, -1, wanted(SLICE_COUNT * 3))
    journal.hold = True
    deleting = asyncio.ensure_future(coordinator.topics_deleted(["t", "t", "unknown"]))
    await settle()
    refused = await coordinator.commit("g", SIMPLE, -1, [*wanted(1), *wanted(1, topic="u")][:1])
    assert refused == [E.UNKNOWN_TOPIC_OR_PARTITION]
    assert coordinator.fetch("g", [("t", 0)]) == (E.NONE, {("t", 0): None})
    await finished(journal, deleting)
    journal.hold = False
    assert await coordinator.commit("g", SIMPLE, -1, wanted(1)) == [E.NONE]
    assert not list(coordinator._offsets._under_way.partitions("g"))


async def finished(journal: FakeJournal, work: Awaitable[None]) -> None:
    task = asyncio.ensure_future(work)
    while not task.done():
        journal.release()
        await asyncio.sleep(0.001)
