"""The state machine: rebalances, codes in every state, leaders, bounds."""

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
    pair,
    settle,
    virtual,
)
from protocol.error_codes import ErrorCode as E
from wal_core import Unavailable

# ---- joining


@virtual
async def test_one_member_leads_and_gets_its_assignment_untouched():
    client = Client(make())
    joined = await client.join()
    assert (joined.error, joined.generation, joined.protocol_name) == (E.NONE, 1, "range")
    assert joined.leader_id == client.member_id
    assert joined.members == [(client.member_id, None, b"R")]
    opaque = bytes(range(256)) * 300
    synced = await client.sync({client.member_id: opaque})
    assert synced == (E.NONE, "consumer", "range", opaque)
    assert client.heartbeat() is E.NONE


@virtual
async def test_member_id_is_required_from_v4_only():
    coordinator = make()
    first = await Client(coordinator, version=4).join_once()
    assert first.error is E.MEMBER_ID_REQUIRED
    assert first.member_id.startswith("c-")
    old = await Client(coordinator, version=3, group="other").join_once()
    assert old.error is E.NONE
    static = await Client(coordinator, instance="i", group="third").join_once()
    assert static.error is E.NONE
    assert static.member_id.startswith("i-")


@virtual
async def test_three_members_one_leader_sees_all():
    coordinator = make(initial_rebalance_delay_ms=100)
    clients = [Client(coordinator, f"c{n}") for n in range(3)]
    await enter_all(*clients)
    assert {c.generation for c in clients} == {1}
    leaders = [c for c in clients if c.leads]
    assert len(leaders) == 1
    for client in clients:
        assert client.joined.leader_id == leaders[0].member_id
        members = {m.member_id for m in client.joined.members}
        assert members == ({c.member_id for c in clients} if client.leads else set())
        assert client.synced.assignment == b"for " + client.member_id.encode()


@virtual
async def test_the_initial_delay_grows_with_newcomers_but_not_past_the_rebalance_timeout():
    coordinator = make(initial_rebalance_delay_ms=100)
    loop = asyncio.get_running_loop()
    clients = [Client(coordinator, f"c{n}", rebalance_ms=350) for n in range(10)]

    async def later(n):
        await asyncio.sleep(n * 0.09)
        return await clients[n].join()

    joins = [asyncio.ensure_future(later(n)) for n in range(10)]
    assert (await joins[0]).generation == 1
    assert loop.time() == pytest.approx(0.35)
    for join in joins:
        join.cancel()


@virtual
async def test_a_pending_id_holds_nobody_up_and_is_forgotten_after_a_session():
    coordinator = make()
    member, ghost = Client(coordinator), Client(coordinator, session_ms=10_000)
    pending = await ghost.join_once()
    await member.enter()
    assert asyncio.get_running_loop().time() < 1
    await asyncio.sleep(10.1)
    late = await ghost.join_once(member_id=pending.member_id)
    assert late.error is E.UNKNOWN_MEMBER_ID


@virtual
async def test_an_id_handed_out_makes_no_group():
    coordinator = make(groups_max_count=1)
    for n in range(100):
        refused = await Client(coordinator, group=f"g{n}", session_ms=1_800_000).join_once()
        assert refused.error is E.MEMBER_ID_REQUIRED
    assert (coordinator._groups, coordinator.budget.used_bytes) == ({}, 0)
    assert (await Client(coordinator).enter()).error is E.NONE


@virtual
async def test_a_pending_id_of_no_group_may_leave():
    coordinator = make()
    ghost = Client(coordinator)
    ghost.member_id = (await ghost.join_once()).member_id
    assert ghost.leave() is E.NONE
    assert ghost.leave() is E.UNKNOWN_MEMBER_ID
    assert (await ghost.join_once()).error is E.UNKNOWN_MEMBER_ID


@virtual
async def test_protocol_votes_among_those_that_all_support():
    coordinator = make(initial_rebalance_delay_ms=50)
    lists = [("x", "y", "z"), ("z", "y"), ("z", "y", "q")]
    clients = [
        Client(
            coordinator, f"c{n}", protocols=tuple((name, b"-" + name.encode()) for name in names)
        )
        for n, names in enumerate(lists)
    ]
    await enter_all(*clients)
    assert {c.joined.protocol_name for c in clients} == {"z"}
    leader = next(c for c in clients if c.leads)
    assert {m.metadata for m in leader.joined.members} == {b"-z"}


@pytest.mark.parametrize(
    "changes",
    [
        {"protocol_type": "connect"},
        {"protocols": (("unknown", b""),)},
        {"protocols": ()},
        {"protocol_type": ""},
    ],
)
@virtual
async def test_a_member_must_share_protocol_type_and_a_protocol(changes):
    coordinator = make()
    member = Client(coordinator)
    await member.enter()
    stranger = await Client(coordinator, "stranger").join_once(**changes)
    assert stranger.error is E.INCONSISTENT_GROUP_PROTOCOL
    assert member.heartbeat() is E.NONE


@virtual
async def test_a_sole_member_may_change_its_protocols():
    client = Client(make())
    await client.enter()
    client.protocols = (("sticky", b"S"),)
    assert (await client.join()).protocol_name == "sticky"


@virtual
async def test_rebalance_waits_for_members_and_drops_those_that_do_not_come():
    coordinator = make()
    old = Client(coordinator, "old", rebalance_ms=5_000, session_ms=30_000)
    await old.enter()
    new = Client(coordinator, "new", rebalance_ms=5_000)
    joining = asyncio.ensure_future(new.join())
    await asyncio.sleep(1)
    assert not joining.done()
    assert old.heartbeat() is E.REBALANCE_IN_PROGRESS
    joined = await joining
    assert asyncio.get_running_loop().time() == pytest.approx(5, abs=0.1)
    assert [m.member_id for m in joined.members] == [new.member_id]
    assert old.heartbeat() is E.UNKNOWN_MEMBER_ID


@virtual
async def test_unchanged_rejoin_of_a_follower_gets_the_current_generation():
    leader, follower = await pair()
    before = follower.generation
    again = await follower.join()
    assert (again.generation, again.members) == (before, ())
    assert leader.heartbeat() is E.NONE
    assert (await follower.sync()).assignment == b"for " + follower.member_id.encode()


@virtual
async def test_changed_rejoin_of_a_follower_and_any_rejoin_of_the_leader_rebalance():
    leader, follower = await pair()
    generation = leader.generation
    follower.protocols = (("range", b"other topics"),)
    joining = asyncio.ensure_future(follower.join())
    await settle()
    assert leader.heartbeat() is E.REBALANCE_IN_PROGRESS
    assert (await leader.join()).generation == (await joining).generation == generation + 1
    await asyncio.gather(leader.sync(), follower.sync())
    joining = asyncio.ensure_future(leader.join())
    await settle()
    assert follower.heartbeat() is E.REBALANCE_IN_PROGRESS
    await follower.join()
    assert (await joining).generation == generation + 2


@virtual
async def test_rejoin_while_the_assignment_is_awaited():
    coordinator = make(initial_rebalance_delay_ms=50)
    a, b = Client(coordinator, "a"), Client(coordinator, "b")
    await asyncio.gather(a.join(), b.join())
    leader, follower = (a, b) if a.leads else (b, a)
    waiting = asyncio.ensure_future(follower.sync())
    await settle()
    again = await leader.join()  # its answer was lost
    assert (again.generation, len(again.members)) == (1, 2)
    leader.protocols = (("range", b"changed"),)
    joining = asyncio.ensure_future(leader.join())
    assert (await waiting).error is E.REBALANCE_IN_PROGRESS
    await follower.join()
    assert (await joining).generation == 2


@virtual
async def test_a_second_join_of_a_parked_member_answers_the_first():
    leader, follower = await pair()
    follower.protocols = (("range", b"2"),)
    first = asyncio.ensure_future(follower.join_once())
    await settle()
    second = asyncio.ensure_future(follower.join_once())
    assert (await first).error is E.REBALANCE_IN_PROGRESS
    await leader.join()
    assert (await second).error is E.NONE


# ---- syncing


@virtual
async def test_followers_wait_for_the_leader_and_an_assignment_not_given_is_empty():
    coordinator = make(initial_rebalance_delay_ms=50)
    clients = [Client(coordinator, f"c{n}") for n in range(3)]
    await asyncio.gather(*(c.join() for c in clients))
    leader = next(c for c in clients if c.leads)
    one, other = (c for c in clients if c is not leader)
    waiting = [asyncio.ensure_future(c.sync()) for c in (one, other)]
    await settle()
    assert not any(w.done() for w in waiting)
    await leader.sync({one.member_id: b"\x00\xff", "nobody": b"?"})
    assert (await waiting[0]).assignment == b"\x00\xff"
    assert (await waiting[1]).assignment == b""
    assert leader.synced.assignment == b""


@pytest.mark.parametrize(
    ("over", "code"),
    [
        ({"generation": 0}, E.ILLEGAL_GENERATION),
        ({"generation": 99}, E.ILLEGAL_GENERATION),
        ({"protocol_type": "connect"}, E.INCONSISTENT_GROUP_PROTOCOL),
        ({"protocol_name": "sticky"}, E.INCONSISTENT_GROUP_PROTOCOL),
        ({"protocol_type": None, "protocol_name": None}, E.NONE),
    ],
)
@virtual
async def test_sync_is_checked_against_the_generation(over, code):
    client = Client(make())
    await client.join()
    assert (await client.sync(**over)).error is code


@virtual
async def test_who_joined_but_never_syncs_is_removed_at_the_sync_deadline():
    coordinator = make(initial_rebalance_delay_ms=50)
    clients = [Client(coordinator, f"c{n}", rebalance_ms=3_000) for n in range(2)]
    await asyncio.gather(*(c.join() for c in clients))
    leader = next(c for c in clients if c.leads)
    follower = next(c for c in clients if not c.leads)
    waiting = asyncio.ensure_future(follower.sync())
    await asyncio.sleep(2)
    assert leader.heartbeat() is E.NONE  # alive, but it does not assign
    assert (await waiting).error is E.REBALANCE_IN_PROGRESS
    assert asyncio.get_running_loop().time() == pytest.approx(3.1, abs=0.1)
    assert leader.heartbeat() is E.UNKNOWN_MEMBER_ID
    await follower.enter()
    assert follower.leads


@virtual
async def test_a_follower_that_never_syncs_is_removed_even_when_the_group_is_stable():
    coordinator = make(initial_rebalance_delay_ms=50)
    clients = [Client(coordinator, f"c{n}", rebalance_ms=3_000, session_ms=30_000) for n in (0, 1)]
    await asyncio.gather(*(c.join() for c in clients))
    leader = next(c for c in clients if c.leads)
    follower = next(c for c in clients if not c.leads)
    assert (await leader.sync()).error is E.NONE
    await asyncio.sleep(3.1)
    assert follower.heartbeat() is E.UNKNOWN_MEMBER_ID
    assert leader.heartbeat() is E.REBALANCE_IN_PROGRESS


@virtual
async def test_an_assignment_that_cannot_be_stored_starts_over():
    journal = FakeJournal()
    coordinator = make(journal, initial_rebalance_delay_ms=50)
    a, b = Client(coordinator, "a"), Client(coordinator, "b")
    await asyncio.gather(a.join(), b.join())
    journal.failure = Unavailable("the store is away")
    results = await asyncio.gather(a.sync(), b.sync())
    assert {r.error for r in results} == {E.COORDINATOR_NOT_AVAILABLE}
    assert a.heartbeat() is E.REBALANCE_IN_PROGRESS
    journal.failure = None
    await enter_all(a, b)
    assert a.generation == b.generation == 2


@virtual
async def test_an_assignment_of_an_old_generation_stored_late_changes_nothing():
    journal = FakeJournal()
    coordinator = make(journal)
    client = Client(coordinator)
    await client.join()
    journal.hold = True
    first = asyncio.ensure_future(client.sync({client.member_id: b"old"}))
    await settle()
    client.protocols = (("range", b"changed"),)
    await client.join()
    assert (await first).error is E.REBALANCE_IN_PROGRESS
    second = asyncio.ensure_future(client.sync({client.member_id: b"new"}))
    await settle()
    journal.release()
    assert (await second).assignment == b"new"


@virtual
async def test_a_leader_that_repeats_its_sync_stores_once():
    journal = FakeJournal()
    client = Client(make(journal))
    await client.join()
    journal.hold = True
    asyncio.ensure_future(client.sync({client.member_id: b"old"}))
    await settle()
    client.protocols = (("range", b"changed"),)
    await client.join()
    asyncio.ensure_future(client.sync({client.member_id: b"new"}))
    await settle()
    journal.held.pop(0).set_result(None)  # the old generation's record
    await settle()
    last = asyncio.ensure_future(client.sync({client.member_id: b"newer"}))
    await settle()
    assert len(journal.log) == 2
    journal.release()
    assert (await last).assignment == b"new"


@virtual
async def test_an_assignment_beyond_the_limit_is_refused_to_all():
    client = Client(make(assignment_bytes_max=100))
    await client.join()
    assert (await client.sync({client.member_id: bytes(101)})).error is E.MESSAGE_TOO_LARGE


# ---- heartbeats, commits: every state


async def in_state(state: State) -> Client:
    coordinator = make()
    client = Client(coordinator, rebalance_ms=20_000)
    await client.join()
    if state in (State.STABLE, State.PREPARING_REBALANCE, State.EMPTY, State.DEAD):
        await client.sync()
    if state is State.PREPARING_REBALANCE:
        asyncio.ensure_future(Client(coordinator, "newcomer").join())
        await settle()
    if state is State.EMPTY:
        client.leave()
    if state is State.DEAD:
        group_of(client).die(E.NOT_COORDINATOR)
    assert group_of(client).state is state
    return client


@pytest.mark.parametrize(
    ("state", "heartbeat", "commit", "simple_commit"),
    [
        (State.EMPTY, E.UNKNOWN_MEMBER_ID, E.UNKNOWN_MEMBER_ID, E.NONE),
        (State.PREPARING_REBALANCE, E.REBALANCE_IN_PROGRESS, E.NONE, E.UNKNOWN_MEMBER_ID),
        (State.COMPLETING_REBALANCE, E.NONE, E.REBALANCE_IN_PROGRESS, E.UNKNOWN_MEMBER_ID),
        (State.STABLE, E.NONE, E.NONE, E.UNKNOWN_MEMBER_ID),
        (
            State.DEAD,
            E.COORDINATOR_NOT_AVAILABLE,
            E.COORDINATOR_NOT_AVAILABLE,
            E.COORDINATOR_NOT_AVAILABLE,
        ),
    ],
)
@virtual
async def test_codes_by_state(state, heartbeat, commit, simple_commit):
    client = await in_state(state)
    dead = state is State.DEAD
    assert client.heartbeat() is heartbeat
    assert await client.commit(7) is commit
    simple = Client(client.coordinator)
    assert await simple.commit(8) is simple_commit
    expected_old = {State.EMPTY: E.UNKNOWN_MEMBER_ID, State.DEAD: heartbeat}
    client.generation -= 1
    assert client.heartbeat() is expected_old.get(state, E.ILLEGAL_GENERATION)
    assert await client.commit(7) is expected_old.get(state, E.ILLEGAL_GENERATION)
    client.member_id = "stranger"
    unknown = E.COORDINATOR_NOT_AVAILABLE if dead else E.UNKNOWN_MEMBER_ID
    assert client.heartbeat() is unknown
    assert await client.commit(7) is unknown
    assert client.leave() is (E.UNKNOWN_MEMBER_ID)


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (State.EMPTY, E.UNKNOWN_MEMBER_ID),
        (State.PREPARING_REBALANCE, E.REBALANCE_IN_PROGRESS),
        (State.COMPLETING_REBALANCE, E.NONE),
        (State.STABLE, E.NONE),
        (State.DEAD, E.COORDINATOR_NOT_AVAILABLE),
    ],
)
@virtual
async def test_sync_codes_by_state(state, code):
    client = await in_state(state)
    assert (await client.sync(protocol_type=None, protocol_name=None)).error is code


@virtual
async def test_everything_about_an_unknown_group():
    client = Client(make())
    assert client.heartbeat() is E.UNKNOWN_MEMBER_ID
    assert (await client.join_once(member_id="x")).error is E.UNKNOWN_MEMBER_ID
    assert client.coordinator.leave(GROUP, [Identity("x"), Identity("y")]) == (
        E.NONE,
        [E.UNKNOWN_MEMBER_ID] * 2,
    )
    client.generation = 3
    assert await client.commit(1) is E.ILLEGAL_GENERATION


# ---- bounds


@virtual
async def test_members_and_metadata_are_bounded_and_ids_handed_out_take_no_place():
    coordinator = make(members_max_count=2, member_metadata_bytes_max=300)
    client = Client(coordinator)
    assert (await client.join_once(protocols=(("range", bytes(300)),))).error is E.MESSAGE_TOO_LARGE
    await client.enter()
    for _ in range(5):
        assert (await Client(coordinator).join_once()).error is E.MEMBER_ID_REQUIRED
    second = Client(coordinator)
    second.member_id = (await second.join_once()).member_id
    await enter_all(client, second)
    assert (await Client(coordinator).join_once()).error is E.GROUP_MAX_SIZE_REACHED
    assert (await client.join_once()).error is E.NONE
