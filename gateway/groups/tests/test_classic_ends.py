"""The state machine: sessions that end, members that leave, requests cut off."""

from __future__ import annotations

import asyncio

import pytest

from gateway.groups.members import Identity
from gateway.groups.states import State
from gateway.groups.tests.harness import (
    GROUP,
    Client,
    group_of,
    make,
    pair,
    settle,
    virtual,
)
from protocol.error_codes import ErrorCode as E


@virtual
async def test_a_dead_leader_is_replaced_after_its_session():
    leader, follower = await pair()
    deadline = asyncio.get_running_loop().time() + 10
    while follower.heartbeat() is E.NONE:
        await asyncio.sleep(0.5)
    assert asyncio.get_running_loop().time() == pytest.approx(deadline, abs=0.6)
    await follower.enter()
    assert follower.leads
    assert [m.member_id for m in follower.joined.members] == [follower.member_id]
    assert leader.heartbeat() is E.UNKNOWN_MEMBER_ID


@virtual
async def test_heartbeats_and_commits_keep_a_session():
    client = Client(make())
    await client.enter()
    for turn in range(20):
        await asyncio.sleep(8)
        if turn % 2:
            assert client.heartbeat() is E.NONE
        else:
            assert await client.commit(turn) is E.NONE
    await asyncio.sleep(10.1)
    assert client.heartbeat() is E.UNKNOWN_MEMBER_ID
    assert group_of(client).state is State.EMPTY


@virtual
async def test_a_parked_member_does_not_expire():
    coordinator = make()
    slow = Client(coordinator, "slow", session_ms=60_000, rebalance_ms=60_000)
    await slow.enter()
    quick = Client(coordinator, "quick", session_ms=6_000, rebalance_ms=60_000)
    joining = asyncio.ensure_future(quick.join())
    await asyncio.sleep(50)
    await slow.join()
    assert (await joining).error is E.NONE
    assert {m.member_id for m in slow.joined.members} == {slow.member_id, quick.member_id}


@virtual
async def test_a_first_join_parked_too_long_is_given_up():
    coordinator = make(new_member_join_timeout_ms=20_000)
    slow = Client(coordinator, "slow", session_ms=100_000, rebalance_ms=100_000)
    await slow.enter()
    joined = await Client(coordinator, "new").join()
    assert joined.error is E.UNKNOWN_MEMBER_ID
    assert asyncio.get_running_loop().time() == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize("version", [3, 9])
@virtual
async def test_a_parked_join_cut_off_is_not_a_leave(version):
    coordinator = make()
    old = Client(coordinator, "old", session_ms=60_000)
    await old.enter()
    cut = Client(coordinator, "cut", version=version, session_ms=10_000)
    task = asyncio.ensure_future(cut.join())
    await settle()
    task.cancel()
    await settle()
    group = group_of(old)
    # From v4 on the client knows its id and may come back; before, nobody could ever use it.
    assert len(group.members) == (2 if version >= 4 else 1)
    if version >= 4:
        back = asyncio.ensure_future(cut.join())
        await settle()
        await old.join()
        assert (await back).generation == old.generation == 2
    else:
        await old.join()
        assert [m.member_id for m in old.joined.members] == [old.member_id]


@virtual
async def test_a_parked_join_cut_off_for_good_delays_the_others_by_its_session_only():
    coordinator = make()
    old = Client(coordinator, "old", session_ms=60_000, rebalance_ms=300_000)
    await old.enter()
    cut = Client(coordinator, "cut", session_ms=10_000, rebalance_ms=300_000)
    task = asyncio.ensure_future(cut.join())
    await settle()
    task.cancel()
    await old.join()
    assert asyncio.get_running_loop().time() == pytest.approx(10, abs=0.1)
    assert len(old.joined.members) == 1


@virtual
async def test_a_parked_sync_cut_off_lets_the_session_run():
    coordinator = make(initial_rebalance_delay_ms=50)
    clients = [Client(coordinator, f"c{n}") for n in range(2)]
    await asyncio.gather(*(c.join() for c in clients))
    leader = next(c for c in clients if c.leads)
    follower = next(c for c in clients if not c.leads)
    task = asyncio.ensure_future(follower.sync())
    await settle()
    task.cancel()
    await settle()
    assert (await leader.sync()).error is E.NONE
    assert (await follower.sync()).assignment == b"for " + follower.member_id.encode()


@virtual
async def test_leaving_rebalances_at_once_and_the_last_one_empties_the_group():
    leader, follower = await pair()
    assert leader.leave() is E.NONE
    assert follower.heartbeat() is E.REBALANCE_IN_PROGRESS
    await follower.enter()
    assert follower.leads
    generation = follower.generation
    assert follower.leave() is E.NONE
    group = group_of(follower)
    assert (group.state, group.generation) == (State.EMPTY, generation + 1)
    newcomer = Client(follower.coordinator)
    assert (await newcomer.join()).generation == generation + 2


@virtual
async def test_leave_answers_parked_requests_and_pending_ids_may_leave():
    coordinator = make()
    old = Client(coordinator, "old")
    await old.enter()
    new = Client(coordinator, "new")
    new.member_id = (await new.join_once()).member_id
    parked = asyncio.ensure_future(new.join_once())
    await settle()
    ghost = await Client(coordinator).join_once()
    error, codes = coordinator.leave(
        GROUP, [new.identity, Identity(ghost.member_id), Identity("nobody")]
    )
    assert (error, codes) == (E.NONE, [E.NONE, E.NONE, E.UNKNOWN_MEMBER_ID])
    assert (await parked).error is E.UNKNOWN_MEMBER_ID
