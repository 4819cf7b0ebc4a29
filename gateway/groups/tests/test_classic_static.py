"""The state machine: static members (KIP-345), who come back to their place."""

from __future__ import annotations

import asyncio

import pytest

from gateway.groups.members import Identity
from gateway.groups.states import State
from gateway.groups.tests.harness import (
    GROUP,
    Client,
    FakeJournal,
    enter_all,
    group_of,
    make,
    settle,
    virtual,
)
from protocol.error_codes import ErrorCode as E
from wal_core import Unavailable


@virtual
async def test_a_static_member_takes_its_place_over_without_a_rebalance():
    coordinator = make()
    leader, follower = Client(coordinator, instance="i1"), Client(coordinator, instance="i2")
    await leader.enter()
    await enter_all(leader, follower)
    generation = follower.generation
    back = Client(coordinator, instance="i2")
    joined = await back.join()
    assert (joined.error, joined.generation, joined.members) == (E.NONE, generation, ())
    assert (joined.leader_id, joined.skip_assignment) == (leader.member_id, False)
    assert (await back.sync()).assignment == follower.synced.assignment
    assert leader.heartbeat() is E.NONE
    for code in (follower.heartbeat(), await follower.commit(1), follower.leave()):
        assert code is E.FENCED_INSTANCE_ID
    assert (await follower.sync()).error is E.FENCED_INSTANCE_ID
    assert (await follower.join_once()).error is E.FENCED_INSTANCE_ID
    restored = make(start=False)
    for key, value in coordinator.snapshot():
        restored.replay(key, value, 0)
    assert back.member_id in restored._groups[GROUP].members


@pytest.mark.parametrize("version", [8, 9])
@virtual
async def test_a_static_leader_comes_back(version):
    coordinator = make()
    leader = Client(coordinator, instance="i1")
    await leader.enter()
    back = Client(coordinator, instance="i1", version=version)
    joined = await back.join()
    if version >= 9:
        assert joined.skip_assignment
        assert (joined.leader_id, len(joined.members)) == (back.member_id, 1)
    else:
        # It must not see itself as leader, or it would assign without a rebalance.
        assert not joined.skip_assignment
        assert (joined.leader_id, joined.members) == (leader.member_id, ())
    assert (await back.sync({})).assignment == leader.synced.assignment


@virtual
async def test_a_static_member_back_with_another_protocol_rebalances():
    coordinator = make()
    client = Client(coordinator, instance="i1")
    await client.enter()
    back = Client(coordinator, instance="i1", protocols=(("sticky", b""),))
    joined = await back.join()
    assert (joined.generation, joined.protocol_name) == (2, "sticky")


@virtual
async def test_a_static_member_back_during_a_rebalance_fences_its_old_parked_join():
    coordinator = make()
    other = Client(coordinator, "other", session_ms=60_000)
    await other.enter()
    static = Client(coordinator, instance="i1")
    parked = asyncio.ensure_future(static.join())
    await settle()
    back = Client(coordinator, instance="i1")
    again = asyncio.ensure_future(back.join())
    assert (await parked).error is E.FENCED_INSTANCE_ID
    await other.join()
    assert (await again).error is E.NONE


@virtual
async def test_a_static_member_back_while_its_sync_is_parked():
    coordinator = make(initial_rebalance_delay_ms=50)
    leader, static = Client(coordinator, "lead"), Client(coordinator, instance="i1")
    leading = asyncio.ensure_future(leader.join())
    await settle()
    await asyncio.gather(leading, static.join())
    parked = asyncio.ensure_future(static.sync())
    await settle()
    back = Client(coordinator, instance="i1")
    again = asyncio.ensure_future(back.join())
    assert (await parked).error is E.FENCED_INSTANCE_ID
    assert leader.heartbeat() is E.REBALANCE_IN_PROGRESS
    await leader.join()
    assert (await again).generation == 2


@virtual
async def test_an_absent_static_member_keeps_its_place_until_its_session_ends():
    coordinator = make()
    static = Client(coordinator, instance="i1", session_ms=100_000, rebalance_ms=5_000)
    await static.enter()
    other = Client(coordinator, "other", rebalance_ms=5_000, session_ms=200_000)
    joined = await other.join()
    assert asyncio.get_running_loop().time() == pytest.approx(5, abs=0.1)
    assert other.leads
    assert {m.group_instance_id for m in joined.members} == {"i1", None}
    await other.sync({static.member_id: b"kept"})
    back = Client(coordinator, instance="i1")
    await back.join()
    assert (await back.sync()).assignment == b"kept"


@virtual
async def test_a_static_member_leaves_by_its_instance_id_alone():
    coordinator = make()
    static = Client(coordinator, instance="i1")
    await static.enter()
    assert coordinator.leave(GROUP, [Identity("", "i2"), Identity("", "i1"), Identity("")]) == (
        E.NONE,
        [E.UNKNOWN_MEMBER_ID, E.NONE, E.UNKNOWN_MEMBER_ID],
    )
    assert group_of(static).state is State.EMPTY


@virtual
async def test_a_static_replacement_that_cannot_be_stored_is_told_to_retry():
    journal = FakeJournal()
    coordinator = make(journal)
    await Client(coordinator, instance="i1").enter()
    journal.failure = Unavailable("away")
    assert (await Client(coordinator, instance="i1").join()).error is E.COORDINATOR_NOT_AVAILABLE
    journal.failure = None
    assert (await Client(coordinator, instance="i1").join()).error is E.NONE


@virtual
async def test_a_static_member_back_in_a_rebalance_that_overtakes_its_record_joins_it():
    journal = FakeJournal()
    coordinator = make(journal)
    leader, static = Client(coordinator, "lead"), Client(coordinator, instance="i1")
    await leader.enter()
    await enter_all(leader, static)
    journal.hold = True
    back = Client(coordinator, instance="i1")
    returning = asyncio.ensure_future(back.join())
    await settle()
    newcomer = asyncio.ensure_future(Client(coordinator, "new").join())
    await settle()
    journal.release()
    await settle()
    assert not returning.done()
    await leader.join()
    assert (await returning).generation == (await newcomer).generation == leader.generation


@virtual
async def test_who_came_back_may_wait_longer_than_a_session():
    coordinator = make()
    slow = Client(coordinator, "slow", session_ms=100_000, rebalance_ms=100_000)
    await slow.enter()
    static, cut = Client(coordinator, instance="i1"), Client(coordinator, "cut")
    parked = [asyncio.ensure_future(c.join()) for c in (static, cut)]
    await settle()
    parked[1].cancel()
    back = Client(coordinator, instance="i1")
    again = [asyncio.ensure_future(c.join()) for c in (back, cut)]
    await asyncio.sleep(50)
    await slow.join()
    assert [(await a).error for a in again] == [E.NONE, E.NONE]
