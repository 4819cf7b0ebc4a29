"""What nobody used for the retention time goes, and nothing else."""

from __future__ import annotations

import asyncio

from gateway.groups.members import Identity
from gateway.groups.tests.harness import Client, FakeJournal, make, virtual
from gateway.groups.tests.test_coordinator import offsets_of, to_commit
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
