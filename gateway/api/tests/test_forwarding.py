"""What clients ask of a node that does not write the catalog: it is done, once, and found there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.api.forwarding import CREATION_S
from gateway.broker.tests.test_owned_log import take_away
from gateway.cluster.controller_line import connect_tcp
from gateway.cluster.view import CATALOG_LOG_ID, Node
from gateway.tests.client import Client
from gateway.tests.cluster_world import ClusterWorld, Table, View
from gateway.tests.harness import loop_ms, started, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    EntityData,
    EntryData,
    OpData,
)
from protocol.messages.create_partitions import CreatePartitionsRequest, CreatePartitionsTopic
from protocol.messages.describe_quorum import DescribeQuorumRequest, PartitionData, TopicData
from protocol.messages.find_coordinator import FindCoordinatorRequest
from protocol.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from protocol.messages.metadata import MetadataRequest, MetadataRequestTopic

SET = 0
TOPIC, BROKER, LOGGER = 2, 4, 8


async def _altered(client: Client, kind: int, resource: str, name: str, value: str) -> int:
    config = AlterableConfig(name=name, config_operation=SET, value=value)
    asked = AlterConfigsResource(resource_type=kind, resource_name=resource, configs=[config])
    reply = await client.call(
        ApiKey.INCREMENTAL_ALTER_CONFIGS, 1, IncrementalAlterConfigsRequest(resources=[asked])
    )
    code: int = reply.responses[0].error_code
    return code


async def _grown(client: Client, name: str, count: int) -> int:
    asked = CreatePartitionsTopic(name=name, count=count, assignments=None)
    reply = await client.call(
        ApiKey.CREATE_PARTITIONS, 3, CreatePartitionsRequest(topics=[asked], timeout_ms=9_000)
    )
    code: int = reply.results[0].error_code
    return code


async def _touched(client: Client, *names: str, may_create: bool = True) -> list[Any]:
    asked = MetadataRequest(
        topics=[MetadataRequestTopic(name=name) for name in names],
        allow_auto_topic_creation=may_create,
    )
    topics: list[Any] = (await client.call(ApiKey.METADATA, 12, asked)).topics
    return topics


@virtual
async def test_every_change_can_be_asked_of_any_node_and_is_found_there_at_once() -> None:
    world = await ClusterWorld().start()
    client, broker = world.client(2), world.gateways[2].broker
    assert await client.create("t", partitions=2) == [0]
    topic = broker.topics.named("t")
    assert topic is not None
    assert await client.create("t") == [ErrorCode.TOPIC_ALREADY_EXISTS]
    assert await _grown(client, "t", 3) == 0
    assert len(topic.partitions) == 3
    assert await _altered(client, TOPIC, "t", "retention.ms", "77") == 0
    assert topic.configs == {"retention.ms": "77"}
    assert await _altered(client, BROKER, "2", "log.retention.ms", "99") == 0
    assert topic.id == world.gateways[1].broker.topics.named("t").id  # type: ignore[union-attr]
    assert broker.configs.of("broker", "2") == {"log.retention.ms": "99"}
    quota = AlterClientQuotasRequest(
        entries=[
            EntryData(
                entity=[EntityData(entity_type="client-id", entity_name="c")],
                ops=[OpData(key="producer_byte_rate", value=1e6, remove=False)],
            )
        ]
    )
    reply = await client.call(ApiKey.ALTER_CLIENT_QUOTAS, 1, quota)
    assert reply.entries[0].error_code == 0
    assert broker.quotas.is_any
    assert await client.deleted_topics("t") == [0]
    assert broker.topics.named("t") is None
    assert await client.deleted_topics("t") == [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]


@virtual
async def test_the_metadata_quorum_is_told_by_the_controller() -> None:
    world = await ClusterWorld(2).start()
    asked = DescribeQuorumRequest(
        topics=[
            TopicData(
                topic_name="__cluster_metadata", partitions=[PartitionData(partition_index=0)]
            )
        ]
    )
    replies = [
        await world.client(node_id).call(ApiKey.DESCRIBE_QUORUM, 2, asked) for node_id in (1, 2)
    ]
    for reply in replies:
        assert reply.topics[0].partitions[0].leader_id == 1
    assert replies[0].nodes == replies[1].nodes
    owner = world.table.owners[0]
    world.table.owners[0] = owner._replace(node_id=2)
    asking = asyncio.ensure_future(world.client(1).call(ApiKey.DESCRIBE_QUORUM, 2, asked))
    assert (await asking).topics[0].partitions[0].leader_id == 1  # it knows better of itself


@virtual
async def test_the_levels_of_loggers_are_a_nodes_own() -> None:
    world = await ClusterWorld(2).start()
    world.cut = {1}
    assert await _altered(world.client(2), LOGGER, "2", "gateway.api.alter_configs", "INFO") == 0


@virtual
async def test_a_name_that_all_nodes_hear_of_at_once_is_one_topic() -> None:
    world = await ClusterWorld(default_partitions_count=3).start()
    clients = [world.client(node_id) for node_id in world.gateways for _ in range(16)]
    told = await asyncio.gather(*(_touched(client, "t", "u") for client in clients))
    for topics in told:
        assert [t.error_code for t in topics] == [0, 0]
        assert [t.topic_id for t in topics] == [t.topic_id for t in told[0]]
        assert all(len(t.partitions) == 3 for t in topics)
    assert len({topic.topic_id for topics in told for topic in topics}) == 2


@virtual
async def test_who_creates_a_topic_at_every_node_at_once_does_so_at_one() -> None:
    world = await ClusterWorld().start()
    codes = await asyncio.gather(
        *(world.client(node_id).create("t") for node_id in world.gateways for _ in range(5))
    )
    assert sorted(code for (code,) in codes) == [0, *[ErrorCode.TOPIC_ALREADY_EXISTS] * 14]


@virtual
async def test_what_may_not_be_created_is_not_asked_for() -> None:
    world = await ClusterWorld(2).start()
    client = world.client(2)
    (topic,) = await _touched(client, "t", may_create=False)
    assert topic.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    (topic,) = await _touched(client, "no good")
    assert topic.error_code == ErrorCode.INVALID_TOPIC_EXCEPTION
    quiet = await ClusterWorld(2, auto_create_topics=False).start()
    (topic,) = await _touched(quiet.client(2), "t")
    assert topic.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


@virtual
async def test_without_a_controller_a_change_ends_in_its_time_and_one_that_comes_back_does_it() -> (
    None
):
    world = await ClusterWorld(2).start()
    await world.look()
    world.cut = {1}
    client = world.client(2)
    began_ms = loop_ms()
    assert await client.deleted_topics("t", timeout_ms=4_000) == [ErrorCode.REQUEST_TIMED_OUT]
    assert loop_ms() - began_ms == pytest.approx(4_000, abs=50)
    (topic,) = await _touched(client, "t")
    assert topic.error_code == ErrorCode.LEADER_NOT_AVAILABLE
    assert loop_ms() - began_ms < 4_000 + 1_000 * CREATION_S + 500
    creating = asyncio.ensure_future(client.create("t"))
    await asyncio.sleep(2)
    assert not creating.done()
    world.cut = set()
    assert await creating == [0]
    creating = asyncio.ensure_future(client.create("u"))
    await asyncio.sleep(0)
    await world.move(0, 2)  # to the very node that was asked
    assert await creating == [0]


@virtual
async def test_a_change_that_finds_the_catalog_taken_is_made_by_who_took_it() -> None:
    world = await ClusterWorld(3).start()
    await world.give(0, 2)  # node 1 has not heard of it
    assert world.gateways[1].broker.catalog.is_ours
    direct, forwarded = world.client(1), world.client(3)
    taker = world.table.owners[0]
    world.table.owners[0] = taker._replace(node_id=1)  # and node 3 neither
    asking = asyncio.ensure_future(forwarded.create("u"))
    creating = asyncio.ensure_future(direct.create("t"))
    await asyncio.sleep(1)
    assert not asking.done()
    assert not creating.done()
    world.table.owners[0] = taker
    assert await creating == await asking == [0]
    await world.look()
    assert {t.name for t in world.gateways[2].broker.topics} == {"t", "u"}
    assert {t.name for t in world.gateways[1].broker.topics} == {"t", "u"}


@virtual
async def test_who_is_not_the_controller_sends_no_request_further() -> None:
    """Two nodes that each take the other for the controller do not send it round."""
    world = await ClusterWorld(3).start()
    await world.look()
    owner = world.table.owners[0]
    world.table.owners[0] = owner._replace(node_id=3)  # it is not, yet
    other = Table()
    other.nodes = world.table.nodes
    other.owners = world.table.owners | {0: owner._replace(node_id=2)}
    third = world.gateways[3]
    third.broker.cluster = View(world.table.nodes[3], other)
    asking = asyncio.ensure_future(world.client(2).create("t"))
    await asyncio.sleep(1)
    assert not asking.done()
    assert third.controller._count == 0
    world.table.owners[0] = owner
    assert await asking == [0]


@virtual
async def test_the_first_group_of_all_can_come_to_any_node() -> None:
    """Its topic is made by the controller; then it is told where the group lies."""
    world = await ClusterWorld(3, auto_create_topics=False).start()
    await world.look()
    join = JoinGroupRequest(
        group_id="g",
        session_timeout_ms=10_000,
        rebalance_timeout_ms=10_000,
        member_id="",
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol(name="range", metadata=b"")],
    )
    node_id, joined = 2, None
    for _ in range(3):
        found = await world.client(node_id).call(
            ApiKey.FIND_COORDINATOR, 3, FindCoordinatorRequest(key="g")
        )
        assert found.error_code == 0
        joined = await world.client(found.node_id).call(ApiKey.JOIN_GROUP, 2, join)
        if joined.error_code == 0:
            break
        assert joined.error_code == ErrorCode.NOT_COORDINATOR
    assert joined is not None
    assert joined.error_code == 0


def test_over_sockets() -> None:
    async def main() -> None:
        world = await ClusterWorld(2, latency_s=0.0).start()
        loop = asyncio.get_running_loop()
        servers = []
        for node_id, gateway in world.gateways.items():
            server = await loop.create_server(gateway.connection, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            world.table.nodes[node_id] = Node(node_id, "127.0.0.1", port)
            gateway.controller.connect = connect_tcp
            servers.append(server)
        client = world.client(2)
        codes = await asyncio.gather(*(world.client(2).create(f"t{n}") for n in range(20)))
        assert codes == [[0]] * 20
        (topic,) = await _touched(client, "u")
        assert topic.error_code == 0
        assert await client.deleted_topics("t3") == [0]
        assert len(list(world.gateways[2].broker.topics)) == 20
        for server in servers:
            server.close()
        await world.stop()

    asyncio.run(main())


@virtual
async def test_a_gateway_by_itself_that_was_fenced_does_no_change_twice() -> None:
    """What it has done was never durable; doing it again would find nothing to be done."""
    world, client = await started()
    await client.create("t")
    other = await take_away(world, CATALOG_LOG_ID)
    assert await client.deleted_topics("t") == [ErrorCode.NOT_LEADER_OR_FOLLOWER]
    await other.close()
    await world.stop()
