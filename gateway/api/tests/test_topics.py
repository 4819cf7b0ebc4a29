"""CreateTopics and DeleteTopics through the codec."""

import asyncio
from typing import Any

import pytest

from gateway.tests.harness import Client, World, batch_of, loop_ms, started, virtual
from protocol import ZERO_UUID, ApiKey, ErrorCode
from protocol.messages.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestTopic,
)


def _topic(name: str = "t", **fields: Any) -> CreatableTopic:
    configs = [CreatableTopicConfig(name=n, value=v) for n, v in fields.pop("configs", {}).items()]
    nodes = fields.pop("to", [1])
    assignments = [
        CreatableReplicaAssignment(partition_index=i, broker_ids=nodes)
        for i in fields.pop("assigned", [])
    ]
    defaults = {"num_partitions": 1, "replication_factor": 1}
    return CreatableTopic(
        name=name, configs=configs, assignments=assignments, **(defaults | fields)
    )


async def _create(client: Client, *topics: CreatableTopic, version: int = 7, **fields: Any) -> Any:
    body = CreateTopicsRequest(topics=list(topics), timeout_ms=9_000, **fields)
    return (await client.call(ApiKey.CREATE_TOPICS, version, body)).topics


@pytest.mark.parametrize("version", range(8))
def test_creating(version: int) -> None:
    @virtual
    async def body() -> None:
        world, client = await started()
        made = _topic(num_partitions=3, configs={"retention.ms": "1000"})
        answer = (await _create(client, made, version=version))[0]
        assert (answer.name, answer.error_code) == ("t", 0)
        topic = world.gateway.broker.topics.named("t")
        assert topic is not None
        assert len(topic.partitions) == 3
        assert topic.config("retention.ms") == "1000"
        if version >= 5:
            assert (answer.num_partitions, answer.replication_factor) == (3, 1)
            echoed = {c.name: (c.value, c.config_source) for c in answer.configs}
            assert echoed["retention.ms"] == ("1000", 1)
            assert echoed["cleanup.policy"] == ("delete", 5)
        if version >= 7:
            assert answer.topic_id == topic.id

    body()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": "a/b"}, ErrorCode.INVALID_TOPIC_EXCEPTION),
        ({"name": ""}, ErrorCode.INVALID_TOPIC_EXCEPTION),
        ({"name": "there"}, ErrorCode.TOPIC_ALREADY_EXISTS),
        ({"num_partitions": 0}, ErrorCode.INVALID_PARTITIONS),
        ({"num_partitions": -2}, ErrorCode.INVALID_PARTITIONS),
        ({"num_partitions": 2**31 - 1}, ErrorCode.POLICY_VIOLATION),
        ({"num_partitions": -1}, ErrorCode.NONE),
        ({"replication_factor": 0}, ErrorCode.INVALID_REPLICATION_FACTOR),
        ({"replication_factor": -2}, ErrorCode.INVALID_REPLICATION_FACTOR),
        ({"replication_factor": -1}, ErrorCode.NONE),
        ({"replication_factor": 3}, ErrorCode.NONE),
        ({"configs": {"no.such": "1"}}, ErrorCode.INVALID_CONFIG),
        ({"configs": {"retention.ms": "soon"}}, ErrorCode.INVALID_CONFIG),
        ({"configs": {"retention.ms": None}}, ErrorCode.INVALID_CONFIG),
        ({"assigned": [0, 1]}, ErrorCode.INVALID_REQUEST),
        (
            {"assigned": [0, 2], "num_partitions": -1, "replication_factor": -1},
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        ),
        ({"assigned": [1, 0], "num_partitions": -1, "replication_factor": -1}, ErrorCode.NONE),
        (
            {"assigned": [0], "to": [2], "num_partitions": -1, "replication_factor": -1},
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        ),
        ({"name": "__consumer_offsets"}, ErrorCode.INVALID_TOPIC_EXCEPTION),
    ],
)
@pytest.mark.parametrize("validate_only", [False, True])
def test_what_may_be_created(fields: dict, code: int, validate_only: bool) -> None:
    @virtual
    async def body() -> None:
        world, client = await started()
        await client.create("there")
        answers = await _create(
            client, _topic(**fields), _topic("good"), validate_only=validate_only
        )
        assert [a.error_code for a in answers] == [code, 0]
        if code:
            assert answers[0].error_message
        made = {t.name for t in world.gateway.broker.topics}
        if validate_only:
            assert made == {"there"}
            assert answers[1].topic_id != ZERO_UUID
        else:
            assert "good" in made

    body()


@virtual
async def test_a_name_given_twice_is_refused_twice() -> None:
    world, client = await started()
    answers = await _create(client, _topic("a"), _topic("b"), _topic("a"))
    codes = [a.error_code for a in answers]
    assert codes == [ErrorCode.INVALID_REQUEST, 0, ErrorCode.INVALID_REQUEST]
    assert [t.name for t in world.gateway.broker.topics] == ["b"]


@virtual
async def test_a_topic_made_anew_has_another_id_and_no_old_records() -> None:
    world, client = await started()
    broker = world.gateway.broker
    seen_ids, seen_streams = set(), set()
    for _ in range(3):
        for _ in range(2):
            assert await client.create("t", partitions=2) == [0]
            topic = world.gateway.broker.topics.named("t")
            assert topic is not None
            seen_ids.add(topic.id)
            seen_streams |= {p.stream_id for p in topic.partitions}
            await client.produced("t", batch_of(b"x"))
            assert (await client.fetched("t", 0)).high_watermark == 1
            assert await client.deleted_topics("t") == [0]
            assert (await client.fetched("t", 0)).error_code == 3
        client = await world.restart()
        assert (await client.fetched("t", 0)).error_code == 3
    assert len(seen_ids) == 6
    assert len(seen_streams) == 12
    assert broker is not world.gateway.broker


@virtual
async def test_deleting() -> None:
    world, client = await started()
    await client.create("a", "b", "c")
    await world.append_group_records(0, [(b"\x00\x01k", b"v")])
    assert await client.deleted_topics("a", "none", "__consumer_offsets") == [0, 3, 42]
    for version in range(6):
        body = DeleteTopicsRequest(topic_names=["b"], timeout_ms=9_000)
        reply = await client.call(ApiKey.DELETE_TOPICS, version, body)
        assert reply.responses[0].error_code == (0 if version == 0 else 3)
    topic = world.gateway.broker.topics.named("c")
    assert topic is not None
    body = DeleteTopicsRequest(
        topics=[
            DeleteTopicState(name=None, topic_id=topic.id),
            DeleteTopicState(name=None, topic_id=b"\x05" * 16),
        ],
        timeout_ms=9_000,
    )
    reply = await client.call(ApiKey.DELETE_TOPICS, 6, body)
    assert [r.error_code for r in reply.responses] == [0, 100]
    assert [bool(r.error_message) for r in reply.responses] == [False, True]
    assert reply.responses[0].name == "c"


@virtual
async def test_a_topic_that_is_named_twice_stays() -> None:
    """Kafka's ControllerApis: by name, by id, by one of each, or by both at once."""
    world, client = await started()
    await client.create("a", "b", "c", "d")
    topics = world.gateway.broker.topics
    ids = {topic.name: topic.id for topic in topics}
    oddly: list[list[tuple[str | None, bytes]]] = [
        [("a", ZERO_UUID), ("a", ZERO_UUID)],
        [(None, ids["b"]), (None, ids["b"])],
        [(None, ids["c"]), ("c", ZERO_UUID)],
        [("d", ids["d"])],
        [(None, ZERO_UUID)],
    ]
    for asked in oddly:
        body = DeleteTopicsRequest(
            topics=[DeleteTopicState(name=name, topic_id=id_) for name, id_ in asked],
            timeout_ms=9_000,
        )
        (answer,) = (await client.call(ApiKey.DELETE_TOPICS, 6, body)).responses
        assert answer.error_code == ErrorCode.INVALID_REQUEST
        assert answer.error_message
        assert (answer.name, answer.topic_id) == asked[-1] or answer.topic_id == ids["c"]
    assert {topic.name for topic in topics} >= set(ids)
    body = DeleteTopicsRequest(topic_names=["a", "b", "a"], timeout_ms=9_000)
    reply = await client.call(ApiKey.DELETE_TOPICS, 5, body)
    assert {r.name: r.error_code for r in reply.responses} == {
        "a": ErrorCode.INVALID_REQUEST,
        "b": ErrorCode.NONE,
    }


async def _committed(client: Client) -> int:
    body = OffsetFetchRequest(
        group_id="g", topics=[OffsetFetchRequestTopic(name="t", partition_indexes=[0])]
    )
    reply = await client.call(ApiKey.OFFSET_FETCH, 5, body)
    found: int = reply.topics[0].partitions[0].committed_offset
    return found


async def _commit(client: Client, offset: int) -> None:
    part = OffsetCommitRequestPartition(partition_index=0, committed_offset=offset)
    body = OffsetCommitRequest(
        group_id="g",
        generation_id_or_member_epoch=-1,
        topics=[OffsetCommitRequestTopic(name="t", partitions=[part])],
    )
    reply = await client.call(ApiKey.OFFSET_COMMIT, 8, body)
    assert reply.topics[0].partitions[0].error_code == 0


@pytest.mark.parametrize("disconnects", [False, True])
def test_committed_offsets_go_with_their_topic(disconnects: bool) -> None:
    """Also when the client has gone before the deletion is durable."""

    @virtual
    async def body() -> None:
        world, client = await started()
        await client.create("t")
        await _commit(client, 5)
        assert await _committed(client) == 5
        world.objects.latency_s = 0.3
        other = world.client()
        body = DeleteTopicsRequest(topics=[DeleteTopicState(name="t")], timeout_ms=9_000)
        other.send(ApiKey.DELETE_TOPICS, 6, body)
        await asyncio.sleep(0.1)
        if disconnects:
            other.transport.lose()
        await asyncio.sleep(2)
        world.objects.latency_s = 0.0
        assert await client.create("t") == [0]
        assert await _committed(client) == -1
        client = await world.restart()
        assert await _committed(client) == -1

    body()


@virtual
async def test_committed_offsets_do_not_outlive_a_crash_in_the_middle_of_a_deletion() -> None:
    """The deletion is durable, the removal of the offsets is not."""
    world, client = await started()
    await client.create("t")
    await _commit(client, 5)
    topic = world.gateway.broker.topics.named("t")
    assert topic is not None
    await world.gateway.broker.deletions.delete(topic)
    client = await world.restart()
    assert world.gateway.groups.topics() == []
    await client.create("t")
    assert await _committed(client) == -1
    client = await world.restart()
    assert await _committed(client) == -1


@virtual
async def test_streams_of_deleted_topics_do_not_come_back_with_a_crash() -> None:
    """I9: or every later footer would carry their rows for ever."""
    world, client = await started()
    await client.create("t", partitions=3)
    for index in range(3):
        await client.produced("t", batch_of(b"x"), index=index)
    await client.deleted_topics("t")
    client = await world.restart()
    await asyncio.sleep(1)
    assert world.log.stream_ids() == [0]
    await client.create("u")
    await client.produced("u", batch_of(b"x"))
    await world.stop()
    await world.start()
    assert sorted(world.log._contents.streams) == [0, 4]


@virtual
async def test_a_topic_exists_for_nobody_before_it_is_durable() -> None:
    """Whoever is told that it exists, as one who repeats a lost create is, relies on it."""
    world, client = await started()
    world.objects.latency_s = 0.5
    first = asyncio.ensure_future(client.create("t"))
    await asyncio.sleep(0.01)
    again = asyncio.ensure_future(world.client().create("t"))
    await asyncio.sleep(0.2)
    assert not again.done()
    assert await first == [ErrorCode.NONE]
    assert await again == [ErrorCode.TOPIC_ALREADY_EXISTS]


@virtual
async def test_creation_and_deletion_are_answered_within_the_time_of_the_request() -> None:
    """Committed offsets of the topic, which go with it, included."""
    world, client = await started()
    await client.create("t")
    await _commit(client, 1)
    world.objects.latency_s = 10_000.0
    for at_ms in (9_000, 18_000):  # the second finds the first one's topic, not durable yet
        answer = (await _create(client, _topic("u")))[0]
        assert answer.error_code == ErrorCode.REQUEST_TIMED_OUT
        assert loop_ms() == pytest.approx(at_ms)
    assert await client.deleted_topics("t") == [ErrorCode.REQUEST_TIMED_OUT]
    assert loop_ms() == pytest.approx(27_000)


@virtual
async def test_a_topic_whose_creation_fails_never_existed() -> None:
    world, client = await started()
    other = World()
    other.objects, other.store = world.objects, world.store
    await other.start()  # fences the first
    replies = await asyncio.gather(client.create("t"), world.client().create("t"))
    assert replies == [[ErrorCode.NOT_LEADER_OR_FOLLOWER]] * 2
    await other.stop()
