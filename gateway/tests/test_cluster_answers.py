"""What clients are told by a node that owns some of the logs, of those that others own."""

from __future__ import annotations

import pytest

from gateway.cluster.view import CATALOG_LOG_ID
from gateway.tests.cluster_world import ClusterWorld
from gateway.tests.harness import batch_of, fetch_request, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.delete_groups import DeleteGroupsRequest
from protocol.messages.describe_cluster import DescribeClusterRequest
from protocol.messages.describe_groups import DescribeGroupsRequest
from protocol.messages.describe_log_dirs import DescribeLogDirsRequest
from protocol.messages.describe_producers import DescribeProducersRequest, TopicRequest
from protocol.messages.describe_topic_partitions import (
    DescribeTopicPartitionsRequest,
)
from protocol.messages.describe_topic_partitions import (
    TopicRequest as TopicAsked,
)
from protocol.messages.elect_leaders import ElectLeadersRequest
from protocol.messages.find_coordinator import FindCoordinatorRequest
from protocol.messages.heartbeat import HeartbeatRequest
from protocol.messages.init_producer_id import InitProducerIdRequest
from protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity
from protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from protocol.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup
from protocol.messages.sync_group import SyncGroupRequest

NOT_LEADER = ErrorCode.NOT_LEADER_OR_FOLLOWER


async def _world() -> ClusterWorld:
    """Partition n of topic t lies on log n + 1, which node n + 1 has."""
    world = await ClusterWorld().start()
    assert await world.client(1).create("t", partitions=3) == [0]
    await world.look()
    return world


@virtual
async def test_every_node_names_the_same_nodes_leaders_and_epochs() -> None:
    world = await _world()
    await world.move(2, 3)
    await world.look()
    told = []
    for node_id in world.gateways:
        asked = MetadataRequest(topics=[MetadataRequestTopic(name="t")])
        reply = await world.client(node_id).call(ApiKey.METADATA, 12, asked)
        assert reply.controller_id == 1
        assert [(b.node_id, b.host, b.rack) for b in reply.brokers] == [
            (n, f"node{n}.test", f"rack{n}") for n in (1, 2, 3)
        ]
        parts = reply.topics[0].partitions
        assert [p.leader_id for p in parts] == [1, 3, 3]
        assert all(p.replica_nodes == p.isr_nodes == [p.leader_id] for p in parts)
        told.append((reply.cluster_id, [p.leader_epoch for p in parts]))
        asked = DescribeTopicPartitionsRequest(topics=[TopicAsked(name="t")])
        described = await world.client(node_id).call(ApiKey.DESCRIBE_TOPIC_PARTITIONS, 0, asked)
        rows = described.topics[0].partitions
        assert [(r.leader_id, r.leader_epoch) for r in rows] == [
            (p.leader_id, p.leader_epoch) for p in parts
        ]
        reply = await world.client(node_id).call(
            ApiKey.DESCRIBE_CLUSTER, 1, DescribeClusterRequest()
        )
        assert (reply.cluster_id, reply.controller_id) == (told[0][0], 1)
        assert [(b.broker_id, b.rack) for b in reply.brokers] == [
            (n, f"rack{n}") for n in (1, 2, 3)
        ]
    assert told[0] == told[1] == told[2]


@virtual
async def test_a_partition_that_another_node_leads_is_not_led_here() -> None:
    world = await _world()
    for node_id in world.gateways:
        client = world.client(node_id)
        for index in range(3):
            wanted = ErrorCode.NONE if index + 1 == node_id else NOT_LEADER
            appended = await client.produced("t", batch_of(b"x"), index=index)
            assert appended.error_code == wanted
            fetched = await client.call(ApiKey.FETCH, 11, fetch_request({("t", index): 0}))
            assert fetched.responses[0].partitions[0].error_code == wanted
            partition = ListOffsetsPartition(partition_index=index, timestamp=-1)
            asked = ListOffsetsRequest(topics=[ListOffsetsTopic(name="t", partitions=[partition])])
            listed = await client.call(ApiKey.LIST_OFFSETS, 5, asked)
            assert listed.topics[0].partitions[0].error_code == wanted
            assert (await client.deleted("t", 0, index=index)).error_code == wanted
            producers = DescribeProducersRequest(
                topics=[TopicRequest(name="t", partition_indexes=[index])]
            )
            described = await client.call(ApiKey.DESCRIBE_PRODUCERS, 0, producers)
            assert described.topics[0].partitions[0].error_code == wanted
        sizes = await client.call(ApiKey.DESCRIBE_LOG_DIRS, 2, DescribeLogDirsRequest(topics=None))
        (topic,) = sizes.results[0].topics
        assert [p.partition_index for p in topic.partitions] == [node_id - 1]


@virtual
async def test_producer_ids_come_from_any_node_that_has_a_log() -> None:
    world = await _world()
    await world.move(3, 1)
    ids, asked = set(), InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=1)
    for node_id in (1, 2):
        reply = await world.client(node_id).call(ApiKey.INIT_PRODUCER_ID, 4, asked)
        assert reply.error_code == 0
        ids.add(reply.producer_id)
    assert len(ids) == 2
    reply = await world.client(3).call(ApiKey.INIT_PRODUCER_ID, 4, asked)
    assert reply.error_code == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS


@virtual
async def test_an_owner_that_is_gone_leaves_partitions_without_a_leader() -> None:
    world = await _world()
    del world.table.nodes[3]
    reply = await world.client(1).call(
        ApiKey.METADATA, 12, MetadataRequest(topics=[MetadataRequestTopic(name="t")])
    )
    assert [b.node_id for b in reply.brokers] == [1, 2]
    assert [(p.leader_id, p.error_code) for p in reply.topics[0].partitions] == [
        (1, 0),
        (2, 0),
        (-1, ErrorCode.LEADER_NOT_AVAILABLE),
    ]
    leaderless = await world.client(2).call(
        ApiKey.ELECT_LEADERS, 2, ElectLeadersRequest(topic_partitions=None)
    )
    (row,) = leaderless.replica_election_results
    assert [p.partition_id for p in row.partition_result] == [2]


@virtual
async def test_epochs_rise_with_every_owner_and_old_ones_are_fenced() -> None:
    world = await _world()
    before = world.gateways[2].broker.partition("t", 1)
    assert before is not None
    await world.client(2).produced("t", batch_of(b"x"), index=1)
    old = before.leader_epoch
    await world.move(2, 3)
    await world.look()
    after = world.gateways[3].broker.partition("t", 1)
    assert after is not None
    assert after.leader_epoch > old
    asked = fetch_request({("t", 1): 1})
    asked.topics[0].partitions[0].current_leader_epoch = old
    for node_id, code in ((3, ErrorCode.FENCED_LEADER_EPOCH), (2, NOT_LEADER)):
        fetched = await world.client(node_id).call(ApiKey.FETCH, 11, asked)
        assert fetched.responses[0].partitions[0].error_code == code
    appended = await world.client(3).produced("t", batch_of(b"y"), index=1)
    assert (appended.error_code, appended.base_offset) == (0, 1)


@virtual
async def test_epochs_of_a_topic_that_is_made_again_do_not_go_back_with_any_controller() -> None:
    """A client that has not seen it go takes a lower one for old news (librdkafka 2.16 does), and
    goes on asking whoever led it before."""
    world = await _world()
    await world.move(2, 3)
    await world.move(2, 2)
    await world.look()
    for other, controller in (("u", 1), ("v", 3), ("w", 2)):
        before = await _epochs(world)
        assert await world.client(2).deleted_topics("t") == [0]
        await world.move(CATALOG_LOG_ID, controller)
        assert await world.client(1).create(other) == [0]  # others come in between
        assert await world.client(1).create("t", partitions=3) == [0]
        await world.look()
        after = await _epochs(world)
        assert all(b <= a for b, a in zip(before, after, strict=True)), (before, after)


async def _epochs(world: ClusterWorld) -> list[int]:
    asked = MetadataRequest(topics=[MetadataRequestTopic(name="t")])
    reply = await world.client(1).call(ApiKey.METADATA, 12, asked)
    return [part.leader_epoch for part in reply.topics[0].partitions]


def _join() -> JoinGroupRequest:
    return JoinGroupRequest(
        group_id="g",
        session_timeout_ms=10_000,
        rebalance_timeout_ms=10_000,
        member_id="",
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol(name="range", metadata=b"")],
    )


@virtual
async def test_the_owner_of_a_groups_partition_is_its_coordinator_and_nobody_else() -> None:
    world = await _world()
    broker = world.gateways[1].broker
    await broker.offsets_topic.ready()
    await world.look()
    homes = set()
    for group_id in ("g", "h", "i", "j"):
        found = [
            await world.client(node_id).call(
                ApiKey.FIND_COORDINATOR, 3, FindCoordinatorRequest(key=group_id)
            )
            for node_id in world.gateways
        ]
        assert {(f.error_code, f.node_id, f.host) for f in found} == {
            (0, found[0].node_id, f"node{found[0].node_id}.test")
        }
        homes.add(found[0].node_id)
        if group_id == "g":
            home = found[0].node_id
    assert len(homes) > 1
    away = next(node_id for node_id in world.gateways if node_id != home)
    stranger = world.client(away)
    refused = [
        await stranger.call(ApiKey.JOIN_GROUP, 2, _join()),
        await stranger.call(
            ApiKey.HEARTBEAT, 2, HeartbeatRequest(group_id="g", generation_id=1, member_id="m")
        ),
        await stranger.call(ApiKey.OFFSET_FETCH, 5, OffsetFetchRequest(group_id="g", topics=None)),
        (
            await stranger.call(
                ApiKey.OFFSET_FETCH,
                8,
                OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group_id="g", topics=None)]),
            )
        ).groups[0],
    ]
    leaving = LeaveGroupRequest(group_id="g", members=[MemberIdentity(member_id="m")])
    syncing = SyncGroupRequest(group_id="g", generation_id=1, member_id="m", assignments=[])
    commit = OffsetCommitRequestPartition(partition_index=0, committed_offset=1)
    commits = OffsetCommitRequestTopic(name="t", partitions=[commit])
    committing = OffsetCommitRequest(group_id="g", topics=[commits])
    deleting = DeleteGroupsRequest(groups_names=["g"])
    describing = DescribeGroupsRequest(groups=["g"])
    refused += [
        await stranger.call(ApiKey.LEAVE_GROUP, 3, leaving),
        await stranger.call(ApiKey.SYNC_GROUP, 3, syncing),
        (await stranger.call(ApiKey.OFFSET_COMMIT, 7, committing)).topics[0].partitions[0],
        (await stranger.call(ApiKey.DELETE_GROUPS, 2, deleting)).results[0],
        (await stranger.call(ApiKey.DESCRIBE_GROUPS, 5, describing)).groups[0],
    ]
    assert [r.error_code for r in refused] == [ErrorCode.NOT_COORDINATOR] * len(refused)
    joined = await world.client(home).call(ApiKey.JOIN_GROUP, 2, _join())
    assert joined.error_code == 0


@pytest.mark.parametrize("by_id", [False, True])
@virtual
async def test_a_name_or_id_that_is_not_known_is_looked_for_before_an_error(by_id: bool) -> None:
    world = await _world()
    assert await world.client(1).create("new") == [0]
    topic = world.gateways[1].broker.topics.named("new")
    assert topic is not None
    assert world.gateways[2].broker.topics.named("new") is None
    one = MetadataRequestTopic(name="new")
    if by_id:
        one = MetadataRequestTopic(name=None, topic_id=topic.id)
    asked = MetadataRequest(topics=[one], allow_auto_topic_creation=False)
    reply = await world.client(2).call(ApiKey.METADATA, 12, asked)
    assert (reply.topics[0].error_code, reply.topics[0].topic_id) == (0, topic.id)


@virtual
async def test_a_first_touch_at_who_has_lost_the_catalog_unheard_is_to_come_again() -> None:
    """As after a start of several nodes at once, who take the catalog from each other."""
    world = await _world()
    await world.give(0, 2)
    assert world.gateways[1].broker.catalog.is_ours  # as far as it knows
    asked = MetadataRequest(topics=[MetadataRequestTopic(name="touched")])
    for _ in range(2):
        reply = await world.client(1).call(ApiKey.METADATA, 9, asked)
        assert reply.topics[0].error_code == ErrorCode.LEADER_NOT_AVAILABLE
    await world.stop()
