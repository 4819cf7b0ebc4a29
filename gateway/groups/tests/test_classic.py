"""The state machine: rebalances, its codes in every state, leaders, static members, deadlines."""

from __future__ import annotations

from gateway.groups.tests.harness import (
    Client,
    enter_all,
    make,
    virtual,
)
from protocol.error_codes import ErrorCode as E


def group_of(client: Client):
    return client.coordinator._groups[client.group]


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
