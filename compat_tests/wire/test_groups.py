"""The classic group protocol, request by request: who is told what, and with which code."""

from dataclasses import dataclass
from typing import Any

import pytest
from kafka.protocol.consumer import (
    HeartbeatRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    OffsetCommitRequest,
    OffsetFetchRequest,
    SyncGroupRequest,
)

from compat_tests.support.deadline import wait_until
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import find_coordinator

pytestmark = pytest.mark.storage_blind(
    "who is a member is known in memory only; commits in their versions"
)

ILLEGAL_GENERATION = 22
INCONSISTENT_GROUP_PROTOCOL = 23
UNKNOWN_MEMBER_ID = 25
INVALID_SESSION_TIMEOUT = 26
REBALANCE_IN_PROGRESS = 27
MEMBER_ID_REQUIRED = 79
JOIN_VERSION = 5
PROTOCOL_TYPE = "wire"  # of a "consumer" Kafka parses the metadata, which are opaque here
NO_OFFSET = -1


def join_request(
    group: str, member_id: str = "", *, session_timeout_ms: int = 30_000, protocol: str = "range"
) -> JoinGroupRequest:
    row = JoinGroupRequest.JoinGroupRequestProtocol(
        name=protocol, metadata=b"meta of " + member_id.encode()
    )
    return JoinGroupRequest(
        group_id=group,
        session_timeout_ms=session_timeout_ms,
        rebalance_timeout_ms=30_000,
        member_id=member_id,
        group_instance_id=None,
        protocol_type=PROTOCOL_TYPE,
        protocols=[row],
    )


def sync_request(
    group: str, member_id: str, generation: int, assignments: dict[str, bytes] | None = None
) -> SyncGroupRequest:
    row = SyncGroupRequest.SyncGroupRequestAssignment
    return SyncGroupRequest(
        group_id=group,
        generation_id=generation,
        member_id=member_id,
        group_instance_id=None,
        assignments=[
            row(member_id=name, assignment=value) for name, value in (assignments or {}).items()
        ],
    )


@dataclass
class Member:
    """One member on a connection of its own."""

    connection: Connection
    group: str
    member_id: str = ""
    generation: int = -1

    def get_id(self) -> None:
        answer = self.connection.call(join_request(self.group), JOIN_VERSION)
        assert answer.error_code == MEMBER_ID_REQUIRED
        assert answer.member_id
        self.member_id = answer.member_id

    def send_join(self) -> None:
        self.connection.send(join_request(self.group, self.member_id), JOIN_VERSION)

    def joined(self) -> Any:
        _, answer = self.connection.receive()
        assert answer.error_code == 0
        self.generation = answer.generation_id
        return answer

    def send_sync(self, assignments: dict[str, bytes] | None = None) -> None:
        request = sync_request(self.group, self.member_id, self.generation, assignments)
        self.connection.send(request, 3)

    def heartbeat(self, *, generation: int | None = None, member_id: str | None = None) -> int:
        request = HeartbeatRequest(
            group_id=self.group,
            generation_id=self.generation if generation is None else generation,
            member_id=self.member_id if member_id is None else member_id,
            group_instance_id=None,
        )
        return int(self.connection.call(request, 3).error_code)

    def commit(
        self,
        topic: str,
        offset: int,
        *,
        generation: int | None = None,
        member_id: str | None = None,
        metadata: str = "",
    ) -> int:
        row = OffsetCommitRequest.OffsetCommitRequestTopic
        partition = row.OffsetCommitRequestPartition(
            partition_index=0,
            committed_offset=offset,
            committed_leader_epoch=-1,
            committed_metadata=metadata,
        )
        request = OffsetCommitRequest(
            group_id=self.group,
            generation_id_or_member_epoch=self.generation if generation is None else generation,
            member_id=self.member_id if member_id is None else member_id,
            group_instance_id=None,
            topics=[row(name=topic, partitions=[partition])],
        )
        return int(self.connection.call(request, 7).topics[0].partitions[0].error_code)

    def leave(self) -> int:
        request = LeaveGroupRequest(group_id=self.group, member_id=self.member_id)
        return int(self.connection.call(request, 2).error_code)


@pytest.fixture
def group(wire: Connection, topic: str) -> str:
    """The name of a group whose coordinator is ready."""
    find_coordinator(wire, topic)
    return topic


@pytest.fixture
def pair(dial: Any, group: str) -> tuple[Member, Member]:
    """A stable group of two, the leader first."""
    one, two = Member(dial(), group), Member(dial(), group)
    one.get_id()
    one.send_join()
    one.joined()
    two.get_id()
    two.send_join()
    wait_until(lambda: one.heartbeat() == REBALANCE_IN_PROGRESS, what="the rebalance")
    one.send_join()
    answers = {member.member_id: (member, member.joined()) for member in (one, two)}
    leader_id = answers[one.member_id][1].leader
    leader, (follower,) = (
        answers[leader_id][0],
        [member for name, (member, _) in answers.items() if name != leader_id],
    )
    follower.send_sync()
    leader.send_sync({leader.member_id: b"for the leader", follower.member_id: b"\x00\xff opaque"})
    for member, expected in ((leader, b"for the leader"), (follower, b"\x00\xff opaque")):
        _, answer = member.connection.receive()
        assert (answer.error_code, bytes(answer.assignment)) == (0, expected)
    return leader, follower


def test_old_versions_join_at_once(dial: Any, group: str) -> None:
    """kafka-go does not know MEMBER_ID_REQUIRED."""
    for version in range(4):
        answer = dial().call(join_request(f"{group}-{version}"), version)
        assert answer.error_code == 0
        assert answer.member_id and answer.leader == answer.member_id


def test_new_versions_join_in_two_steps(dial: Any, group: str) -> None:
    member = Member(dial(), group)
    member.get_id()
    member.send_join()
    answer = member.joined()
    assert answer.leader == member.member_id
    assert [row.member_id for row in answer.members] == [member.member_id]


def test_only_the_leader_sees_the_members(dial: Any, group: str) -> None:
    members = [Member(dial(), group) for _ in range(3)]
    for member in members:
        member.get_id()
    members[0].send_join()
    members[0].joined()
    for member in members[1:]:
        member.send_join()
    wait_until(lambda: members[0].heartbeat() == REBALANCE_IN_PROGRESS, what="the rebalance")
    members[0].send_join()
    answers = [member.joined() for member in members]
    assert len({answer.generation_id for answer in answers}) == 1
    assert {answer.protocol_name for answer in answers} == {"range"}
    assert len({answer.leader for answer in answers}) == 1
    # Who joins late may start a round of its own: the last answers count.
    for member, answer in zip(members, answers, strict=True):
        names = {row.member_id for row in answer.members}
        if member.member_id == answer.leader:
            assert member.member_id in names
        else:
            assert names == set()


def test_a_stable_group(pair: tuple[Member, Member]) -> None:
    leader, follower = pair
    assert leader.generation == follower.generation
    for member in pair:
        assert member.heartbeat() == 0
        assert member.heartbeat(generation=member.generation - 1) == ILLEGAL_GENERATION
        assert member.heartbeat(member_id="nobody") == UNKNOWN_MEMBER_ID


def test_commits_of_members(pair: tuple[Member, Member], made: str) -> None:
    leader, follower = pair
    assert leader.commit(made, 5) == 0
    assert leader.commit(made, 6, generation=leader.generation - 1) == ILLEGAL_GENERATION
    assert leader.commit(made, 7, member_id="nobody") == UNKNOWN_MEMBER_ID
    outsider = leader.commit(made, 8, generation=-1, member_id="")
    assert outsider in (UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION), "a simple commit to a live group"
    assert fetch_offset(follower.connection, leader.group, made)[0] == 5


def test_leaving_starts_a_rebalance(pair: tuple[Member, Member]) -> None:
    leader, follower = pair
    assert follower.leave() == 0
    assert follower.heartbeat() == UNKNOWN_MEMBER_ID
    wait_until(lambda: leader.heartbeat() == REBALANCE_IN_PROGRESS, what="the rebalance")
    before = leader.generation
    leader.send_join()
    assert leader.joined().generation_id == before + 1


def test_closing_the_connection_is_not_leaving(pair: tuple[Member, Member]) -> None:
    leader, follower = pair
    follower.connection.close()
    assert leader.heartbeat() == 0


def test_foreign_protocols_and_bad_timeouts_are_refused(
    pair: tuple[Member, Member], dial: Any
) -> None:
    group = pair[0].group
    connection = dial()
    answer = connection.call(join_request(group, protocol="unheard-of"), 3)
    assert answer.error_code == INCONSISTENT_GROUP_PROTOCOL
    for timeout_ms in (1, 10_000_000):
        answer = connection.call(join_request(f"{group}-t", session_timeout_ms=timeout_ms), 3)
        assert answer.error_code == INVALID_SESSION_TIMEOUT
    answer = connection.call(join_request(group, "never-seen"), JOIN_VERSION)
    assert answer.error_code == UNKNOWN_MEMBER_ID


def fetch_offset(
    connection: Connection, group: str, topic: str, version: int = 7
) -> tuple[int, str, int]:
    """Offset, metadata, error code of partition 0."""
    row = OffsetFetchRequest.OffsetFetchRequestTopic(name=topic, partition_indexes=[0])
    group_row = OffsetFetchRequest.OffsetFetchRequestGroup
    inner = group_row.OffsetFetchRequestTopics(name=topic, partition_indexes=[0])
    request = OffsetFetchRequest(
        group_id=group,
        topics=[row],
        groups=[group_row(group_id=group, member_id=None, member_epoch=-1, topics=[inner])],
        require_stable=False,
    )
    response = connection.call(request, version)
    topics = response.groups[0].topics if version >= 8 else response.topics
    partition = topics[0].partitions[0]
    return partition.committed_offset, partition.metadata, partition.error_code


@pytest.mark.parametrize("version", range(1, 10))
def test_committed_offsets_in_every_version(
    wire: Connection, group: str, made: str, version: int
) -> None:
    """Never committed: -1, empty (not null) metadata, no error; then what was committed."""
    assert fetch_offset(wire, group, made, version) == (NO_OFFSET, "", 0)
    simple = Member(wire, group)
    assert simple.commit(made, 42, metadata="some ü text") == 0
    assert fetch_offset(wire, group, made, version) == (42, "some ü text", 0)


@pytest.mark.parametrize("version", [2, 5, 7])
def test_all_topics_of_a_group(wire: Connection, group: str, made: str, version: int) -> None:
    """Null topics ask for everything committed; empty ones for nothing."""
    assert Member(wire, group).commit(made, 3) == 0
    for topics, expected in ((None, [made]), ([], [])):
        request = OffsetFetchRequest(group_id=group, topics=topics, require_stable=False)
        response = wire.call(request, version)
        assert response.error_code == 0
        assert [topic.name for topic in response.topics] == expected
