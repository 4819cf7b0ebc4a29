"""A node among others, with the interleavings that each rule is for."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.cluster.allotment import FOREIGN_S
from gateway.cluster.coordination.base import Delete, Put, Refused
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
from gateway.cluster.tests.fleet import ROOT, TTL_S, Bucket, OneNode, shared_out
from gateway.testing.sim_coordination import at_once, replaced
from gateway.tests.virtual import until, virtual
from wal_core import Resigned


async def started(
    count: int, logs_count: int = 7, **fields: object
) -> tuple[Bucket, StaticStore, list[OneNode]]:
    bucket, store = Bucket(logs_count), StaticStore()
    nodes = [OneNode(bucket, store, node_id, **fields) for node_id in range(1, count + 1)]
    await until(lambda: shared_out(bucket, *nodes))
    await asyncio.sleep(1)  # all is written down
    return bucket, store, nodes


async def end(*nodes: OneNode) -> None:
    for node in nodes:
        await node.member.stop()


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
async def test_owners_keep_their_logs_while_the_store_is_away_and_nothing_moves_after() -> None:
    bucket, _, nodes = await started(3)
    held = [dict(node.terms) for node in nodes]
    for node in nodes:
        node.way.cut()
    await asyncio.sleep(600)
    assert [node.terms for node in nodes] == held
    for node in nodes:
        assert node.member.view.owner(0) == nodes[0].member.view.owner(0)
        node.way.heal()
        await asyncio.sleep(1.5)  # not all of them notice at once
    await asyncio.sleep(60)
    assert [node.terms for node in nodes] == held
    assert len(bucket.openings) == len(bucket.logs)
    assert shared_out(bucket, *nodes)
    await end(*nodes)


@virtual
async def test_a_node_that_is_cut_off_is_replaced_and_comes_back_without_what_it_lost() -> None:
    bucket, _, nodes = await started(3)
    cut, *others = nodes
    had = set(cut.terms)
    cut.way.cut()
    await asyncio.sleep(TTL_S + 2)
    assert had <= {log for node in others for log in node.terms}
    assert set(cut.terms) == had  # nobody has told it
    cut.way.heal()
    await until(lambda: not had & set(cut.terms))
    await until(lambda: shared_out(bucket, *nodes))
    await end(*nodes)


@virtual
async def test_a_wiped_store_costs_no_move() -> None:
    bucket, store, nodes = await started(3)
    held = [dict(node.terms) for node in nodes]
    wiped = replaced(store, (), 2, TTL_S)
    for node in nodes:
        node.way.cut()
    await asyncio.sleep(1)
    for node in nodes:
        node.way.lead_to(wiped)
        node.way.heal()
        await asyncio.sleep(1)
    await asyncio.sleep(60)
    assert [node.terms for node in nodes] == held
    assert shared_out(bucket, *nodes)
    await end(*nodes)


@virtual
async def test_a_store_restored_from_an_old_copy_does_not_bring_an_old_owner_back() -> None:
    bucket, store, nodes = await started(3)
    old = await store.read(ROOT)
    dead, *others = nodes
    await dead.die()
    await until(lambda: shared_out(bucket, *others))
    restored = replaced(store, old.keys, old.store_id, TTL_S)
    for node in others:
        node.way.lead_to(restored)
    held = [dict(node.terms) for node in others]
    await asyncio.sleep(60)
    assert [node.terms for node in others] == held
    for node in others:
        for log in bucket.logs:
            owner = node.member.view.owner(log)
            assert owner is not None
            assert owner.node_id != dead.node_id
    await end(*others)


@virtual
async def test_the_record_of_a_process_of_before_in_an_old_copy_is_no_second_process() -> None:
    """Revisions of two stores, or of two pasts of one, say nothing of what came first."""
    bucket, store, nodes = await started(2)
    old = await store.read(ROOT)
    await nodes[0].die()
    again = OneNode(bucket, store, 1)
    await until(lambda: shared_out(bucket, again, nodes[1]))
    wiped = replaced(store, (), 2, TTL_S)
    again.way.lead_to(wiped)
    my_key = key_of(ROOT, again.member._registration.record)
    await until(lambda: any(pair.key == my_key for pair in at_once(wiped.read(ROOT)).keys))
    await until(lambda: again.member.has_lease)
    restored = replaced(wiped, [*old.keys] * 9, old.store_id, TTL_S)
    for node in (again, nodes[1]):
        node.way.lead_to(restored)
    await asyncio.sleep(60)
    assert not again.member.failed.done()
    assert again.member.has_lease
    assert shared_out(bucket, again, nodes[1])
    await end(again, nodes[1])


@virtual
async def test_a_log_whose_owner_resigned_is_claimed_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bucket, _, nodes = await started(2)
    log = min(nodes[0].terms)
    del nodes[0].terms[log]
    nodes[0].member.lost(log, Resigned("nothing comes of its term", log_id=log))
    await asyncio.sleep(FOREIGN_S / 10)
    assert shared_out(bucket, *nodes)
    assert "log taken" not in caplog.messages
    await end(*nodes)


@virtual
async def test_a_log_that_a_stranger_takes_is_left_to_it_for_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A node of another cluster on the same bucket, for one."""
    bucket, _, nodes = await started(2)
    log = min(nodes[0].terms)
    bucket.terms[log] += 1
    bucket.writers[log] = "a stranger"
    await nodes[0].write_all()
    assert log not in nodes[0].terms
    await asyncio.sleep(FOREIGN_S - 2)
    assert all(log not in node.terms for node in nodes)
    said = [record for record in caplog.records if record.getMessage() == "log taken"]
    assert "not registered" in json.dumps(said[0].__dict__, default=str)
    await until(lambda: shared_out(bucket, *nodes))
    await end(*nodes)


@virtual
async def test_whoever_was_away_for_a_lease_looks_at_what_it_holds() -> None:
    """Before its clients make it: a stranger leaves nothing in the coordination store."""
    bucket, store, nodes = await started(1)
    lease = nodes[0].member._registration.lease
    assert lease is not None
    log = min(nodes[0].terms)
    bucket.terms[log] += 1
    bucket.writers[log] = "a stranger"
    await asyncio.sleep(TTL_S)
    assert log in nodes[0].terms
    await store.revoke(lease)
    await asyncio.sleep(TTL_S)
    assert log not in nodes[0].terms
    await end(*nodes)


async def _is_never_sure_of_what_it_lost(node: OneNode, for_s: float) -> None:
    for _ in range(round(for_s / 0.01)):
        lost = [log for log in node.terms if node.bucket.writers[log] is not node]
        assert not (lost and node.member.has_lease)
        await asyncio.sleep(0.01)


@virtual
async def test_a_log_that_another_is_taking_over_is_in_doubt_until_that_has_ended() -> None:
    """A look before the other has fenced it finds nothing, whatever comes after."""
    bucket, _, (first, second) = await started(2)
    second.open_s = 3.0
    first.way.cut()
    await until(lambda: second.member._roster.claims)
    first.way.heal()
    await until(lambda: first.member._registration.lease)
    await _is_never_sure_of_what_it_lost(first, 5)
    second.open_s = 0.1
    await until(lambda: shared_out(bucket, first, second))
    assert first.member.has_lease
    await end(first, second)


@virtual
async def test_a_take_over_that_fails_leaves_nothing_in_doubt() -> None:
    bucket, _, (first, second) = await started(2)
    kept = dict(first.terms)
    second.open_s, second.fails = 3.0, set(bucket.logs)
    first.way.cut()
    await until(lambda: second.member._roster.claims)
    first.way.heal()
    await until(lambda: first.member._registration.lease)
    await _is_never_sure_of_what_it_lost(first, 5)
    assert first.member.has_lease
    assert first.terms == kept
    await end(first, second)


@virtual
async def test_nobody_claims_the_logs_of_a_node_that_has_come_back_unseen() -> None:
    bucket, store, (first, second) = await started(2)
    kept, my_key = dict(first.terms), key_of(ROOT, first.member._registration.record)

    def is_there() -> bool:
        return any(pair.key == my_key for pair in at_once(store.read(ROOT)).keys)

    second.way.watch_late_s = 2.0
    first.way.cut()
    await until(lambda: not is_there())
    first.way.heal()
    await until(is_there)
    await _is_never_sure_of_what_it_lost(first, 10)
    assert first.terms == kept
    assert first.member.has_lease
    assert shared_out(bucket, first, second)
    await end(first, second)


@virtual
async def test_a_second_process_with_the_id_of_a_node_stops_the_first() -> None:
    bucket, store, nodes = await started(2)
    second = OneNode(bucket, store, 1)
    with pytest.raises(Refused, match="n1:9092, has registered as node 1"):
        await asyncio.wait_for(nodes[0].member.failed, 10)
    await end(*nodes, second)


@virtual
async def test_an_owner_of_an_older_term_is_not_believed() -> None:
    _, store, nodes = await started(2)
    first, second = nodes
    log = min(first.terms)
    before = second.member.view.owner(log)
    assert before is not None
    stale = OwnerRecord(log, 2, second.member._incarnation, before.term - 1)
    await store.transact([], [Put(key_of(ROOT, stale), encode(stale))])
    await asyncio.sleep(1)
    assert second.member.view.owner(log) == before
    # Its owner has said again who it is.
    snapshot = await store.read(ROOT)
    (pair,) = [pair for pair in snapshot.keys if pair.key == key_of(ROOT, stale)]
    record = decode(ROOT, pair.key, pair.value)
    assert isinstance(record, OwnerRecord)
    assert (record.node_id, record.term) == (1, before.term)
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
