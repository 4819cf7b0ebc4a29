"""Deleted groups and offsets are gone for good, and are there until they are."""

from __future__ import annotations

import asyncio

import pytest

from gateway.groups.members import Identity
from gateway.groups.offsets import SLICE_COUNT, OffsetToCommit
from gateway.groups.tests.harness import (
    EPOCH_MS,
    GROUP,
    Client,
    FakeJournal,
    make,
    settle,
    virtual,
)
from gateway.groups.tests.test_subscriptions import subscribed
from protocol.error_codes import ErrorCode as E
from wal_core import Unavailable

SIMPLE = Identity("")


def offsets(count: int, topic: str = "t") -> list[OffsetToCommit]:
    return [
        OffsetToCommit(topic=topic, partition=n, offset=n, leader_epoch=0, metadata="")
        for n in range(count)
    ]


def restarted(journal: FakeJournal):
    coordinator = make(journal, start=False)
    for key, value in journal.compacted().items():
        coordinator.replay(key, value, EPOCH_MS)
    coordinator.start()
    return coordinator


def there(coordinator, group=GROUP) -> tuple[bool, int]:
    """Whether the group is, and how many offsets it has."""
    return coordinator.listed(group) is not None, len(coordinator.committed_partitions(group))


async def emptied(coordinator, count: int = 3) -> None:
    """A group that had a member, and has offsets."""
    client = Client(coordinator)
    await client.enter()
    client.leave()
    assert set(await coordinator.commit(GROUP, SIMPLE, -1, offsets(count))) == {E.NONE}


# ---- groups


@pytest.mark.parametrize("count", [0, 3, 3 * SLICE_COUNT + 1])
@virtual
async def test_a_deleted_group_is_gone_with_its_offsets_after_a_restart_too(count):
    journal = FakeJournal()
    coordinator = make(journal)
    if count:
        await emptied(coordinator, count)
    else:
        client = Client(coordinator)
        await client.enter()
        client.leave()
    await coordinator.commit("other", SIMPLE, -1, offsets(2))
    assert await coordinator.delete_group(GROUP) is E.NONE
    assert there(coordinator) == (False, 0)
    assert there(coordinator, "other") == (True, 2)
    assert await coordinator.delete_group(GROUP) is E.GROUP_ID_NOT_FOUND
    await asyncio.sleep(1)
    assert dict(coordinator.snapshot()) == journal.compacted()
    again = restarted(journal)
    assert there(again) == (False, 0)
    assert there(again, "other") == (True, 2)


@virtual
async def test_an_ordinary_group_is_deleted_in_one_batch():
    journal = FakeJournal()
    coordinator = make(journal)
    await emptied(coordinator)
    await asyncio.sleep(1)
    journal.hold = True
    deleting = asyncio.ensure_future(coordinator.delete_group(GROUP))
    await settle()
    assert len(journal.held) == 1
    journal.release()
    assert await deleting is E.NONE


@virtual
async def test_a_group_is_there_until_its_end_is_durable():
    journal = FakeJournal()
    coordinator = make(journal)
    await emptied(coordinator)
    journal.hold = True
    deleting = asyncio.ensure_future(coordinator.delete_group(GROUP))
    await settle()
    assert there(coordinator) == (True, 3)
    assert not deleting.done()
    again = asyncio.ensure_future(coordinator.delete_group(GROUP))
    await settle()
    assert not again.done()
    journal.release()
    assert await deleting is E.NONE
    assert await again is E.GROUP_ID_NOT_FOUND
    assert there(coordinator) == (False, 0)


@virtual
async def test_a_deletion_that_failed_deleted_nothing():
    journal = FakeJournal()
    coordinator = make(journal)
    await emptied(coordinator)
    journal.failure = Unavailable("away")
    assert await coordinator.delete_group(GROUP) is E.COORDINATOR_NOT_AVAILABLE
    assert there(coordinator) == (True, 3)
    assert there(restarted(journal)) == (True, 3)
    journal.failure = None
    assert await coordinator.delete_group(GROUP) is E.NONE


@virtual
async def test_nobody_joins_or_commits_while_a_group_is_being_deleted():
    journal = FakeJournal()
    coordinator = make(journal)
    await emptied(coordinator, 2 * SLICE_COUNT)
    deleting = asyncio.ensure_future(coordinator.delete_group(GROUP))
    await asyncio.sleep(0)
    client = Client(coordinator, version=3)
    committing = asyncio.ensure_future(coordinator.commit(GROUP, SIMPLE, -1, offsets(1)))
    joining = asyncio.ensure_future(client.join())
    for _ in range(3):
        await asyncio.sleep(0)
        assert not committing.done()
        assert not joining.done()
    assert await deleting is E.NONE
    assert (await joining).generation == 1  # of a group that has just come into being
    assert await committing == [E.NONE]  # it came first
    client.leave()
    assert await coordinator.commit(GROUP, SIMPLE, -1, offsets(1)) == [E.NONE]
    await asyncio.sleep(1)
    assert there(restarted(journal)) == (True, 1)


@virtual
async def test_who_waits_for_a_deletion_that_fails_finds_the_group():
    journal = FakeJournal()
    coordinator = make(journal)
    await emptied(coordinator)
    await asyncio.sleep(1)
    journal.hold = True
    deleting = asyncio.ensure_future(coordinator.delete_group(GROUP))
    await settle()
    client = Client(coordinator, version=3)
    joining = asyncio.ensure_future(client.join())
    assert await deleting is E.COORDINATOR_NOT_AVAILABLE
    assert (await joining).generation == 3


@virtual
async def test_a_group_that_lives_again_before_its_end_was_confirmed_lives_on():
    """The wait for the journal ends after some seconds, the write does not."""
    journal = FakeJournal()
    coordinator = make(journal)
    await emptied(coordinator)
    await asyncio.sleep(1)
    journal.hold = True
    assert await coordinator.delete_group(GROUP) is E.COORDINATOR_NOT_AVAILABLE
    client = Client(coordinator, version=3)
    await client.join()
    syncing = asyncio.ensure_future(client.sync())
    await settle()
    journal.hold = False
    journal.release()
    assert (await syncing).error is E.NONE
    assert client.heartbeat() is E.NONE
    assert there(coordinator) == (True, 0)
    await asyncio.sleep(1)
    assert dict(coordinator.snapshot()) == journal.compacted()
    assert there(restarted(journal)) == (True, 0)


@virtual
async def test_a_commit_under_way_goes_with_its_group():
    journal = FakeJournal()
    coordinator = make(journal)
    await emptied(coordinator)
    journal.hold = True
    late = asyncio.ensure_future(coordinator.commit(GROUP, SIMPLE, -1, offsets(9)))
    await settle()
    deleting = asyncio.ensure_future(coordinator.delete_group(GROUP))
    await settle()
    journal.release()
    assert await deleting is E.NONE
    assert set(await late) == {E.NONE}
    assert there(coordinator) == (False, 0)
    assert there(restarted(journal)) == (False, 0)


@virtual
async def test_a_group_with_members_is_not_deleted_in_any_state():
    coordinator = make(initial_rebalance_delay_ms=50)
    client = Client(coordinator, version=3)
    joining = asyncio.ensure_future(client.join())
    await settle()
    assert await coordinator.delete_group(GROUP) is E.NON_EMPTY_GROUP
    await joining
    assert await coordinator.delete_group(GROUP) is E.NON_EMPTY_GROUP
    await client.sync()
    assert await coordinator.delete_group(GROUP) is E.NON_EMPTY_GROUP
    client.leave()
    assert await coordinator.delete_group(GROUP) is E.NONE
    assert coordinator.budget.used_bytes == 0


@virtual
async def test_what_is_not_there_or_not_here():
    coordinator = make()
    assert await coordinator.delete_group("nobody") is E.GROUP_ID_NOT_FOUND
    assert await coordinator.delete_offsets("nobody", [("t", 0)]) == (E.GROUP_ID_NOT_FOUND, [])
    assert await coordinator.delete_offsets("", [("t", 0)]) == (E.INVALID_GROUP_ID, [])
    await coordinator.close()
    assert await coordinator.delete_group(GROUP) is E.NOT_COORDINATOR
    assert await coordinator.delete_offsets(GROUP, []) == (E.NOT_COORDINATOR, [])
    assert coordinator.described(GROUP) == (E.NOT_COORDINATOR, None)


# ---- offsets


@virtual
async def test_deleted_offsets_are_gone_after_a_restart_too_and_no_others():
    journal = FakeJournal()
    coordinator = make(journal)
    count = 2 * SLICE_COUNT + 1
    await coordinator.commit(GROUP, SIMPLE, -1, offsets(count))
    await coordinator.commit(GROUP, SIMPLE, -1, offsets(1, "other"))
    asked = [("t", n) for n in range(count)] + [("never", 0)]
    assert await coordinator.delete_offsets(GROUP, asked) == (E.NONE, [E.NONE] * len(asked))
    assert coordinator.committed_partitions(GROUP) == [("other", 0)]
    assert restarted(journal).committed_partitions(GROUP) == [("other", 0)]
    assert await coordinator.delete_offsets(GROUP, [("other", 0)]) == (E.NONE, [E.NONE])
    assert coordinator.listed(GROUP) is None  # nothing else was known of it
    assert dict(coordinator.snapshot()) == journal.compacted() == {}


@virtual
async def test_an_offset_is_there_until_its_end_is_durable():
    journal = FakeJournal()
    coordinator = make(journal)
    await coordinator.commit(GROUP, SIMPLE, -1, offsets(2))
    journal.hold = True
    deleting = asyncio.ensure_future(coordinator.delete_offsets(GROUP, [("t", 1), ("t", 7)]))
    await settle()
    assert there(coordinator) == (True, 2)
    later = asyncio.ensure_future(coordinator.commit(GROUP, SIMPLE, -1, offsets(1)))
    await settle()
    journal.release()
    assert await deleting == (E.NONE, [E.NONE, E.NONE])
    assert await later == [E.NONE]
    assert coordinator.committed_partitions(GROUP) == [("t", 0)]
    journal.failure = Unavailable("away")
    failed = await coordinator.delete_offsets(GROUP, [("t", 9), ("t", 0)])
    assert failed == (E.NONE, [E.COORDINATOR_NOT_AVAILABLE] * 2)
    assert there(coordinator) == (True, 1)


@virtual
async def test_offsets_of_topics_that_members_read_stay():
    coordinator = make()
    client = Client(coordinator, protocols=(("range", subscribed("t")),))
    await client.enter()
    assert await client.commit(1) is E.NONE
    assert await client.commit(1, "other") is E.NONE
    asked = [("t", 0), ("other", 0)]
    told = await coordinator.delete_offsets(GROUP, asked)
    assert told == (E.NONE, [E.GROUP_SUBSCRIBED_TO_TOPIC, E.NONE])
    assert coordinator.committed_partitions(GROUP) == [("t", 0)]
    client.leave()
    assert await coordinator.delete_offsets(GROUP, asked) == (E.NONE, [E.NONE, E.NONE])
    assert there(coordinator) == (True, 0)


@virtual
async def test_what_members_of_another_kind_read_is_not_known():
    coordinator = make()
    client = Client(coordinator)
    joined = await client.join_once(protocol_type="connect")
    client.member_id = joined.member_id
    joined = await client.join_once(protocol_type="connect")
    assert joined.error is E.NONE
    assert await coordinator.delete_offsets(GROUP, [("t", 0)]) == (E.NON_EMPTY_GROUP, [])
