"""Who leads a partition: this node, the owner that the cluster knows, or nobody."""

from __future__ import annotations

from gateway.broker.leadership import Leader, leader_of
from gateway.tests.cluster_world import ClusterWorld
from gateway.tests.harness import World, virtual


@virtual
async def test_each_node_tells_the_same_leader_and_none_that_is_gone() -> None:
    world = await ClusterWorld(2).start()
    brokers = [gateway.broker for gateway in world.gateways.values()]
    topic = brokers[0].creations.create("t", 2)
    await brokers[0].creations.settled(topic)
    await world.look()
    for index in (0, 1):
        term = brokers[index].logs[index + 1].log.term
        leader = Leader(world.table.nodes[index + 1], term)
        for broker in brokers:
            partition = broker.partition("t", index)
            assert partition is not None
            assert leader_of(partition, broker.cluster) == leader
    partition = brokers[0].partition("t", 1)
    assert partition is not None
    del world.table.nodes[2]
    assert leader_of(partition, brokers[0].cluster) is None
    del world.table.owners[2]
    assert leader_of(partition, brokers[0].cluster) is None
    await world.stop()


@virtual
async def test_a_gateway_by_itself_leads_what_it_serves() -> None:
    world = await World(logs_count=2).start()
    broker = world.gateway.broker
    topic = broker.creations.create("t", 2)
    await broker.creations.settled(topic)
    first, second = topic.partitions
    await broker.logs[2].lose()
    assert leader_of(first, broker.cluster) == Leader(broker.node, 0)
    assert leader_of(second, broker.cluster) is None
    await world.stop()
