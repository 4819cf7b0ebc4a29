"""Who leads a partition, told beside the error that says it is not led here (KIP-951)."""

import pytest

from gateway.api import leader_hints
from gateway.api.leader_hints import LeaderHints
from gateway.broker.leadership import Leader, leader_of
from gateway.broker.partition import Partition
from gateway.broker.tests.test_owned_log import take_away, topic_of
from gateway.cluster.view import ClusterView, Node
from gateway.tests.harness import (
    NODE,
    Client,
    World,
    batch_of,
    fetch_request,
    produce_request,
    started,
    virtual,
)
from protocol import ApiKey, ErrorCode
from protocol.messages.fetch import FetchRequest, FetchResponse
from protocol.messages.produce import ProduceResponse

OTHER = Node(7, "other.test", 9093, "a rack")
LOST, KEPT = 1, 0
GONE = ErrorCode.NOT_LEADER_OR_FOLLOWER


def _elsewhere(partition: Partition, cluster: ClusterView) -> Leader | None:
    return None if partition.is_served else Leader(OTHER, 4)


async def _with_one_lost() -> tuple[World, Client]:
    """One of two logs, and with it one of two partitions."""
    world, client = await started(logs_count=2)
    await client.create("t", partitions=2)
    for index in (LOST, KEPT):
        await client.produced("t", batch_of(b"x"), index=index)
    await take_away(world, topic_of(world).partitions[LOST].log_id)
    while (await client.produced("t", batch_of(b"y"), index=LOST)).error_code != GONE or (
        topic_of(world).partitions[LOST].is_served
    ):
        pass
    return world, client


@virtual
async def test_one_node_knows_itself_and_nobody_else() -> None:
    world, _ = await _with_one_lost()
    partitions, cluster = topic_of(world).partitions, world.gateway.broker.cluster
    assert leader_of(partitions[KEPT], cluster) == Leader(NODE, 0)
    assert leader_of(partitions[LOST], cluster) is None
    hints = LeaderHints(cluster, may_tell=True)
    assert [hints.of(p) for p in (partitions[KEPT], partitions[LOST], None)] == [
        Leader(NODE, 0),
        None,
        None,
    ]
    hints.of(partitions[KEPT])
    assert list(hints.nodes) == [NODE]


@pytest.mark.parametrize("version", [9, 10, 12, 13])
def test_produce_says_where_to_go_from_version_10_on(
    version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    @virtual
    async def body() -> None:
        world, client = await _with_one_lost()
        monkeypatch.setattr(leader_hints, "leader_of", _elsewhere)
        batches = {("t", index): batch_of(b"z") for index in (KEPT, LOST, 77)}
        request = produce_request(batches)
        for topic in request.topic_data:
            topic.topic_id = topic_of(world).id
        reply: ProduceResponse = await client.call(ApiKey.PRODUCE, version, request)
        told = {
            p.index: (p.error_code, p.current_leader)
            for p in reply.responses[0].partition_responses
        }
        assert told[KEPT] == (0, None)
        assert told[77] == (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, None)
        code, leader = told[LOST]
        assert code == GONE
        if version < 10:
            assert (leader, reply.node_endpoints) == (None, [])
        else:
            assert leader is not None
            assert (leader.leader_id, leader.leader_epoch) == (OTHER.node_id, 4)
            assert [(n.node_id, n.host, n.port, n.rack) for n in reply.node_endpoints] == [OTHER]

    body()


def _by_id(world: World, request: FetchRequest) -> FetchRequest:
    for topic in request.topics:
        topic.topic_id = topic_of(world).id
    return request


def _leaders(reply: FetchResponse) -> dict[int, tuple[int, int, int] | None]:
    return {
        p.partition_index: p.current_leader
        and (p.error_code, p.current_leader.leader_id, p.current_leader.leader_epoch)
        for p in reply.responses[0].partitions
    }


@pytest.mark.parametrize("version", [12, 15, 16, 18])
def test_fetch_says_where_to_go_from_version_16_on(
    version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    @virtual
    async def body() -> None:
        world, client = await _with_one_lost()
        monkeypatch.setattr(leader_hints, "leader_of", _elsewhere)
        asked = fetch_request({("t", KEPT): 0, ("t", LOST): 0, ("t", 77): 0}, session=(0, 0))
        reply = await client.call(ApiKey.FETCH, version, _by_id(world, asked))
        if version < 16:
            assert _leaders(reply) == {KEPT: None, LOST: None, 77: None}
            assert reply.node_endpoints == []
            return
        where = (GONE, OTHER.node_id, 4)
        assert _leaders(reply) == {KEPT: None, LOST: where, 77: None}
        assert [(n.node_id, n.host, n.port, n.rack) for n in reply.node_endpoints] == [OTHER]
        # Also to a session that names nothing.
        again = fetch_request({}, session=(reply.session_id, 1))
        reply = await client.call(ApiKey.FETCH, version, again)
        assert _leaders(reply)[LOST] == where
        assert len(reply.node_endpoints) == 1

    body()


@virtual
async def test_who_knows_an_older_leader_epoch_is_told_the_newer_one() -> None:
    world, client = await started()
    await client.create("t")
    await client.produced("t", batch_of(b"x"))
    client = await world.restart()
    asked = fetch_request({("t", 0): 0}, epoch=0)
    reply = await client.call(ApiKey.FETCH, 16, _by_id(world, asked))
    epoch = world.epoch("t")
    assert epoch > 0
    assert _leaders(reply) == {0: (ErrorCode.FENCED_LEADER_EPOCH, NODE.node_id, epoch)}
    assert [n.node_id for n in reply.node_endpoints] == [NODE.node_id]
    newer = fetch_request({("t", 0): 0}, epoch=epoch + 1)
    reply = await client.call(ApiKey.FETCH, 16, _by_id(world, newer))
    assert reply.responses[0].partitions[0].error_code == ErrorCode.UNKNOWN_LEADER_EPOCH
    assert _leaders(reply) == {0: None}
    assert reply.node_endpoints == []
