"""A broker finds the cluster that its bucket belongs to, or founds one."""

from __future__ import annotations

import asyncio

import pytest

from gateway.cluster.coordination.base import Refused
from gateway.tests.nodes import Nodes, OneGateway
from gateway.tests.virtual import until, virtual


@virtual
async def test_founders_who_race_end_up_in_one_cluster() -> None:
    for pause_s in (0.0, 0.01, 0.02, 0.03, 0.05, 0.08):
        world = Nodes(logs_count=1)
        nodes = [OneGateway(world, node_id) for node_id in (1, 2)]
        starting = []
        for node in nodes:
            starting.append(asyncio.ensure_future(node.start()))
            await asyncio.sleep(pause_s)
        await asyncio.gather(*starting)
        assert len({node.gateway.broker.cluster_id for node in nodes}) == 1
        await until(lambda w=world, n=nodes: w.is_shared_out(*n))  # type: ignore[misc]
        for node in nodes:
            await node.gateway.stop()


@virtual
async def test_two_clusters_share_a_coordination_store() -> None:
    one, other = Nodes(logs_count=1), Nodes(logs_count=1)
    other.coordination = one.coordination
    nodes = [*await one.start(1), *await other.start(1)]
    await until(lambda: one.is_shared_out(nodes[0]) and other.is_shared_out(nodes[1]))
    for node in nodes:
        assert len(node.gateway.broker.cluster.nodes) == 1
        await node.gateway.stop()


@virtual
async def test_a_node_whose_id_another_process_has_taken_is_told_to_end() -> None:
    world = Nodes(logs_count=1)
    first = (await world.start(1))[0]
    await until(lambda: world.is_shared_out(first))
    second = (await world.start(1))[0]
    with pytest.raises(Refused, match="has registered as node 1"):
        await asyncio.wait_for(first.gateway.failed(), 10)
    for node in (first, second):
        await node.gateway.stop()
