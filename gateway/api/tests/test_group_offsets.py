"""Commits and fetches of offsets: what each version means, through the real codec of it."""

from __future__ import annotations

import pytest

from gateway.api.tests.group_broker import TOPIC_ID, Broker, error_answer
from gateway.groups.members import Identity
from gateway.groups.offsets import OffsetToCommit
from gateway.groups.tests.harness import GROUP, Client, virtual
from protocol import ErrorCode as E
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
)

UNKNOWN_ID = b"u" * 16
IDS = {"t": TOPIC_ID, "missing": UNKNOWN_ID}
NAMES = {topic_id: name for name, topic_id in IDS.items()}


def commit_request(partitions, **fields) -> OffsetCommitRequest:
    by_topic = {}
    for (topic, index), (offset, metadata) in partitions.items():
        by_topic.setdefault(topic, []).append(
            OffsetCommitRequestPartition(
                partition_index=index,
                committed_offset=offset,
                committed_leader_epoch=6,
                commit_timestamp=5,
                committed_metadata=metadata,
            )
        )
    topics = [
        OffsetCommitRequestTopic(name=name, topic_id=IDS[name], partitions=parts)
        for name, parts in by_topic.items()
    ]
    return OffsetCommitRequest(group_id=GROUP, topics=topics, **fields)


def codes_of(answer: OffsetCommitResponse):
    return {
        (topic.name or NAMES[topic.topic_id], p.partition_index): p.error_code
        for topic in answer.topics
        for p in topic.partitions
    }


async def fetch(broker, version, wanted, group=GROUP):
    """(group's code, {(topic, partition): (offset, epoch, metadata, code)})"""
    if version >= 8:
        topics = wanted and [
            OffsetFetchRequestTopics(name=n, topic_id=IDS[n], partition_indexes=list(p))
            for n, p in wanted.items()
        ]
        request = OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group, topics=topics)])
        (found,) = (await broker.ask(request, version)).groups
        assert found.group_id == group
        assert all((topic.name == "") == (version >= 10) for topic in found.topics)
    else:
        topics = wanted and [OffsetFetchRequestTopic(n, list(p)) for n, p in wanted.items()]
        request = OffsetFetchRequest(group_id=group, topics=topics)
        found = await broker.ask(request, version)
    return found.error_code, {
        (topic.name or NAMES[topic.topic_id], p.partition_index): (
            p.committed_offset,
            p.committed_leader_epoch,
            p.metadata,
            p.error_code,
        )
        for topic in found.topics
        for p in topic.partitions
    }


@pytest.mark.parametrize("version", range(11))
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
        ("missing", 0): E.UNKNOWN_TOPIC_ID if version >= 10 else E.UNKNOWN_TOPIC_OR_PARTITION,
    }
    epoch = 6 if version >= 6 else -1
    _, found = await fetch(broker, 9, {"t": [0, 1]})
    assert found == {("t", 0): (5, epoch, "m", 0), ("t", 1): (7, epoch, "", 0)}


@pytest.mark.parametrize("version", range(11))
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
        ("missing", 3): (-1, -1, "", E.UNKNOWN_TOPIC_ID if version >= 10 else 0),
    }
    assert (await fetch(broker, version, {"t": [0]}, "nobody"))[1] == {("t", 0): (-1, -1, "", 0)}
    if version >= 2:
        _, everything = await fetch(broker, version, None)
        assert everything == {("t", 0): (5, epoch, "m", 0), ("t", 2): (6, epoch, "n", 0)}
        assert await fetch(broker, version, None, "nobody") == (0, {})


@pytest.mark.parametrize("version", range(1, 6))
def test_versions_2_to_4_may_say_how_long_an_offset_is_kept(version):
    @virtual
    async def body() -> None:
        broker = Broker()
        for partition, retention_ms in ((0, -1), (1, 0), (2, 60_000)):
            request = commit_request({("t", partition): (5, "m")}, retention_time_ms=retention_ms)
            request.generation_id_or_member_epoch = -1
            assert codes_of(await broker.ask(request, version)) == {("t", partition): 0}
        committed = broker.groups.fetch(GROUP, None)[1]
        kept_ms = {
            where[1]: what.expire_timestamp_ms - what.commit_timestamp_ms
            for where, what in committed.items()
            if what.expire_timestamp_ms >= 0
        }
        assert kept_ms == ({1: 0, 2: 60_000} if 2 <= version <= 4 else {})

    body()


@virtual
async def test_what_is_left_of_a_topic_that_is_gone_is_told_by_name_only():
    broker = Broker(more_topics=["gone"])
    wanted = OffsetToCommit(topic="gone", partition=0, offset=3, leader_epoch=0, metadata="")
    assert await broker.groups.commit(GROUP, Identity(""), -1, [wanted]) == [E.NONE]
    del broker.topics["gone"]
    assert set((await fetch(broker, 9, None))[1]) == {("gone", 0)}
    assert await fetch(broker, 10, None) == (E.NONE, {})


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
    for version in (0, 1, 7):  # the first of them knows no members
        strangers = await broker.ask(commit_request(one), version)
        assert codes_of(strangers) == {("t", 0): E.UNKNOWN_MEMBER_ID}


@pytest.mark.parametrize("version", range(1, 11))
@virtual
async def test_a_member_of_a_group_that_is_not_there(version):
    member = {"member_id": "m", "generation_id_or_member_epoch": 1}
    answer = await Broker().ask(commit_request({("t", 0): (9, "")}, **member), version)
    expected = E.GROUP_ID_NOT_FOUND if version >= 9 else E.ILLEGAL_GENERATION
    assert codes_of(answer) == {("t", 0): expected}


@virtual
async def test_a_closed_coordinator_is_told_in_every_answer():
    broker = Broker()
    await broker.groups.close()
    for version in range(11):
        told = await fetch(broker, version, {"t": [0]})
        of_partition = {("t", 0): (-1, -1, "", E.NOT_COORDINATOR)}
        group_code = E.NOT_COORDINATOR if version >= 2 else E.NONE
        # Some clients look at the partitions alone, and would find nothing committed there.
        assert told == (group_code, of_partition if version < 8 else {})
    assert codes_of(await broker.ask(commit_request({("t", 0): (9, "")}), 9)) == {
        ("t", 0): E.NOT_COORDINATOR
    }


def test_error_answers_encode_in_every_version():
    fetching = OffsetFetchRequest(
        group_id=GROUP,
        topics=[OffsetFetchRequestTopic("t", [0, 1])],
        groups=[OffsetFetchRequestGroup(GROUP)],
    )
    for request in (commit_request({("t", 0): (1, ""), ("t", 1): (1, "")}), fetching):
        for version in range(11):
            assert "-1" in repr(error_answer(request, E.UNKNOWN_SERVER_ERROR, version))
