"""What nobody used for the retention time goes, and nothing else."""

from __future__ import annotations

import asyncio

from gateway.groups.members import Identity
from gateway.groups.tests.harness import Client, FakeJournal, enter_all, make, virtual
from gateway.groups.tests.test_coordinator import offsets_of, restarted, to_commit
from gateway.groups.tests.test_subscriptions import subscribed
from protocol.error_codes import ErrorCode as E

SIMPLE = Identity("")


@virtual
async def test_unused_offsets_and_empty_groups_expire():
    journal = FakeJournal()
    coordinator = make(journal, offsets_retention_ms=100_000, offsets_check_interval_ms=10_000)
    client = Client(coordinator)
    await client.enter()
    await client.commit(5)
    await coordinator.commit("simple", SIMPLE, -1, [to_commit()])
    for _ in range(50):  # a group with members keeps its offsets
        await asyncio.sleep(4)
        assert client.heartbeat() is E.NONE
    assert offsets_of(coordinator) == {("t", 0): 5}
    assert offsets_of(coordinator, "simple") == {}
    client.leave()
    await asyncio.sleep(90)
    assert offsets_of(coordinator) == {("t", 0): 5}
    await asyncio.sleep(30)
    assert offsets_of(coordinator) == {}
    assert coordinator._groups == {}
    await asyncio.sleep(1)
    assert coordinator.snapshot() == []
    assert journal.compacted() == {}


@virtual
async def test_an_empty_group_without_offsets_is_forgotten_at_the_next_check():
    coordinator = make(offsets_check_interval_ms=10_000)
    clients = [Client(coordinator, group=f"g{n}") for n in range(1_200)]
    for client in clients:
        await client.enter()
    for client in clients[1:]:
        client.leave()
    for _ in range(3):
        await asyncio.sleep(4)
        clients[0].heartbeat()
    await asyncio.sleep(1)
    assert set(coordinator._groups) == {"g0"}
    assert len(coordinator.snapshot()) == 1


@virtual
async def test_an_id_handed_out_keeps_its_empty_group():
    coordinator = make(offsets_check_interval_ms=10_000)
    first, second = Client(coordinator), Client(coordinator)
    await first.enter()
    await asyncio.sleep(5)
    first.leave()
    second.member_id = (await second.join_once()).member_id
    await asyncio.sleep(6)
    await second.enter()
    assert second.generation > first.generation


SHORT = {"offsets_retention_ms": 100_000, "offsets_check_interval_ms": 10_000}


async def living(*clients: Client, for_s: float) -> None:
    for _ in range(round(for_s / 4)):
        await asyncio.sleep(4)
        for client in clients:
            assert client.heartbeat() is E.NONE


@virtual
async def test_a_group_keeps_what_its_members_read_and_not_what_they_read_once():
    coordinator = make(initial_rebalance_delay_ms=50, **SHORT)
    one = Client(coordinator, protocols=(("range", subscribed("t")),))
    two = Client(coordinator, protocols=(("range", subscribed("u")),))
    await enter_all(one, two)
    for topic in ("t", "u", "once", "lately"):
        assert await one.commit(1, topic) is E.NONE
    await living(one, two, for_s=60)
    assert await two.commit(2, "lately") is E.NONE
    await living(one, two, for_s=60)
    assert offsets_of(coordinator) == {("t", 0): 1, ("u", 0): 1, ("lately", 0): 2}
    await living(one, two, for_s=60)
    assert offsets_of(coordinator) == {("t", 0): 1, ("u", 0): 1}


@virtual
async def test_of_what_members_read_and_nobody_knows_nothing_goes():
    coordinator = make(**SHORT)
    client = Client(coordinator, protocols=(("range", b"no consumer's"),))
    await client.enter()
    await client.commit(1, "t")
    await living(client, for_s=200)
    assert offsets_of(coordinator) == {("t", 0): 1}


@virtual
async def test_nothing_goes_while_a_group_finds_its_members():
    coordinator = make(**SHORT)
    one = Client(coordinator, protocols=(("range", subscribed("t")),), session_ms=300_000)
    two = Client(coordinator, protocols=(("range", subscribed("u")),))
    await one.enter()
    one.rebalance_ms = 600_000
    await one.commit(1, "u")
    await asyncio.sleep(95)
    two.member_id = (await two.join_once()).member_id
    joining = asyncio.ensure_future(two.join_once())  # one does not come back yet
    await asyncio.sleep(50)
    assert not joining.done()
    assert offsets_of(coordinator) == {("u", 0): 1}
    joining.cancel()


@virtual
async def test_an_offset_is_kept_for_as_long_as_its_client_said():
    journal = FakeJournal()
    coordinator = make(journal, **SHORT)
    kept = [
        to_commit(topic="short", retention_ms=20_000),
        to_commit(topic="long", retention_ms=1_000_000),
        to_commit(topic="always", retention_ms=2**63 - 1),
        to_commit(topic="as others"),
    ]
    await coordinator.commit("simple", SIMPLE, -1, kept)
    await asyncio.sleep(31)
    assert set(offsets_of(coordinator, "simple")) == {("long", 0), ("always", 0), ("as others", 0)}
    await coordinator.close()
    after = restarted(journal, **SHORT)
    assert set(offsets_of(after, "simple")) == {("long", 0), ("always", 0), ("as others", 0)}
    await asyncio.sleep(100)
    assert set(offsets_of(after, "simple")) == {("long", 0), ("always", 0)}
    await asyncio.sleep(900)
    assert set(offsets_of(after, "simple")) == {("always", 0)}


@virtual
async def test_what_is_committed_anew_while_it_expires_stays():
    journal = FakeJournal()
    coordinator = make(journal, **SHORT)
    await coordinator.commit("simple", SIMPLE, -1, [to_commit(offset=1)])
    await asyncio.sleep(98)
    journal.hold = True
    again = asyncio.ensure_future(coordinator.commit("simple", SIMPLE, -1, [to_commit(offset=2)]))
    await asyncio.sleep(4)  # the sweep comes while it is written
    journal.hold = False
    journal.release()
    assert await again == [E.NONE]
    assert offsets_of(coordinator, "simple") == {("t", 0): 2}
    assert set(offsets_of(restarted(journal), "simple")) == {("t", 0)}
