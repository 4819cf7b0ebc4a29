"""Gateways that make up a cluster by themselves, in virtual time."""

from __future__ import annotations

import asyncio
import dataclasses

from gateway.cluster.allotment import FOREIGN_S
from gateway.tests.client import batch_of, fetch_request
from gateway.tests.nodes import LEASE_S, Nodes, OneGateway
from gateway.tests.virtual import until, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.metadata import MetadataRequest

PARTITIONS = 8


async def started(*node_ids: int, **config: object) -> tuple[Nodes, list[OneGateway]]:
    world = Nodes(**config)
    nodes = await world.start(*node_ids)
    await until(lambda: world.is_shared_out(*nodes))
    return world, nodes


def controller(nodes: list[OneGateway]) -> OneGateway:
    (found,) = [node for node in nodes if 0 in node.terms]
    return found


async def end(*nodes: OneGateway) -> None:
    for node in nodes:
        await node.gateway.stop()


async def write_everywhere(nodes: list[OneGateway]) -> dict[int, int]:
    """The offset of a record in each partition of `t`, written at whoever leads it."""
    offsets: dict[int, int] = {}
    for node in nodes:
        client = node.client()
        for index in range(PARTITIONS):
            answer = await client.produced("t", batch_of(b"x"), index=index)
            if answer.error_code == 0:
                assert index not in offsets, "led twice"
                offsets[index] = answer.base_offset
            else:
                assert answer.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert len(offsets) == PARTITIONS
    return offsets


async def with_topic(nodes: list[OneGateway]) -> None:
    """`t` is made, and all know it."""
    assert await controller(nodes).client().create("t", partitions=PARTITIONS) == [0]
    for node in nodes:
        await node.gateway.broker.catalog.look(10)


@virtual
async def test_nodes_on_an_empty_bucket_found_one_cluster_and_share_its_logs() -> None:
    world, nodes = await started(1, 2, 3)
    assert len({node.gateway.broker.cluster_id for node in nodes}) == 1
    await with_topic(nodes)
    places = controller(nodes).gateway.broker.topics.named("t")
    assert places is not None
    assert {place.log_id for place in places.record.placements} == {1, 2, 3, 4}
    assert set((await write_everywhere(nodes)).values()) == {0}
    await end(*nodes)
    again = await world.start(1)
    assert again[0].gateway.broker.cluster_id == nodes[0].gateway.broker.cluster_id
    await until(lambda: world.is_shared_out(*again))
    assert set((await write_everywhere(again)).values()) == {1}
    await end(*again)


@virtual
async def test_a_dead_node_is_replaced_within_its_lease_with_all_that_was_acknowledged() -> None:
    world, nodes = await started(1, 2, 3)
    await with_topic(nodes)
    assert set((await write_everywhere(nodes)).values()) == {0}
    dead = controller(nodes)
    others = [node for node in nodes if node is not dead]
    await dead.die()
    assert await until(lambda: world.is_shared_out(*others)) <= LEASE_S + 1
    assert set((await write_everywhere(others)).values()) == {1}
    assert await controller(others).client().create("u") == [0]
    await end(*others)


@virtual
async def test_while_there_is_no_controller_a_node_that_sends_on_is_told() -> None:
    """A client of librdkafka that is told of none asks nobody for a minute."""
    _, nodes = await started(1, 2)
    dead = controller(nodes)
    (other,) = [node for node in nodes if node is not dead]
    await dead.die()
    await until(lambda: other.gateway.broker.cluster.controller is None)
    told = await other.client().call(ApiKey.METADATA, 9, MetadataRequest(topics=[]))
    assert told.controller_id == other.node_id
    await end(other)


def served_by(node: OneGateway) -> tuple[set[int], list[int]]:
    """Its data logs, and the partitions of the topic that lie on them."""
    log_ids = set(node.terms) - {0}
    topic = node.gateway.broker.topics.named("t")
    assert topic is not None
    return log_ids, [p.index for p in topic.partitions if p.log_id in log_ids]


@virtual
async def test_a_node_without_a_lease_looks_before_it_tells_what_an_owner_knows() -> None:
    """It was paused, or is cut off from the others: its logs have gone on elsewhere."""
    _, nodes = await started(1, 2)
    await with_topic(nodes)
    await write_everywhere(nodes)
    cut, other = nodes
    log_ids, mine = served_by(cut)
    client = cut.client()
    cut.way.cut()
    await until(lambda: log_ids <= set(other.terms))
    for index in mine:
        answer = await other.client().produced("t", batch_of(b"y"), index=index)
        assert answer.error_code == 0
    began_count = len(cut.objects.calls)
    fetches = [asyncio.ensure_future(client.fetched("t", 0, index=index)) for index in mine]
    told = await asyncio.gather(*fetches)
    assert {each.error_code for each in told} == {ErrorCode.NOT_LEADER_OR_FOLLOWER}
    # All of them shared one look or two, whatever number of clients asked.
    assert len(cut.objects.calls) - began_count <= 8 * len(log_ids)
    await end(*nodes)


async def produced(node: OneGateway, index: int, sequence: int) -> int:
    """By an idempotent producer, always the same; the code."""
    batch = batch_of(b"x", producer_id=7, producer_epoch=0, base_sequence=sequence)
    return (await node.client().produced("t", batch, index=index)).error_code


async def gone_on_elsewhere() -> tuple[list[OneGateway], list[int]]:
    """Two nodes, of which the second has taken the first one's logs, and partitions that have a
    record of the producer from each."""
    _, nodes = await started(1, 2)
    await with_topic(nodes)
    cut, other = nodes
    log_ids, mine = served_by(cut)
    assert {await produced(cut, index, 0) for index in mine} == {0}
    cut.way.cut()
    await until(lambda: log_ids <= set(other.terms))
    assert {await produced(other, index, 1) for index in mine} == {0}
    return nodes, mine


@virtual
async def test_a_node_without_a_lease_looks_before_it_tells_of_a_wrong_sequence() -> None:
    """The producer has gone on elsewhere meanwhile; librdkafka takes that answer for its end."""
    nodes, mine = await gone_on_elsewhere()
    cut, other = nodes
    told = await asyncio.gather(*(produced(cut, index, 2) for index in mine))
    assert set(told) == {ErrorCode.NOT_LEADER_OR_FOLLOWER}
    wrong = await asyncio.gather(*(produced(other, index, 9) for index in mine))
    assert set(wrong) == {ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER}
    await end(*nodes)


@virtual
async def test_a_node_that_is_wrong_about_its_lease_ends_no_producer() -> None:
    """It has one again, and who began to take its logs over before that has ended it since."""
    nodes, mine = await gone_on_elsewhere()
    nodes[0].gateway.broker.logs.assurance.rests_on(lambda: True)
    told = await asyncio.gather(*(produced(nodes[0], index, 2) for index in mine))
    assert set(told) == {ErrorCode.NOT_LEADER_OR_FOLLOWER}
    await end(*nodes)


@virtual
async def test_a_node_that_is_wrong_about_its_lease_sends_no_consumer_back() -> None:
    """One that is told that its offset is not there begins anew at the first record."""
    nodes, mine = await gone_on_elsewhere()
    cut, other = nodes
    cut.gateway.broker.logs.assurance.rests_on(lambda: True)
    told = await asyncio.gather(*(cut.client().fetched("t", 2, index=index) for index in mine))
    assert {each.error_code for each in told} == {ErrorCode.NOT_LEADER_OR_FOLLOWER}
    beyond = await other.client().fetched("t", 3, index=mine[0])
    assert beyond.error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    await end(*nodes)


@virtual
async def test_an_offset_that_is_in_doubt_keeps_nothing_else_from_being_read() -> None:
    """The store does not answer the look: what is asked for beside it is served all the same."""
    _, (node,) = await started(1)
    await with_topic([node])
    assert {await produced(node, index, 0) for index in (0, 1)} == {0}

    async def silent() -> None:
        raise TimeoutError

    node.gateway.broker.logs.assurance._look = silent
    asked = fetch_request({("t", 0): 0, ("t", 1): 7})
    told = await node.client().call(ApiKey.FETCH, 12, asked)
    rows = {row.partition_index: row for topic in told.responses for row in topic.partitions}
    assert (rows[0].error_code, bool(rows[0].records)) == (ErrorCode.NONE, True)
    assert rows[1].error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    await end(node)


@virtual
async def test_a_node_with_a_new_lease_looks_before_it_tells_what_it_had_under_the_old_one() -> (
    None
):
    """A consumer that had gone on elsewhere and comes back would be told that its offset is not
    there, and begin anew."""
    _, nodes = await started(1, 2)
    await with_topic(nodes)
    await write_everywhere(nodes)
    cut, other = nodes
    log_ids, mine = served_by(cut)
    cut.way.cut()
    await until(lambda: log_ids <= set(other.terms))
    ends = {}
    for index in mine:
        answer = await other.client().produced("t", batch_of(b"y"), index=index)
        ends[index] = answer.base_offset + 1
    cut.way.heal()
    assert cut.gateway._membership is not None
    member = cut.gateway._membership._member
    assert member is not None
    while member._registration.lease is None:
        await asyncio.sleep(0.001)
    assert log_ids <= set(cut.terms), "nobody has looked yet"
    client = cut.client()
    fetches = [client.fetched("t", after, index=index) for index, after in ends.items()]
    told = await asyncio.gather(*fetches)
    assert {each.error_code for each in told} == {ErrorCode.NOT_LEADER_OR_FOLLOWER}
    await end(*nodes)


@virtual
async def test_a_node_without_a_lease_that_has_lost_nothing_answers() -> None:
    _, nodes = await started(1)
    await with_topic(nodes)
    await write_everywhere(nodes)
    nodes[0].way.cut()
    await asyncio.sleep(LEASE_S + 1)
    assert (await nodes[0].client().fetched("t", 0)).high_watermark == 1
    nodes[0].objects.latency_s = 60.0
    answer = await nodes[0].client().fetched("t", 0)
    assert answer.error_code == ErrorCode.REQUEST_TIMED_OUT
    nodes[0].objects.latency_s = 0.01
    nodes[0].way.heal()
    await end(*nodes)


@virtual
async def test_a_bucket_of_one_gateway_becomes_a_cluster_of_two() -> None:
    world = Nodes()
    alone = OneGateway(world, 1)
    await alone.gateway.start()
    assert await alone.client().create("t", partitions=PARTITIONS) == [0]
    assert set((await write_everywhere([alone])).values()) == {0}
    await alone.gateway.stop()
    nodes = await world.start(1, 2)
    await until(lambda: world.is_shared_out(*nodes))
    assert nodes[1].gateway.broker.cluster_id == alone.gateway.broker.cluster_id
    assert set((await write_everywhere(nodes)).values()) == {1}
    await end(*nodes)


@virtual
async def test_a_node_that_stops_hands_over_first() -> None:
    world, nodes = await started(1, 2, 3)
    await with_topic(nodes)
    await write_everywhere(nodes)
    leaver, *others = nodes
    stopping = asyncio.ensure_future(leaver.gateway.stop())
    took_s = await until(lambda: world.is_shared_out(*others))
    assert took_s < 1  # and not once its lease is over
    await stopping
    assert set((await write_everywhere(others)).values()) == {1}
    await end(*others)


@virtual
async def test_a_node_that_comes_gets_its_share_and_nothing_is_lost() -> None:
    world, nodes = await started(1, 2)
    await with_topic(nodes)
    await write_everywhere(nodes)
    nodes += await world.start(3)
    await until(lambda: world.is_shared_out(*nodes))
    assert set((await write_everywhere(nodes)).values()) == {1}
    await end(*nodes)


@virtual
async def test_nodes_without_the_coordination_store_go_on_serving_what_they_have() -> None:
    world, nodes = await started(1, 2, 3)
    await with_topic(nodes)
    held = [node.terms for node in nodes]
    for node in nodes:
        node.way.cut()
    await asyncio.sleep(600)
    assert set((await write_everywhere(nodes)).values()) == {0}
    for node in nodes:
        node.way.heal()
    await asyncio.sleep(60)
    assert [node.terms for node in nodes] == held
    assert set((await write_everywhere(nodes)).values()) == {1}
    assert world.is_shared_out(*nodes)
    await end(*nodes)


@virtual
async def test_two_coordination_stores_on_one_bucket_cost_time_and_no_record() -> None:
    """Each half takes the logs of the other, which leaves them there for a while."""
    world, (one,) = await started(1)
    await with_topic([one])
    strangers = Nodes()
    strangers.objects = world.objects
    (other,) = await strangers.start(2)
    acked: dict[int, list[int]] = {index: [] for index in range(PARTITIONS)}
    clients = [one.client(), other.client()]
    for _ in range(100):
        for index in range(PARTITIONS):
            for client in clients:
                answer = await client.produced("t", batch_of(b"x"), index=index)
                if answer.error_code == 0:
                    acked[index].append(answer.base_offset)
        await asyncio.sleep(1)
    for offsets in acked.values():
        assert len(offsets) > 50  # each half serves what it has
        assert sorted(set(offsets)) == offsets  # none twice, and none before another
    terms = [max(one.terms.get(log, 0), other.terms.get(log, 0)) for log in range(1, 5)]
    assert 2 < max(terms) <= 2 + 2 * 100 / FOREIGN_S  # not as fast as they can
    await end(one, other)


@virtual
async def test_one_node_that_is_told_of_more_logs_is_enough_for_all_to_have_them() -> None:
    world, nodes = await started(1, 2)
    world.config = dataclasses.replace(world.config, logs_count=9)
    nodes += await world.start(3)
    await until(lambda: world.is_shared_out(*nodes))
    assert controller(nodes).node_id != 3, "who was told less makes the topics"
    await with_topic(nodes)
    places = controller(nodes).gateway.broker.topics.named("t")
    assert places is not None
    assert len({place.log_id for place in places.record.placements}) == PARTITIONS
    assert set((await write_everywhere(nodes)).values()) == {0}
    await nodes[2].gateway.stop()
    await until(lambda: world.is_shared_out(*nodes[:2]))
    assert set((await write_everywhere(nodes[:2])).values()) == {1}
    await end(*nodes[:2])
