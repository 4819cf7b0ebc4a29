"""A node among others, with the interleavings that each rule is for."""

from __future__ import annotations

import asyncio

from gateway.cluster.coordination.base import Delete, Put
from gateway.cluster.coordination.records import (
    MoveOrder,
    OwnerRecord,
    PauseOrder,
    Record,
    StandingOrder,
    decode,
    encode,
    key_of,
)
from gateway.cluster.coordination.static import StaticStore
from gateway.cluster.tests.fleet import ROOT, TTL_S, Bucket, OneNode, end, shared_out, started
from gateway.tests.virtual import until, virtual


@virtual
async def test_nodes_that_start_together_share_the_logs_and_none_is_opened_twice() -> None:
    bucket, _, nodes = await started(3)
    assert len(bucket.openings) == len(bucket.logs)
    assert all(node.member.view.controller is not None for node in nodes)
    assert [n.node_id for n in nodes[0].member.view.nodes] == [1, 2, 3]
    await end(*nodes)


@virtual
async def test_who_has_the_catalog_has_no_less_of_the_data_for_it() -> None:
    _, _, nodes = await started(2, logs_count=3)
    assert [len(node.terms.keys() - {0}) for node in nodes] == [1, 1]
    await end(*nodes)


@virtual
async def test_the_logs_of_a_node_that_dies_are_served_elsewhere_within_its_lease() -> None:
    bucket, _, nodes = await started(3)
    dead, *others = nodes
    kept = {log: term for node in others for log, term in node.terms.items()}
    await dead.die()
    took_s = await until(lambda: shared_out(bucket, *others))
    assert took_s <= TTL_S + 1
    assert kept.items() <= {k: v for n in others for k, v in n.terms.items()}.items()
    assert len(bucket.openings) == len(bucket.logs) + len(dead.terms)
    await end(*others)


@virtual
async def test_a_node_that_starts_again_at_once_gets_its_logs_without_waiting() -> None:
    bucket, store, nodes = await started(1)
    await nodes[0].die()
    again = OneNode(bucket, store, 1)
    assert await until(lambda: shared_out(bucket, again)) < 1
    await end(again)


@virtual
async def test_a_node_that_comes_is_handed_its_share_once_logs_have_been_where_they_are() -> None:
    bucket, store, nodes = await started(2)
    before = len(bucket.openings)
    nodes.append(OneNode(bucket, store, 3))
    await asyncio.sleep(10)
    assert len(bucket.openings) == before
    await until(lambda: shared_out(bucket, *nodes))
    assert len(bucket.openings) - before == 2
    await asyncio.sleep(100)
    assert len(bucket.openings) - before == 2  # and there they stay
    await end(*nodes)


@virtual
async def test_a_move_leaves_its_log_alone_for_less_than_half_a_second() -> None:
    bucket, store, nodes = await started(1)
    newcomer = OneNode(bucket, store, 2)
    gaps: dict[int, float] = {}
    loop = asyncio.get_running_loop()
    while not shared_out(bucket, nodes[0], newcomer):
        for log in bucket.logs:
            if log not in nodes[0].terms and log not in newcomer.terms:
                gaps[log] = gaps.get(log, 0.0) + 0.01
        assert loop.time() < 200
        await asyncio.sleep(0.01)
    assert len(gaps) == 3
    assert max(gaps.values()) < 0.5
    await end(nodes[0], newcomer)


@virtual
async def test_who_leaves_hands_everything_over_first() -> None:
    bucket, _, nodes = await started(3)
    leaver, *others = nodes
    await leaver.member.leave(10)
    assert leaver.terms == {}
    await until(lambda: shared_out(bucket, *others), 1)
    await end(*nodes)


@virtual
async def test_nodes_that_start_again_one_after_the_other_leave_no_log_alone_for_long() -> None:
    """Whoever has just come may not claim yet, but what it is given it takes."""
    bucket, store, nodes = await started(3)
    unserved_s = dict.fromkeys(bucket.logs, 0.0)

    async def look() -> None:
        while True:
            for log in bucket.logs:
                if not any(log in node.terms for node in nodes):
                    unserved_s[log] += 0.01
            await asyncio.sleep(0.01)

    looking = asyncio.ensure_future(look())
    for number, node in enumerate(list(nodes)):
        await node.member.leave(10)
        assert node.terms == {}
        await node.member.stop()
        nodes[number] = OneNode(bucket, store, node.node_id)
        await asyncio.sleep(1)
    await until(lambda: shared_out(bucket, *nodes), 300)
    looking.cancel()
    assert max(unserved_s.values()) < 2
    await end(*nodes)


@virtual
async def test_the_last_node_leaves_at_once() -> None:
    _, _, nodes = await started(1)
    began_s = asyncio.get_running_loop().time()
    await nodes[0].member.leave(10)
    assert asyncio.get_running_loop().time() - began_s < 0.5
    assert len(nodes[0].terms) == 7
    await end(*nodes)


@virtual
async def test_what_cannot_be_opened_is_tried_again_and_bars_nobody() -> None:
    bucket, store = Bucket(4), StaticStore()
    nodes = [OneNode(bucket, store, node_id) for node_id in (1, 2)]
    nodes[0].fails = nodes[1].fails = {2}
    await until(lambda: {0, 1, 3} == {log for node in nodes for log in node.terms})
    await asyncio.sleep(20)
    nodes[0].fails = nodes[1].fails = set()
    await until(lambda: sorted([*nodes[0].terms, *nodes[1].terms]) == [0, 1, 2, 3], 15)
    await until(lambda: shared_out(bucket, *nodes))  # whoever it was passed on to may have too many
    await end(*nodes)


@virtual
async def test_replies_that_get_lost_change_nothing_in_the_end() -> None:
    for _ in range(3):
        bucket, _, nodes = await started(3, lost_replies=0.2)
        dead, *others = nodes
        await dead.die()
        await until(lambda b=bucket, o=others: shared_out(b, *o), 300)  # type: ignore[misc]
        await end(*others)


async def order(store: StaticStore, *records: Record) -> None:
    await store.transact([], [Put(key_of(ROOT, each), encode(each)) for each in records])


async def take_back(store: StaticStore, record: Record) -> None:
    await store.transact([], [Delete(key_of(ROOT, record))])


@virtual
async def test_a_move_that_somebody_orders_is_made_once_and_the_order_is_gone() -> None:
    bucket, store, nodes = await started(2)
    log = min(nodes[0].terms)
    openings = len(bucket.openings)
    await order(store, MoveOrder(log, 2))
    await until(lambda: log in nodes[1].terms, 2)
    await asyncio.sleep(1)
    assert len(bucket.openings) == openings + 1
    assert (await store.read(f"{ROOT}moves/")).keys == ()
    # To a node that is not there it is not made, now or later.
    await order(store, MoveOrder(log, 3))
    await asyncio.sleep(1)
    assert log in nodes[1].terms
    assert (await store.read(f"{ROOT}moves/")).keys == ()
    await end(*nodes)


@virtual
async def test_while_moves_are_paused_a_newcomer_gets_only_what_nobody_has() -> None:
    bucket, store, nodes = await started(2)
    await order(store, PauseOrder())
    nodes.append(OneNode(bucket, store, 3))
    await asyncio.sleep(100)
    assert nodes[2].terms == {}
    await nodes[1].die()
    await until(lambda: len(nodes[0].terms) + len(nodes[2].terms) == len(bucket.logs))
    assert nodes[2].terms
    await take_back(store, PauseOrder())
    await until(lambda: shared_out(bucket, nodes[0], nodes[2]))
    await end(*nodes)


@virtual
async def test_a_node_that_is_to_be_drained_gives_all_away_and_a_cordoned_one_gets_nothing() -> (
    None
):
    bucket, store, nodes = await started(3)
    await order(store, StandingOrder(1, "draining"), StandingOrder(2, "cordoned"))
    held = dict(nodes[1].terms)
    await until(lambda: not nodes[0].terms and shared_by(bucket, nodes[1:]), 10)
    assert nodes[1].terms == held
    await take_back(store, StandingOrder(1, "draining"))
    await take_back(store, StandingOrder(2, "cordoned"))
    await until(lambda: shared_out(bucket, *nodes))
    await end(*nodes)


def shared_by(bucket: Bucket, nodes: list[OneNode]) -> bool:
    return sorted(log for node in nodes for log in node.terms) == list(bucket.logs)


@virtual
async def test_owners_say_since_when_and_whom_they_fenced() -> None:
    bucket, store, nodes = await started(2)
    dead, heir = nodes
    moved, taken = sorted(dead.terms)[:2]
    await order(store, MoveOrder(moved, 2))
    await until(lambda: moved in heir.terms, 2)
    await dead.die()
    await until(lambda: shared_out(bucket, heir))
    await asyncio.sleep(1)
    found = {}
    for pair in (await store.read(f"{ROOT}owners/")).keys:
        record = decode(ROOT, pair.key, pair.value)
        assert isinstance(record, OwnerRecord)
        assert record.since_ms > 0
        found[record.log] = record.fenced_node_id
    assert (found[moved], found[taken]) == (None, dead.node_id)
    await end(*nodes)


@virtual
async def test_a_log_that_its_planned_owner_cannot_open_goes_to_another() -> None:
    _, _, nodes = await started(3)
    dead, *others = nodes
    lost = set(dead.terms)
    for node in nodes:
        node.fails = set()
    others[0].fails = set(range(7))  # whatever it is given
    await dead.die()
    await until(lambda: lost <= {*others[0].terms, *others[1].terms}, TTL_S + 5)
    assert lost <= set(others[1].terms)
    assert {log for n in others[1].member.nodes() for log in n.unable} <= lost
    others[0].fails = set()
    await until(lambda: not any(n.unable for n in others[1].member.nodes()), 400)
    await end(*others)


@virtual
async def test_who_fenced_whom_is_written_down_with_both_addresses() -> None:
    _, store, nodes = await started(2)
    lost = set(nodes[0].terms)
    await nodes[0].die()
    await until(lambda: lost <= set(nodes[1].terms))
    await asyncio.sleep(1)
    for log in lost:
        key = key_of(ROOT, OwnerRecord(log, 0, "", 0))
        (pair,) = (await store.read(key)).keys
        owner = decode(ROOT, key, pair.value)
        assert isinstance(owner, OwnerRecord)
        assert (owner.node_id, owner.address) == (2, "n2:9092")
        assert (owner.fenced_node_id, owner.fenced_address) == (1, "n1:9092")
    await end(nodes[1])
