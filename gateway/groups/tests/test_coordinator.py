"""Offsets, the journal's order, restart, retention, routing."""

from __future__ import annotations

import asyncio

import pytest

from gateway.groups import records
from gateway.groups.committed import CommittedOffset
from gateway.groups.coordinator import OffsetToCommit, java_hash
from gateway.groups.coordinators import group_hash
from gateway.groups.members import Identity
from gateway.groups.states import State
from gateway.groups.tests.harness import (
    EPOCH_MS,
    GROUP,
    Client,
    FakeJournal,
    enter_all,
    make,
    settle,
    virtual,
)
from protocol.error_codes import ErrorCode as E

SIMPLE = Identity("")


def offsets_of(coordinator, group=GROUP):
    return {
        where: what and what.offset for where, what in coordinator.fetch(group, None)[1].items()
    }


def to_commit(**changes) -> OffsetToCommit:
    fields = {"topic": "t", "partition": 0, "offset": 1, "leader_epoch": -1, "metadata": ""}
    return OffsetToCommit(**(fields | changes))


def restarted(journal: FakeJournal, pairs=None, **limits):
    coordinator = make(journal, start=False, **limits)
    for key, value in journal.compacted().items() if pairs is None else pairs:
        coordinator.replay(key, value, EPOCH_MS)
    coordinator.start()
    return coordinator


# ---- commits


@virtual
async def test_a_simple_commit_needs_no_group_and_is_fetched_back():
    coordinator = make()
    assert coordinator.fetch(GROUP, [("t", 0)]) == (E.NONE, {("t", 0): None})
    assert coordinator.fetch(GROUP, None) == (E.NONE, {})
    codes = await coordinator.commit(
        GROUP, SIMPLE, -1, [to_commit(offset=5, leader_epoch=7, metadata="что")]
    )
    assert codes == [E.NONE]
    _, found = coordinator.fetch(GROUP, [("t", 0), ("t", 1)])
    assert found == {("t", 0): CommittedOffset(5, 7, "что", EPOCH_MS), ("t", 1): None}
    assert GROUP not in coordinator._groups


@virtual
async def test_metadata_too_large_harms_no_other_partition():
    coordinator = make(offset_metadata_bytes_max=4)
    codes = await coordinator.commit(
        GROUP, SIMPLE, -1, [to_commit(metadata="12345"), to_commit(partition=1, metadata="1234")]
    )
    assert codes == [E.OFFSET_METADATA_TOO_LARGE, E.NONE]
    assert offsets_of(coordinator) == {("t", 1): 1}
    codes = await coordinator.commit(GROUP, SIMPLE, -1, [to_commit(metadata="12345")])
    assert codes == [E.OFFSET_METADATA_TOO_LARGE]
    assert await coordinator.commit(GROUP, SIMPLE, -1, []) == []


@virtual
async def test_a_commit_is_visible_when_durable_and_in_order():
    journal = FakeJournal()
    coordinator = make(journal)
    client = Client(coordinator)
    await client.enter()
    journal.hold = True
    commits = [asyncio.ensure_future(client.commit(n)) for n in range(5)]
    await settle()
    assert offsets_of(coordinator) == {}
    commits[4].cancel()  # its connection went away
    journal.release()
    assert [await c for c in commits[:4]] == [E.NONE] * 4
    assert offsets_of(coordinator) == {("t", 0): 4}
    assert [records.decode_offset_value(value).offset for _, (_, value) in journal.log[-5:]] == [
        0, 1, 2, 3, 4,
    ]  # fmt: skip


@virtual
async def test_the_last_of_two_offsets_for_one_partition_wins():
    coordinator = make()
    codes = await coordinator.commit(GROUP, SIMPLE, -1, [to_commit(offset=9), to_commit(offset=4)])
    assert codes == [E.NONE, E.NONE]
    assert offsets_of(coordinator) == {("t", 0): 4}


@virtual
async def test_members_commit_through_a_rebalance_and_others_do_not():
    coordinator = make()
    client = Client(coordinator)
    await client.enter()
    newcomer = Client(coordinator, "new")
    joining = asyncio.ensure_future(newcomer.join())
    await settle()
    assert await client.commit(3) is E.NONE
    await client.join()
    await joining
    assert await client.commit(4) is E.REBALANCE_IN_PROGRESS
    assert offsets_of(coordinator) == {("t", 0): 3}


# ---- topics


@virtual
async def test_a_deleted_topic_takes_its_offsets_along_even_those_under_way():
    journal = FakeJournal()
    coordinator = make(journal)
    for group in ("g1", "g2"):
        wanted = [to_commit(), to_commit(topic="other")]
        await coordinator.commit(group, SIMPLE, -1, wanted)
    journal.hold = True
    late = asyncio.ensure_future(coordinator.commit("g3", SIMPLE, -1, [to_commit(partition=9)]))
    await settle()
    deleting = asyncio.ensure_future(coordinator.topics_deleted(["t"]))
    await settle()
    assert offsets_of(coordinator, "g1") == offsets_of(coordinator, "g2") == {("other", 0): 1}
    journal.release()
    await asyncio.gather(late, deleting)
    assert offsets_of(coordinator, "g3") == {}
    again = restarted(journal)
    assert offsets_of(again, "g1") == {("other", 0): 1}
    assert offsets_of(again, "g3") == {}


# ---- restart


@virtual
async def test_a_restart_brings_back_groups_members_and_offsets():
    journal = FakeJournal()
    coordinator = make(journal)
    static = Client(coordinator, instance="i1")
    dynamic = Client(coordinator, "d")
    await static.enter()
    await enter_all(static, dynamic)
    await static.commit(11)
    await dynamic.commit(12, "t", 1)
    snapshot = coordinator.snapshot()
    assert dict(snapshot) == journal.compacted()
    await coordinator.close()

    again = restarted(journal, snapshot)
    assert again.snapshot() == snapshot
    assert offsets_of(again) == {("t", 0): 11, ("t", 1): 12}
    assert again._groups[GROUP].state is State.STABLE
    static.coordinator = dynamic.coordinator = again
    assert static.heartbeat() is dynamic.heartbeat() is E.NONE
    assert (await dynamic.sync()).assignment == dynamic.synced.assignment != b""
    assert await dynamic.commit(13) is E.NONE
    # One of them died meanwhile: it expires like any other.
    for _ in range(4):
        await asyncio.sleep(3)
        static.heartbeat()
    assert dynamic.heartbeat() is E.UNKNOWN_MEMBER_ID
    await static.enter()
    assert static.leads
    assert static.generation > dynamic.generation


@virtual
async def test_generations_go_on_after_an_empty_group_restarts():
    journal = FakeJournal()
    coordinator = make(journal)
    client = Client(coordinator)
    await client.enter()
    client.leave()
    await asyncio.sleep(1)
    again = restarted(journal)
    assert again._groups[GROUP].state is State.EMPTY
    newcomer = Client(again)
    await newcomer.enter()
    assert newcomer.generation == client.generation + 2


@virtual
async def test_replay_takes_the_last_value_and_tombstones():
    coordinator = make(start=False)
    key = records.encode_offset_key(GROUP, "t", 0)
    for offset in (1, 2):
        value = records.encode_offset_value(CommittedOffset(offset, -1, "", EPOCH_MS))
        coordinator.replay(key, value, EPOCH_MS)
    assert offsets_of(coordinator) == {("t", 0): 2}
    coordinator.replay(key, None, EPOCH_MS)
    assert offsets_of(coordinator) == {}
    assert coordinator.snapshot() == []


@virtual
async def test_replay_survives_broken_records_and_keeps_unknown_kinds():
    coordinator = make(start=False)
    key = records.encode_offset_key(GROUP, "t", 0)
    coordinator.replay(b"", b"", EPOCH_MS)
    coordinator.replay(key, b"\x00\x63", EPOCH_MS)
    coordinator.replay(records.encode_group_key(GROUP), b"\x00\x03\x00", EPOCH_MS)
    newer = (b"\x00\x08\x00\x01g", b"whatever")
    coordinator.replay(*newer, EPOCH_MS)
    assert coordinator.snapshot() == [newer]
    assert coordinator._groups == {}


@virtual
async def test_a_broken_record_leaves_the_group_as_it_was():
    journal = FakeJournal()
    coordinator = make(journal)
    await Client(coordinator).enter()
    again = restarted(journal, journal.compacted().items())
    before = again.snapshot()
    again.replay(records.encode_group_key(GROUP), b"\x00\x03\x00", EPOCH_MS)
    assert again.snapshot() == before
    assert list(again._groups) == [GROUP]


@virtual
async def test_replay_of_a_group_twice_gives_its_memory_back():
    journal = FakeJournal()
    coordinator = make(journal)
    client = Client(coordinator)
    await client.enter()
    again = restarted(journal, journal.compacted().items())
    used_bytes = again.budget.used_bytes
    assert used_bytes > 0
    for key, value in journal.compacted().items():
        again.replay(key, value, EPOCH_MS)
    assert again.budget.used_bytes == used_bytes
    again.replay(records.encode_group_key(GROUP), None, EPOCH_MS)
    assert (again.budget.used_bytes, again._groups) == (0, {})


@virtual
async def test_close_answers_everyone_and_refuses_the_rest():
    coordinator = make(initial_rebalance_delay_ms=50)
    clients = [Client(coordinator, f"c{n}") for n in range(2)]
    await asyncio.gather(*(c.join() for c in clients))
    follower = next(c for c in clients if not c.leads)
    syncing = asyncio.ensure_future(follower.sync())
    joining = asyncio.ensure_future(Client(coordinator, group="other").join())
    await settle()
    await coordinator.close()
    assert (await syncing).error is (await joining).error is E.NOT_COORDINATOR
    assert follower.heartbeat() is E.NOT_COORDINATOR
    assert await follower.commit(1) is E.NOT_COORDINATOR
    assert coordinator.fetch(GROUP, None)[0] is E.NOT_COORDINATOR
    assert (await follower.join_once()).error is E.NOT_COORDINATOR
    assert coordinator.leave(GROUP, [follower.identity]) == (E.NOT_COORDINATOR, [])


# ---- refusals


@pytest.mark.parametrize(
    ("group", "changes", "code"),
    [
        ("", {}, E.INVALID_GROUP_ID),
        ("g" * 1_025, {}, E.INVALID_GROUP_ID),
        (GROUP, {"session_timeout_ms": 5_999}, E.INVALID_SESSION_TIMEOUT),
        (GROUP, {"session_timeout_ms": 1_800_001}, E.INVALID_SESSION_TIMEOUT),
        (GROUP, {"session_timeout_ms": -1}, E.INVALID_SESSION_TIMEOUT),
        (GROUP, {"group_instance_id": "i" * 1_025}, E.INVALID_REQUEST),
        (GROUP, {"protocols": (("p" * 1_025, b""),)}, E.INVALID_REQUEST),
        (GROUP, {"session_timeout_ms": 6_000}, E.MEMBER_ID_REQUIRED),
    ],
)
@virtual
async def test_joins_are_checked(group, changes, code):
    coordinator = make()
    assert (await Client(coordinator, group=group).join_once(**changes)).error is code
    assert group not in coordinator._groups


@virtual
async def test_the_longest_names_survive_the_journal():
    journal = FakeJournal()
    coordinator = make(journal)
    client = Client(coordinator, "ю" * 16_000, group="ю" * 512)
    assert (await client.enter()).error is E.NONE
    assert await client.commit(1, "t" * 249) is E.NONE
    assert restarted(journal)._groups[client.group].members.get(client.member_id) is not None


@virtual
async def test_groups_are_bounded():
    coordinator = make(groups_max_count=2)
    for group in ("a", "b"):
        await Client(coordinator, group=group).enter()
    assert (await Client(coordinator, group="c").join_once()).error is E.GROUP_MAX_SIZE_REACHED
    for group in ("s1", "s2"):
        assert await coordinator.commit(group, SIMPLE, -1, [to_commit()]) == [E.NONE]
    assert await coordinator.commit("s3", SIMPLE, -1, [to_commit()]) == [E.GROUP_MAX_SIZE_REACHED]
    too_long = await coordinator.commit("g" * 1_025, SIMPLE, -1, [to_commit()])
    assert too_long == [E.INVALID_GROUP_ID]


# ---- routing


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # Known from Java's documentation of String.hashCode: s[0]*31^(n-1) + ... + s[n-1].
        ("", 0),
        ("a", 97),
        ("hello", 99_162_322),
        ("polygenelubricants", 0x80000000),
        ("ю", 0x44E),
        ("\U0001f600", 0xD83D * 31 + 0xDE00),
    ],
)
def test_java_hash(text, value):
    assert java_hash(text) == value


def test_a_group_lives_in_one_partition():
    assert group_hash("polygenelubricants") % 50 == 0
    assert group_hash("hello") == 99_162_322
