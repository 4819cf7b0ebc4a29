"""The group handlers: what each version means, through the real codec of that version."""

from __future__ import annotations

import asyncio

import pytest

from gateway.api.tests.group_broker import Broker, error_answer
from gateway.groups.tests.harness import GROUP, settle, virtual
from protocol import ErrorCode as E
from protocol.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest
from protocol.messages.find_coordinator import FindCoordinatorRequest
from protocol.messages.heartbeat import HeartbeatRequest
from protocol.messages.join_group import (
    JoinGroupRequest,
    JoinGroupRequestProtocol,
)
from protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity
from protocol.messages.sync_group import (
    SyncGroupRequest,
    SyncGroupRequestAssignment,
)

# ---- FindCoordinator


@pytest.mark.parametrize("version", range(7))
@virtual
async def test_find_coordinator_names_this_node_and_creates_nothing(version):
    broker = Broker()
    keys = [GROUP, "by-dev-rootcoord/12345/1", ""]
    for key in keys if version < 4 else [keys]:
        if version < 4:
            answers = [await broker.ask(FindCoordinatorRequest(key=key), version)]
        else:
            answers = (
                await broker.ask(FindCoordinatorRequest(coordinator_keys=key), version)
            ).coordinators
            assert [a.key for a in answers] == keys
        for answer in answers:
            assert (answer.error_code, answer.error_message or None) == (E.NONE, None)
            assert (answer.node_id, answer.host, answer.port) == (3, "gw.example", 19092)
    assert broker.groups._groups == {}


@pytest.mark.parametrize(
    ("key_type", "code"),
    [
        (1, E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        (2, E.INVALID_REQUEST),
        (-1, E.INVALID_REQUEST),
    ],
)
@virtual
async def test_find_coordinator_of_other_kinds_is_refused_for_good(key_type, code):
    broker = Broker()
    old = await broker.ask(FindCoordinatorRequest(key="k", key_type=key_type), 3)
    assert old.error_code == code
    assert old.error_message
    new = await broker.ask(FindCoordinatorRequest(coordinator_keys=["k"], key_type=key_type), 4)
    assert new.coordinators[0].error_code == code
    assert not E(code).retriable


# ---- membership


def join_request(**fields) -> JoinGroupRequest:
    defaults = {
        "group_id": GROUP,
        "session_timeout_ms": 10_000,
        "rebalance_timeout_ms": 20_000,
        "protocol_type": "consumer",
        "protocols": [JoinGroupRequestProtocol("range", b"subscription")],
    }
    return JoinGroupRequest(**(defaults | fields))


@pytest.mark.parametrize("version", range(10))
@virtual
async def test_a_member_lives_its_whole_life_in_every_version(version):
    broker = Broker()
    joined = await broker.ask(join_request(), version)
    if version >= 4:
        assert joined.error_code == E.MEMBER_ID_REQUIRED
        assert joined.protocol_name == (None if version >= 7 else "")
        joined = await broker.ask(join_request(member_id=joined.member_id), version)
    assert (joined.error_code, joined.generation_id, joined.protocol_name) == (0, 1, "range")
    assert joined.protocol_type == ("consumer" if version >= 7 else None)
    assert joined.leader == joined.member_id
    (member,) = joined.members
    assert (member.member_id, member.metadata) == (joined.member_id, b"subscription")
    who = {"group_id": GROUP, "generation_id": 1, "member_id": joined.member_id}
    synced = await broker.ask(
        SyncGroupRequest(
            **who,
            protocol_type="consumer",
            protocol_name="range",
            assignments=[SyncGroupRequestAssignment(joined.member_id, b"\x00opaque\xff")],
        ),
        min(version, 5),
    )
    assert (synced.error_code, synced.assignment) == (0, b"\x00opaque\xff")
    nameless = await broker.ask(SyncGroupRequest(**who), min(version, 5))
    # From version 5 on a member says what it believes the group to agree on (KIP-559).
    expected = E.INCONSISTENT_GROUP_PROTOCOL if version >= 5 else E.NONE
    assert nameless.error_code == expected
    assert (await broker.ask(HeartbeatRequest(**who), min(version, 4))).error_code == 0
    leave_version = min(version, 5)
    left = await broker.ask(
        LeaveGroupRequest(
            group_id=GROUP,
            member_id=joined.member_id,
            members=[MemberIdentity(joined.member_id), MemberIdentity("nobody")],
        ),
        leave_version,
    )
    assert left.error_code == 0
    if leave_version >= 3:
        assert [(m.member_id, m.error_code) for m in left.members] == [
            (joined.member_id, 0),
            ("nobody", E.UNKNOWN_MEMBER_ID),
        ]
    gone = await broker.ask(HeartbeatRequest(**who), 4)
    assert gone.error_code == E.UNKNOWN_MEMBER_ID


@virtual
async def test_v0_joins_wait_for_a_session_because_they_name_no_rebalance_timeout():
    broker = Broker()
    first = await broker.ask(join_request(session_timeout_ms=6_000), 0)
    second = asyncio.ensure_future(broker.ask(join_request(), 0))
    await settle()
    again = await broker.ask(join_request(member_id=first.member_id), 0)
    assert (await second).generation_id == again.generation_id == 2
    group = broker.groups._groups[GROUP]
    assert {m.rebalance_timeout_ms for m in group.members} == {10_000}


@virtual
async def test_old_leave_answers_for_its_one_member():
    broker = Broker()
    left = await broker.ask(LeaveGroupRequest(group_id=GROUP, member_id="nobody"), 2)
    assert left.error_code == E.UNKNOWN_MEMBER_ID
    assert (await broker.ask(LeaveGroupRequest(group_id=""), 5)).error_code == E.INVALID_GROUP_ID
    assert (await broker.ask(LeaveGroupRequest(group_id=""), 0)).error_code == E.INVALID_GROUP_ID


@virtual
async def test_member_ids_are_named_after_client_or_instance():
    broker = Broker()
    joined = await broker.ask(join_request(), 4, client_id="rdkafka")
    assert joined.member_id.startswith("rdkafka-")
    nameless = await broker.ask(join_request(), 4, client_id=None)
    assert nameless.member_id.startswith("-")
    static = await broker.ask(join_request(group_instance_id="pod-7"), 5)
    assert static.member_id.startswith("pod-7-")
    assert static.members[0].group_instance_id == "pod-7"


@pytest.mark.parametrize("version", [0, 1])
def test_the_next_group_protocol_is_refused_and_the_reason_told(version):
    @virtual
    async def body() -> None:
        broker = Broker()
        request = ConsumerGroupHeartbeatRequest(group_id=GROUP, member_id="m", member_epoch=0)
        refused = await broker.ask(request, version)
        assert refused.error_code == E.UNSUPPORTED_VERSION
        assert "group.protocol=classic" in refused.error_message
        assert GROUP not in broker.groups._groups

    body()


# ---- the same error for everything that was asked


def test_error_answers_encode_in_every_version():
    requests = [
        (FindCoordinatorRequest(key="k", coordinator_keys=["a", "b"]), range(7)),
        (join_request(), range(10)),
        (SyncGroupRequest(group_id=GROUP), range(6)),
        (HeartbeatRequest(group_id=GROUP), range(5)),
        (LeaveGroupRequest(group_id=GROUP, members=[MemberIdentity("m")]), range(6)),
        (ConsumerGroupHeartbeatRequest(group_id=GROUP), range(2)),
    ]
    for request, versions in requests:
        for version in versions:
            assert "-1" in repr(error_answer(request, E.UNKNOWN_SERVER_ERROR, version))
