"""The group handlers: what each version means, through the real codec of that version."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from gateway.api import group_offsets
from gateway.api import groups as api
from gateway.groups.tests.harness import GROUP, Client, make, settle, virtual
from protocol import ErrorCode as E
from protocol.messages.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from protocol.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from protocol.messages.join_group import (
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    JoinGroupResponse,
)
from protocol.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse, MemberIdentity
from protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
)
from protocol.messages.sync_group import (
    SyncGroupRequest,
    SyncGroupRequestAssignment,
    SyncGroupResponse,
)
from protocol.primitives import Writer

TOPIC_ID = b"i" * 16
HANDLERS = {
    FindCoordinatorRequest: (api.find_coordinator, api.find_coordinator_error),
    JoinGroupRequest: (api.join_group, api.join_group_error),
    SyncGroupRequest: (api.sync_group, api.sync_group_error),
    HeartbeatRequest: (api.heartbeat, api.heartbeat_error),
    LeaveGroupRequest: (api.leave_group, api.leave_group_error),
    OffsetCommitRequest: (group_offsets.offset_commit, group_offsets.offset_commit_error),
    OffsetFetchRequest: (group_offsets.offset_fetch, group_offsets.offset_fetch_error),
}
RESPONSES = {
    FindCoordinatorRequest: FindCoordinatorResponse,
    JoinGroupRequest: JoinGroupResponse,
    SyncGroupRequest: SyncGroupResponse,
    HeartbeatRequest: HeartbeatResponse,
    LeaveGroupRequest: LeaveGroupResponse,
    OffsetCommitRequest: OffsetCommitResponse,
    OffsetFetchRequest: OffsetFetchResponse,
}


def through_codec(message, cls, version):
    out = Writer()
    message.encode(out, version)
    return cls.decode(memoryview(out.to_bytes()), 0, version)[0]


async def answer_at_once():
    """There is a place for group records."""


class Broker:
    """A coordinator behind its handlers, addressed as a client would: by bytes of a version."""

    def __init__(self, **limits) -> None:
        self.groups = make(**limits)
        known = SimpleNamespace(topic=SimpleNamespace(id=TOPIC_ID))
        broker = SimpleNamespace(
            node=SimpleNamespace(node_id=3, host="gw.example", port=19092),
            partition=lambda topic, index: known if topic == "t" and index < 4 else None,
            topics=SimpleNamespace(named=lambda name: known.topic if name == "t" else None),
            offsets_ready=answer_at_once,
        )
        coordinators = SimpleNamespace(of=lambda group: self.groups, is_served=lambda group: True)
        self.services = SimpleNamespace(broker=broker, groups=coordinators)

    async def ask(self, request, version, client_id="me"):
        call = SimpleNamespace(
            version=version,
            header=SimpleNamespace(api_version=version, client_id=client_id),
            client_host="10.0.0.9",
            services=self.services,
            broker=self.services.broker,
        )
        request = through_codec(request, type(request), version)
        answer = await HANDLERS[type(request)][0](request, call)
        return through_codec(answer, RESPONSES[type(request)], version)


# ---- FindCoordinator


@pytest.mark.parametrize("version", range(6))
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
        for asked, answer in zip([key] if version < 4 else key, answers, strict=True):
            # The empty name too: one may commit under it (`SimpleConsumer`'s group).
            assert (answer.error_code, answer.error_message or None) == (E.NONE, None), asked
            assert (answer.node_id, answer.host, answer.port) == (3, "gw.example", 19092)
    assert broker.groups._groups == {}


@pytest.mark.parametrize(
    ("key_type", "code"),
    [(1, E.UNSUPPORTED_VERSION), (2, E.INVALID_REQUEST), (-1, E.INVALID_REQUEST)],
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


# ---- offsets


def commit_request(partitions, **fields) -> OffsetCommitRequest:
    by_topic = {}
    for (topic, index), (offset, metadata) in partitions.items():
        by_topic.setdefault(topic, []).append(
            OffsetCommitRequestPartition(
                partition_index=index,
                committed_offset=offset,
                committed_leader_epoch=6,
                committed_metadata=metadata,
            )
        )
    topics = [
        OffsetCommitRequestTopic(name=name, partitions=parts) for name, parts in by_topic.items()
    ]
    return OffsetCommitRequest(group_id=GROUP, topics=topics, **fields)


def codes_of(answer: OffsetCommitResponse):
    return {
        (topic.name, p.partition_index): p.error_code
        for topic in answer.topics
        for p in topic.partitions
    }


async def fetch(broker, version, wanted, group=GROUP):
    """(group's code, {(topic, partition): (offset, epoch, metadata, code)})"""
    if version >= 8:
        topics = wanted and [
            OffsetFetchRequestTopics(name=n, partition_indexes=list(p)) for n, p in wanted.items()
        ]
        request = OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group, topics=topics)])
        (found,) = (await broker.ask(request, version)).groups
        assert found.group_id == group
    else:
        topics = wanted and [OffsetFetchRequestTopic(n, list(p)) for n, p in wanted.items()]
        request = OffsetFetchRequest(group_id=group, topics=topics)
        found = await broker.ask(request, version)
    return found.error_code, {
        (topic.name, p.partition_index): (
            p.committed_offset,
            p.committed_leader_epoch,
            p.metadata,
            p.error_code,
        )
        for topic in found.topics
        for p in topic.partitions
    }


@pytest.mark.parametrize("version", range(2, 10))
@virtual
async def test_a_simple_commit_in_every_version(version):
    broker = Broker()
    request = commit_request(
        {("t", 0): (5, "m"), ("t", 4): (6, ""), ("t", 1): (7, None), ("missing", 0): (8, "")}
    )
    assert codes_of(await broker.ask(request, version)) == {
        ("t", 0): 0,
        ("t", 4): E.UNKNOWN_TOPIC_OR_PARTITION,
        ("t", 1): 0,
        ("missing", 0): E.UNKNOWN_TOPIC_OR_PARTITION,
    }
    epoch = 6 if version >= 6 else -1
    _, found = await fetch(broker, 9, {"t": [0, 1]})
    assert found == {("t", 0): (5, epoch, "m", 0), ("t", 1): (7, epoch, "", 0)}


@pytest.mark.parametrize("version", range(1, 10))
@virtual
async def test_offset_fetch_in_every_version(version):
    broker = Broker()
    await broker.ask(commit_request({("t", 0): (5, "m"), ("t", 2): (6, "n")}), 9)
    epoch = 6 if version >= 5 else -1
    code, found = await fetch(broker, version, {"t": [0, 1], "missing": [3]})
    assert code == 0
    assert found == {
        ("t", 0): (5, epoch, "m", 0),
        ("t", 1): (-1, -1, "", 0),
        ("missing", 3): (-1, -1, "", 0),
    }
    assert (await fetch(broker, version, {"t": [0]}, "nobody"))[1] == {("t", 0): (-1, -1, "", 0)}
    if version >= 2:
        _, everything = await fetch(broker, version, None)
        assert everything == {("t", 0): (5, epoch, "m", 0), ("t", 2): (6, epoch, "n", 0)}
        assert await fetch(broker, version, None, "nobody") == (0, {})


@virtual
async def test_offset_fetch_of_many_groups():
    broker = Broker()
    await broker.ask(commit_request({("t", 0): (5, "m")}), 9)
    wanted = [OffsetFetchRequestTopics(name="t", partition_indexes=[0])]
    answer = await broker.ask(
        OffsetFetchRequest(
            groups=[
                OffsetFetchRequestGroup("other", topics=wanted),
                OffsetFetchRequestGroup(GROUP, topics=wanted),
                OffsetFetchRequestGroup(GROUP, topics=None),
            ]
        ),
        8,
    )
    offsets = [[p.committed_offset for t in g.topics for p in t.partitions] for g in answer.groups]
    assert offsets == [[-1], [5], [5]]


@virtual
async def test_a_members_commit_and_a_strangers():
    broker = Broker()
    client = Client(broker.groups)
    await client.enter()
    member = {"member_id": client.member_id, "generation_id_or_member_epoch": client.generation}
    one = {("t", 0): (9, "")}
    assert codes_of(await broker.ask(commit_request(one, **member), 9)) == {("t", 0): 0}
    assert codes_of(await broker.ask(commit_request(one), 7)) == {("t", 0): E.UNKNOWN_MEMBER_ID}


@virtual
async def test_a_closed_coordinator_is_told_in_every_answer():
    broker = Broker()
    await broker.groups.close()
    for version in range(1, 10):
        code, found = await fetch(broker, version, {"t": [0]})
        assert code == (E.NOT_COORDINATOR if version >= 2 else 0)
        assert found == {("t", 0): (-1, -1, "", E.NOT_COORDINATOR)}
    assert codes_of(await broker.ask(commit_request({("t", 0): (9, "")}), 9)) == {
        ("t", 0): E.NOT_COORDINATOR
    }


# ---- the same error for everything that was asked


def test_error_answers_encode_in_every_version():
    requests = [
        (FindCoordinatorRequest(key="k", coordinator_keys=["a", "b"]), range(6)),
        (join_request(), range(10)),
        (SyncGroupRequest(group_id=GROUP), range(6)),
        (HeartbeatRequest(group_id=GROUP), range(5)),
        (LeaveGroupRequest(group_id=GROUP, members=[MemberIdentity("m")]), range(6)),
        (commit_request({("t", 0): (1, ""), ("t", 1): (1, "")}), range(2, 10)),
        (
            OffsetFetchRequest(
                group_id=GROUP,
                topics=[OffsetFetchRequestTopic("t", [0, 1])],
                groups=[OffsetFetchRequestGroup(GROUP)],
            ),
            range(1, 10),
        ),
    ]
    for request, versions in requests:
        answer = HANDLERS[type(request)][1](request, E.UNKNOWN_SERVER_ERROR)
        for version in versions:
            read = through_codec(answer, RESPONSES[type(request)], version)
            assert "-1" in repr(read)
