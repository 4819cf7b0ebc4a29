"""Metadata and DescribeCluster through the codec."""

import asyncio
from typing import Any

import pytest

from gateway.broker.topic_creations import CREATION_WAIT_S
from gateway.tests.harness import NODE, Client, batch_of, loop_ms, started, virtual
from protocol import ZERO_UUID, ApiKey, ErrorCode
from protocol.messages.describe_cluster import DescribeClusterRequest
from protocol.messages.metadata import MetadataRequest, MetadataRequestTopic

INVALID = ErrorCode.INVALID_TOPIC_EXCEPTION
UNKNOWN = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def _asking(*names: str, create: bool = True) -> MetadataRequest:
    topics = [MetadataRequestTopic(name=n) for n in names]
    return MetadataRequest(topics=topics, allow_auto_topic_creation=create)


async def _names(client: Client, version: int, topics: Any) -> list[str]:
    reply = await client.call(ApiKey.METADATA, version, MetadataRequest(topics=topics))
    return [t.name for t in reply.topics]


@virtual
async def test_the_forms_of_all_and_none() -> None:
    _, client = await started()
    await client.create("a", "b")
    assert await _names(client, 0, []) == ["a", "b"]
    for version in (1, 5, 9, 13):
        assert await _names(client, version, None) == ["a", "b"]
        assert await _names(client, version, []) == []


@virtual
async def test_the_only_node_leads_and_controls() -> None:
    world, client = await started()
    await client.create("a", partitions=3)
    for version in range(14):
        reply = await client.call(ApiKey.METADATA, version, _asking("a"))
        broker = reply.brokers[0]
        assert (broker.node_id, broker.host, broker.port, broker.rack) == NODE
        if version >= 1:
            assert reply.controller_id == NODE.node_id
        if version >= 2:
            assert reply.cluster_id == world.gateway.broker.cluster_id
        parts = reply.topics[0].partitions
        assert [p.partition_index for p in parts] == [0, 1, 2]
        assert all((p.leader_id, p.replica_nodes, p.isr_nodes) == (1, [1], [1]) for p in parts)
        if version >= 7:
            assert {p.leader_epoch for p in parts} == {0}
        if version >= 10:
            assert reply.topics[0].topic_id not in (b"", ZERO_UUID)


@virtual
async def test_the_auto_create_flag_is_honoured_exactly() -> None:
    """Before version 4 there is none, and it counts as set."""
    _, client = await started(default_partitions_count=4)
    for version, create, code in (
        (4, False, UNKNOWN),
        (13, False, UNKNOWN),
        (3, False, 0),
        (9, True, 0),
    ):
        name = f"t-{version}-{create}"
        reply = await client.call(ApiKey.METADATA, version, _asking(name, create=create))
        assert reply.topics[0].error_code == code
        assert len(reply.topics[0].partitions) == (0 if code else 4)
    assert await _names(client, 9, None) == ["t-3-False", "t-9-True"]


@virtual
async def test_nothing_is_created_where_the_gateway_does_not_allow_it() -> None:
    _, client = await started(auto_create_topics=False)
    for version in (1, 9):
        reply = await client.call(ApiKey.METADATA, version, _asking("t"))
        assert reply.topics[0].error_code == UNKNOWN
    assert await _names(client, 9, None) == []


@virtual
async def test_illegal_names_are_told_from_missing_topics() -> None:
    _, client = await started()
    bad = ["", ".", "..", "a/b", "é", "a b", "x" * 250, "a\n"]
    for create in (True, False):
        reply = await client.call(ApiKey.METADATA, 9, _asking("good", *bad, create=create))
        codes = [t.error_code for t in reply.topics]
        assert codes[1:] == [INVALID] * len(bad)
        assert codes[0] == 0  # made by the first round
    reply = await client.call(ApiKey.METADATA, 9, _asking("x" * 249))
    assert reply.topics[0].error_code == 0


@virtual
async def test_parallel_first_touches_create_a_topic_once() -> None:
    world, client = await started()
    world.objects.latency_s = 0.1
    clients = [world.client() for _ in range(16)]
    replies = await asyncio.gather(*(c.call(ApiKey.METADATA, 12, _asking("t")) for c in clients))
    assert len({r.topics[0].topic_id for r in replies}) == 1
    assert {r.topics[0].error_code for r in replies} == {0}
    assert await _names(client, 9, None) == ["t"]


@virtual
async def test_no_answer_speaks_of_a_topic_that_may_vanish() -> None:
    world, _ = await started()
    world.objects.latency_s = 0.5
    making = world.client().send(ApiKey.METADATA, 12, _asking("t"))
    await asyncio.sleep(0.1)
    for form in (None, [MetadataRequestTopic(name="t")]):
        for create in (True, False):
            body = MetadataRequest(topics=form, allow_auto_topic_creation=create)
            asked = world.client().send(ApiKey.METADATA, 12, body)
            await asyncio.sleep(0.05)
            # It is not named yet, or the answer waits, or it says that there is no leader so far.
            for told in asked.result().topics if asked.done() else ():
                assert told.error_code == ErrorCode.LEADER_NOT_AVAILABLE
                assert told.topic_id == ZERO_UUID
    await making
    await asyncio.sleep(0.5)
    assert await _names(world.client(), 12, None) == ["t"]
    await world.crash()
    await world.start()
    assert await _names(world.client(), 12, None) == ["t"]


@virtual
async def test_topics_can_be_asked_for_by_id() -> None:
    world, client = await started()
    await client.create("t")
    topic = world.gateway.broker.topics.named("t")
    assert topic is not None
    asked = [
        MetadataRequestTopic(name=None, topic_id=topic.id),
        MetadataRequestTopic(name=None, topic_id=b"\x07" * 16),
    ]
    reply = await client.call(ApiKey.METADATA, 12, MetadataRequest(topics=asked))
    assert [t.error_code for t in reply.topics] == [0, ErrorCode.UNKNOWN_TOPIC_ID]
    assert [t.name for t in reply.topics] == ["t", None]


@pytest.mark.parametrize("version", range(10, 14))
def test_by_id_as_java_asks(version: int) -> None:
    """With an empty name beside the id; and not before version 12."""

    @virtual
    async def body() -> None:
        world, client = await started()
        await client.create("t", partitions=2)
        topic = world.gateway.broker.topics.named("t")
        assert topic is not None
        asked = [MetadataRequestTopic(name="", topic_id=topic.id)]
        reply = await client.call(ApiKey.METADATA, version, MetadataRequest(topics=asked))
        if version < 12:
            assert reply.topics[0].error_code == ErrorCode.INVALID_REQUEST
        else:
            found = [(t.error_code, t.name, len(t.partitions)) for t in reply.topics]
            assert found == [(0, "t", 2)]
        assert await _names(client, version, None) == ["t"]
        assert client.is_open

    body()


@virtual
async def test_what_may_be_done_is_told_to_who_asks() -> None:
    _, client = await started()
    await client.create("t")
    for version in range(8, 14):
        for asks in (False, True):
            body = MetadataRequest(
                topics=[MetadataRequestTopic(name="t")],
                include_topic_authorized_operations=asks,
                include_cluster_authorized_operations=asks and version <= 10,
            )
            reply = await client.call(ApiKey.METADATA, version, body)
            told = reply.topics[0].topic_authorized_operations
            assert told == (3576 if asks else -(2**31))
            if version <= 10:
                assert reply.cluster_authorized_operations == (8096 if asks else -(2**31))
    cluster = DescribeClusterRequest(include_cluster_authorized_operations=True)
    reply = await client.call(ApiKey.DESCRIBE_CLUSTER, 0, cluster)
    assert reply.cluster_authorized_operations == 8096


@virtual
async def test_a_fresh_topic_has_epoch_0_however_old_the_gateway_is() -> None:
    world, client = await started()
    await client.create("old")
    await client.produced("old", batch_of(b"x"))
    for _ in range(3):
        client = await world.restart()
    await client.create("new")
    assert (world.epoch("old"), world.epoch("new")) == (3, 0)
    await client.produced("new", batch_of(b"x"))
    assert world.epoch("new") == 0
    client = await world.restart()
    assert (world.epoch("old"), world.epoch("new")) == (4, 1)


@virtual
async def test_too_many_partitions_are_refused_by_a_limit_that_is_named() -> None:
    _, client = await started(partitions_max_count=2)
    reply = await client.call(ApiKey.METADATA, 9, _asking("a", "b", "c"))
    codes = [t.error_code for t in reply.topics]
    assert codes == [0, 0, ErrorCode.POLICY_VIOLATION]


@virtual
async def test_the_offsets_topic_is_always_made_with_its_own_layout() -> None:
    """Whoever touches it first: its partitions are where groups live."""
    world, client = await started()
    reply = await client.call(ApiKey.METADATA, 9, _asking("__consumer_offsets"))
    assert reply.topics[0].error_code == 0
    assert reply.topics[0].is_internal
    assert len(reply.topics[0].partitions) == 50
    topic = world.gateway.broker.topics.named("__consumer_offsets")
    assert topic is not None
    assert topic.config("cleanup.policy") == "compact"


@virtual
async def test_the_offsets_topic_does_not_count_against_the_limit() -> None:
    """Or a gateway with few partitions could not commit offsets."""
    world, client = await started(partitions_max_count=2)
    await world.append_group_records(0, [(b"\x00\x01k", b"v")])
    assert await client.create("t", partitions=2) == [0]
    assert await client.create("u") == [ErrorCode.POLICY_VIOLATION]


@virtual
async def test_a_store_that_is_away_is_answered_with_what_clients_retry() -> None:
    world, client = await started()
    world.objects.latency_s = 10_000.0
    reply = await client.call(ApiKey.METADATA, 9, _asking("t"))
    assert reply.topics[0].error_code == ErrorCode.LEADER_NOT_AVAILABLE
    assert reply.brokers


@virtual
async def test_what_exists_is_told_while_what_is_new_waits_for_storage() -> None:
    """As Kafka tells it; and the requests behind it on the connection go on."""
    world, client = await started()
    await client.create("old", partitions=2)
    world.objects.latency_s = 10_000.0
    took_ms = []
    for create in (True, True, False):
        began_ms = loop_ms()
        reply = await client.call(ApiKey.METADATA, 9, _asking("old", "new", create=create))
        took_ms.append(loop_ms() - began_ms)
        assert [t.error_code for t in reply.topics] == [0, ErrorCode.LEADER_NOT_AVAILABLE]
        assert [len(t.partitions) for t in reply.topics] == [2, 0]
    assert took_ms == pytest.approx([1_000 * CREATION_WAIT_S, 0, 0])
    assert await _names(client, 9, None) == ["old"]


@virtual
async def test_a_topic_lives_through_a_crash_with_its_id_and_its_data() -> None:
    world, client = await started()
    await client.create("t", partitions=2)
    await client.produced("t", batch_of(b"x"), index=1)
    before = (await client.call(ApiKey.METADATA, 12, _asking("t"))).topics[0]
    cluster_id = world.gateway.broker.cluster_id
    client = await world.restart()
    after = (await client.call(ApiKey.METADATA, 12, _asking("t"))).topics[0]
    assert (after.topic_id, len(after.partitions)) == (before.topic_id, 2)
    assert world.gateway.broker.cluster_id == cluster_id
    assert (await client.fetched("t", 0, index=1)).high_watermark == 1


@virtual
async def test_describe_cluster() -> None:
    world, client = await started()
    for version in (0, 1, 2):
        reply = await client.call(ApiKey.DESCRIBE_CLUSTER, version, DescribeClusterRequest())
        assert (reply.error_code, reply.controller_id) == (0, NODE.node_id)
        assert reply.cluster_id == world.gateway.broker.cluster_id
        assert [(b.broker_id, b.host, b.port, b.rack) for b in reply.brokers] == [NODE]
    for kind, code in (
        (2, ErrorCode.MISMATCHED_ENDPOINT_TYPE),
        (3, ErrorCode.UNSUPPORTED_ENDPOINT_TYPE),
    ):
        other = DescribeClusterRequest(endpoint_type=kind)
        reply = await client.call(ApiKey.DESCRIBE_CLUSTER, 1, other)
        assert (reply.error_code, reply.brokers) == (code, [])
        assert reply.error_message


@virtual
async def test_of_many_names_only_those_that_come_into_being_are_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one step of the loop, which thousands that are there, or missing, would make long."""
    world, client = await started()
    await client.create("there")
    broker = world.gateway.broker
    waited_for: list[list[str]] = []

    async def soon(topics: Any) -> None:
        waited_for.append([topic.name for topic in topics])

    monkeypatch.setattr(broker.creations, "soon", soon)
    await client.call(ApiKey.METADATA, 9, _asking("there", "missing", create=False))
    world.objects.latency_s = 1.0
    await client.call(ApiKey.METADATA, 9, _asking("there", "new", create=True))
    assert waited_for == [[], ["new"]]
