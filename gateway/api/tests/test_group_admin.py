"""What administrators ask of groups, through the real codec of each version."""

from __future__ import annotations

import pytest

from gateway.api import group_admin
from gateway.api.tests.group_broker import Broker, error_answer
from gateway.api.tests.test_groups import join_request
from gateway.groups.members import Identity
from gateway.groups.offsets import OffsetToCommit
from gateway.groups.tests.harness import GROUP, Client, virtual
from gateway.groups.tests.test_subscriptions import subscribed
from protocol import ErrorCode as E
from protocol.messages.delete_groups import DeleteGroupsRequest
from protocol.messages.describe_groups import DescribeGroupsRequest
from protocol.messages.list_groups import ListGroupsRequest
from protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)

NOT_TOLD = -2_147_483_648
SUBSCRIBED = (("range", subscribed("t")),)


async def committed(broker: Broker, group: str, topic: str = "t", partition: int = 0) -> None:
    wanted = OffsetToCommit(topic=topic, partition=partition, offset=5, leader_epoch=0, metadata="")
    assert await broker.groups.commit(group, Identity(""), -1, [wanted]) == [E.NONE]


async def stable(broker: Broker, group: str = GROUP) -> Client:
    client = Client(broker.groups, group=group, protocols=SUBSCRIBED, instance="i1")
    await client.enter()
    return client


# ---- ListGroups


@pytest.mark.parametrize("version", range(6))
@virtual
async def test_every_group_is_listed_in_every_version(version):
    broker = Broker()
    await stable(broker)
    await committed(broker, "simple")
    answer = await broker.ask(ListGroupsRequest(), version)
    assert answer.error_code == 0
    rows = [(g.group_id, g.protocol_type, g.group_state, g.group_type) for g in answer.groups]
    kind = "classic" if version >= 5 else ""
    state = (lambda name: name) if version >= 4 else (lambda _: "")
    assert rows == [
        (GROUP, "consumer", state("Stable"), kind),
        ("simple", "", state("Empty"), kind),
    ]


@pytest.mark.parametrize(
    ("states", "types", "expected"),
    [
        (["Stable"], [], [GROUP]),
        (["sTaBLe", "never heard of"], [], [GROUP]),
        (["Empty", "stable"], [], [GROUP, "simple"]),
        (["Dead"], [], []),
        (["never heard of"], [], []),
        ([], ["classic"], [GROUP, "simple"]),
        ([], ["Classic", "never heard of"], [GROUP, "simple"]),
        ([], ["consumer"], []),
        ([], ["never heard of"], []),
        (["Empty"], ["classic"], ["simple"]),
        (["Empty"], ["share"], []),
    ],
)
@virtual
async def test_filters(states, types, expected):
    broker = Broker()
    await stable(broker)
    await committed(broker, "simple")
    request = ListGroupsRequest(states_filter=states, types_filter=types)
    answer = await broker.ask(request, 5)
    assert [group.group_id for group in answer.groups] == expected


@virtual
async def test_where_no_log_of_groups_is_there_are_none_for_clients_ask_every_node():
    """Of one node that answers with an error, admin clients make an error of all."""
    broker = Broker()
    await broker.groups.close()
    answer = await broker.ask(ListGroupsRequest(), 5)
    assert (answer.error_code, answer.groups) == (E.NONE, [])


@virtual
async def test_while_a_log_of_groups_is_being_read_the_list_would_not_be_whole():
    broker = Broker()
    await stable(broker)
    broker.groups.load()
    answer = await broker.ask(ListGroupsRequest(), 5)
    assert (answer.error_code, answer.groups) == (E.COORDINATOR_LOAD_IN_PROGRESS, [])
    broker.groups.start()
    answer = await broker.ask(ListGroupsRequest(), 5)
    assert (answer.error_code, len(answer.groups)) == (E.NONE, 1)


# ---- DescribeGroups


@pytest.mark.parametrize("version", range(7))
@virtual
async def test_groups_are_described_in_every_version(version):
    broker = Broker()
    client = await stable(broker)
    await committed(broker, "simple")
    request = DescribeGroupsRequest(
        groups=[GROUP, "simple", "nobody"], include_authorized_operations=version >= 3
    )
    one, simple, nobody = (await broker.ask(request, version)).groups
    assert (one.error_code, one.group_id, one.group_state) == (0, GROUP, "Stable")
    assert (one.protocol_type, one.protocol_data) == ("consumer", "range")
    (member,) = one.members
    assert member.group_instance_id == ("i1" if version >= 4 else None)
    assert (member.member_id, member.client_id) == (client.member_id, "c")
    assert member.client_host == "/127.0.0.1"
    assert member.member_metadata == subscribed("t")
    assert member.member_assignment == b"for " + client.member_id.encode()
    assert (simple.error_code, simple.group_state, simple.members) == (0, "Empty", [])
    assert nobody.group_state == "Dead"
    if version >= 6:
        assert nobody.error_code == E.GROUP_ID_NOT_FOUND
        assert nobody.error_message == "Group nobody not found."
        assert nobody.authorized_operations == NOT_TOLD
    else:
        assert nobody.error_code == 0
    operations = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11
    for group in (one, simple):
        assert group.authorized_operations == (operations if version >= 3 else NOT_TOLD)


@virtual
async def test_operations_are_told_only_when_asked_for():
    broker = Broker()
    await stable(broker)
    (group,) = (await broker.ask(DescribeGroupsRequest(groups=[GROUP]), 6)).groups
    assert group.authorized_operations == NOT_TOLD


@virtual
async def test_one_answer_is_bounded_however_often_a_group_is_named(monkeypatch):
    monkeypatch.setattr(group_admin, "REPLY_BYTES_MAX", 400)
    broker = Broker()
    await stable(broker)
    answer = await broker.ask(DescribeGroupsRequest(groups=[GROUP] * 100), 6)
    codes = [group.error_code for group in answer.groups]
    assert codes[0] == 0
    assert codes[-1] == E.COORDINATOR_LOAD_IN_PROGRESS
    assert 2 <= codes.count(0) <= 6


@virtual
async def test_joins_by_request_show_the_client_as_kafka_does():
    """An address behind a slash."""
    broker = Broker()
    await broker.ask(join_request(), 3)
    (group,) = (await broker.ask(DescribeGroupsRequest(groups=[GROUP]), 6)).groups
    assert group.members[0].client_host == "/10.0.0.9"


# ---- DeleteGroups


@pytest.mark.parametrize("version", range(4))
@virtual
async def test_groups_are_deleted_in_every_version(version):
    broker = Broker()
    await stable(broker)
    for n in range(60):
        await committed(broker, f"simple-{n}")
    names = [GROUP, "nobody", *(f"simple-{n}" for n in range(60)), "simple-3", ""]
    answer = await broker.ask(DeleteGroupsRequest(groups_names=names), version)
    codes = {result.group_id: result.error_code for result in answer.results}
    assert [result.group_id for result in answer.results] == list(dict.fromkeys(names))
    assert codes.pop(GROUP) == E.NON_EMPTY_GROUP
    assert codes.pop("nobody") == codes.pop("") == E.GROUP_ID_NOT_FOUND
    assert set(codes.values()) == {0}
    assert broker.groups.group_ids() == [GROUP]
    if version >= 3:
        for result in answer.results:
            assert (result.error_message is None) == (result.error_code == 0)


# ---- OffsetDelete


def delete_request(group: str, *partitions: tuple[str, int]) -> OffsetDeleteRequest:
    by_topic: dict[str, list[OffsetDeleteRequestPartition]] = {}
    for topic, index in partitions:
        by_topic.setdefault(topic, []).append(OffsetDeleteRequestPartition(index))
    topics = [OffsetDeleteRequestTopic(name, rows) for name, rows in by_topic.items()]
    return OffsetDeleteRequest(group_id=group, topics=topics)


async def delete(broker: Broker, group: str, *partitions: tuple[str, int]):
    answer = await broker.ask(delete_request(group, *partitions), 0)
    return answer.error_code, {
        (topic.name, row.partition_index): row.error_code
        for topic in answer.topics
        for row in topic.partitions
    }


@virtual
async def test_offsets_are_deleted_each_by_itself():
    broker = Broker(more_topics=["other"])
    await committed(broker, "simple", "other", 1)
    asked = [("other", 1), ("other", 2), ("other", 9), ("missing", 0)]
    assert await delete(broker, "simple", *asked) == (
        0,
        {
            ("other", 1): 0,
            ("other", 2): 0,
            ("other", 9): E.UNKNOWN_TOPIC_OR_PARTITION,
            ("missing", 0): E.UNKNOWN_TOPIC_OR_PARTITION,
        },
    )
    assert broker.groups.committed_partitions("simple") == []


@virtual
async def test_what_a_group_reads_and_what_is_no_group():
    broker = Broker(more_topics=["other"])
    client = await stable(broker)
    await client.commit(3, "other")
    told = await delete(broker, GROUP, ("t", 0), ("other", 0))
    assert told == (0, {("t", 0): E.GROUP_SUBSCRIBED_TO_TOPIC, ("other", 0): 0})
    assert await delete(broker, "nobody", ("t", 0)) == (E.GROUP_ID_NOT_FOUND, {})
    assert await delete(broker, "", ("t", 0)) == (E.INVALID_GROUP_ID, {})
    missing = {("missing", 0): E.UNKNOWN_TOPIC_OR_PARTITION}
    assert await delete(broker, "nobody", ("missing", 0)) == (0, missing)


def test_error_answers_encode_in_every_version():
    for request, versions in (
        (ListGroupsRequest(), range(6)),
        (DescribeGroupsRequest(groups=["a", "b"]), range(7)),
        (DeleteGroupsRequest(groups_names=["a"]), range(3)),
        (delete_request("g", ("t", 0)), range(1)),
    ):
        for version in versions:
            assert "error_code=-1" in repr(error_answer(request, E.UNKNOWN_SERVER_ERROR, version))
