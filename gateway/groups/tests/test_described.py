"""What administrators are told of a group, state by state."""

from __future__ import annotations

import asyncio

from gateway.groups.described import DescribedMember, ListedGroup
from gateway.groups.members import Identity
from gateway.groups.offsets import OffsetToCommit
from gateway.groups.states import State
from gateway.groups.tests.harness import GROUP, Client, make, pair, settle, virtual
from protocol.error_codes import ErrorCode as E


def describe(coordinator):
    code, group = coordinator.described(GROUP)
    assert code is E.NONE
    return group


@virtual
async def test_a_stable_group_is_told_whole():
    leader, follower = await pair()
    group = describe(leader.coordinator)
    assert group[:3] == (State.STABLE, "consumer", "range")
    assert sorted(group.members) == sorted(
        DescribedMember(
            c.member_id, None, c.name, "/127.0.0.1", b"R", b"for " + c.member_id.encode()
        )
        for c in (leader, follower)
    )


@virtual
async def test_protocol_metadata_and_assignments_are_told_of_a_stable_group_only():
    coordinator = make()
    client = Client(coordinator, instance="i1")
    await client.join()
    group = describe(coordinator)
    assert group[:3] == (State.COMPLETING_REBALANCE, "consumer", "")
    (member,) = group.members
    assert (member.member_id, member.group_instance_id) == (client.member_id, "i1")
    assert (member.metadata, member.assignment) == (b"", b"")
    await client.sync()
    joining = asyncio.ensure_future(Client(coordinator, version=3).join())
    await settle()
    group = describe(coordinator)
    assert group[:3] == (State.PREPARING_REBALANCE, "consumer", "")
    assert {(m.metadata, m.assignment) for m in group.members} == {(b"", b"")}
    joining.cancel()


@virtual
async def test_an_empty_group_keeps_its_type_and_one_of_offsets_alone_has_none():
    coordinator = make()
    client = Client(coordinator)
    await client.enter()
    client.leave()
    assert describe(coordinator) == (State.EMPTY, "consumer", "", [])
    wanted = OffsetToCommit(topic="t", partition=0, offset=1, leader_epoch=0, metadata="")
    await coordinator.commit("simple", Identity(""), -1, [wanted])
    assert coordinator.described("simple") == (E.NONE, (State.EMPTY, "", "", ()))
    assert [coordinator.listed(group_id) for group_id in coordinator.group_ids()] == [
        ListedGroup(GROUP, "consumer", State.EMPTY),
        ListedGroup("simple", "", State.EMPTY),
    ]
    assert coordinator.listed("nobody") is None
    assert coordinator.described("nobody") == (E.NONE, None)
