"""Orders are obeyed by members that follow the same store, and what is shown is what is."""

import asyncio

import pytest

from gateway.cli.cluster_view import Cluster, as_json, logs_table, nodes_table
from gateway.cli.errors import ClientError
from gateway.cluster.coordination.base import Put
from gateway.cluster.coordination.static import StaticStore
from gateway.cluster.tests.fleet import Bucket, OneNode, shared_out
from gateway.tests.virtual import until, virtual


async def started(count: int) -> tuple[Bucket, StaticStore, list[OneNode], Cluster]:
    bucket, store = Bucket(5), StaticStore()
    nodes = [OneNode(bucket, store, node_id) for node_id in range(1, count + 1)]
    await until(lambda: shared_out(bucket, *nodes))
    await asyncio.sleep(1)  # all is written down
    return bucket, store, nodes, await Cluster.find(store, "/woodpecker", None)


async def end(*nodes: OneNode) -> None:
    for node in nodes:
        await node.member.stop()


@virtual
async def test_what_is_shown_is_what_the_nodes_do() -> None:
    bucket, _, nodes, cluster = await started(2)
    state = await cluster.state()
    assert (state.cluster_id, state.is_paused) == ("cluster", False)
    assert {log.owner.log: log.owner.node_id for log in state.logs} == {
        log: node.node_id for node in nodes for log in node.terms
    }
    assert [(n.node_id, n.standing, n.logs_count) for n in state.nodes] == [
        (node.node_id, "open", len(node.terms)) for node in nodes
    ]
    assert nodes_table(state)[1][:4] == (1, "n1:9092", "-", 1)
    dead, heir = nodes
    had = sorted(dead.terms)
    await dead.die()
    await until(lambda: shared_out(bucket, heir))
    await asyncio.sleep(1)
    state = await cluster.state()
    taken = [log["log"] for log in as_json(state)["logs"] if log["fenced_node"] == 1]
    assert taken == had
    row = logs_table(state)[1 + had[0]]
    assert row[-1] == "served, taken from node 1 at n1:9092"
    assert str(row[-2]).endswith("Z")
    await end(*nodes)


@virtual
async def test_logs_of_a_node_that_is_gone_are_shown_as_nobodys() -> None:
    _, _, (only,), cluster = await started(1)
    await only.die()
    await asyncio.sleep(10)
    state = await cluster.state()
    assert [(n.node_id, n.standing, n.logs_count) for n in state.nodes] == [(1, "dead", 0)]
    assert {row[-1] for row in logs_table(state)[1:]} == {"its owner is gone"}
    with pytest.raises(ClientError, match="no node 1 alive"):
        await cluster.move(0, 1)


@virtual
async def test_a_move_is_waited_for() -> None:
    _, _, nodes, cluster = await started(2)
    log = min(nodes[0].terms)
    assert await cluster.move(log, 2) == nodes[1].terms[log]
    assert await cluster.move(log, 2) == nodes[1].terms[log]  # it is there already
    await end(*nodes)


@virtual
async def test_moves_that_cannot_be_made_are_refused_with_what_to_do() -> None:
    _, _, nodes, cluster = await started(2)
    with pytest.raises(ClientError, match="no log 9"):
        await cluster.move(9, 1)
    with pytest.raises(ClientError, match="no node 7 alive"):
        await cluster.move(0, 7)
    await cluster.stand(2, "cordoned")
    with pytest.raises(ClientError, match="node 2 is cordoned") as told:
        await cluster.move(0, 2)
    assert "uncordon 2" in told.value.remedy
    with pytest.raises(ClientError, match="no other broker that may take the logs of node 1"):
        await cluster.stand(1, "draining")
    await end(*nodes)


@virtual
async def test_a_drain_is_waited_for_and_taken_back() -> None:
    bucket, _, nodes, cluster = await started(2)
    assert await cluster.stand(1, "draining")
    assert nodes[0].terms == {}
    assert not await cluster.stand(9, "cordoned")
    await cluster.pause(wanted=True)
    state = await cluster.state()
    assert (state.is_paused, state.nodes[0].standing) == (True, "draining")
    await cluster.stand(1, None)
    await cluster.pause(wanted=False)
    await until(lambda: shared_out(bucket, *nodes))
    await end(*nodes)


async def test_one_of_several_clusters_has_to_be_named() -> None:
    store = StaticStore()
    with pytest.raises(ClientError, match="no cluster below"):
        await Cluster.find(store, "/w", None)
    await store.transact([], [Put("/w/a/nodes/1", b""), Put("/w/doctor/1", b"")])
    await Cluster.find(store, "/w", None)
    await store.transact([], [Put("/w/b/owners/1", b"")])
    with pytest.raises(ClientError, match="several clusters below /w/: a, b"):
        await Cluster.find(store, "/w", None)
    await Cluster.find(store, "/w", "b")
    with pytest.raises(ClientError, match="no cluster c below"):
        await Cluster.find(store, "/w", "c")
    await store.close()
