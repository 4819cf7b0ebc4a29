"""What a node may believe of the store, of its lease and of the others, and what not any more."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.cluster.allotment import FOREIGN_S
from gateway.cluster.coordination.base import Put, Refused
from gateway.cluster.coordination.records import (
    MoveOrder,
    OwnerRecord,
    decode,
    encode,
    key_of,
)
from gateway.cluster.coordination.static import StaticStore
from gateway.cluster.tests.fleet import ROOT, TTL_S, Bucket, OneNode, end, shared_out, started
from gateway.testing.sim_coordination import LATENCY_S_MAX, at_once, replaced
from gateway.tests.virtual import until, virtual
from wal_core import Resigned


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
async def test_who_is_taken_for_the_owner_by_an_old_copy_says_that_it_is_not() -> None:
    """It knows of a later term, and so does everybody but the node that should have the log."""
    bucket, store, nodes = await started(3)
    log = min(nodes[1].terms)
    for node in (nodes[0], nodes[1]):
        old = await store.read(ROOT)
        move = MoveOrder(log, node.node_id)
        await store.transact([], [Put(key_of(ROOT, move), encode(move))])
        await until(lambda node=node: log in node.terms)
        await asyncio.sleep(1)
    await nodes[1].die()
    restored = replaced(store, old.keys, old.store_id, TTL_S)
    for node in (nodes[0], nodes[2]):
        node.way.lead_to(restored)
    nodes[1] = OneNode(bucket, restored, 2)
    await until(lambda: shared_out(bucket, *nodes), FOREIGN_S)
    await end(*nodes)


@virtual
async def test_the_end_of_a_lease_that_an_old_copy_has_counts_at_once() -> None:
    """etcd restores leases with their ids, so nobody refuses it. The revision under which the
    record was written last is one that the copy has not reached: by it nothing there is news."""
    bucket, store, nodes = await started(2)
    old = await store.read(ROOT)
    registration = nodes[0].member._registration
    await registration.change(registration.record)
    restored = replaced(store, old.keys, old.store_id, TTL_S)
    for node in nodes:
        node.way.lead_to(restored)
    await asyncio.sleep(60)
    assert nodes[0].member.has_lease
    (mine,) = at_once(restored.read(key_of(ROOT, registration.record))).keys
    at_once(restored.revoke(mine.lease))
    await asyncio.sleep(2 * LATENCY_S_MAX)  # before it asks for its lease again
    assert registration.lease != mine.lease
    await until(lambda: shared_out(bucket, *nodes))
    await end(*nodes)


async def _both_stay(bucket: Bucket, restored: StaticStore, again: OneNode, other: OneNode) -> None:
    """What was restored has a record of the process before `again`, which ends nobody."""
    for node in (again, other):
        node.way.lead_to(restored)
    await asyncio.sleep(60)
    assert not again.member.failed.done()
    assert again.member.has_lease
    assert shared_out(bucket, again, other)
    await end(again, other)


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
    await _both_stay(bucket, restored, again, nodes[1])


@virtual
async def test_nor_is_it_where_nothing_tells_that_the_store_went_back() -> None:
    """It was restored twice, from copies of different age, and has come further than before."""
    bucket, store, nodes = await started(2)
    old = await store.read(ROOT)
    await nodes[0].die()
    again = OneNode(bucket, replaced(store, (), old.store_id, TTL_S), 1)
    await until(lambda: again.member.has_lease)
    restored = replaced(store, [*old.keys] * 9, old.store_id, TTL_S)
    await _both_stay(bucket, restored, again, nodes[1])


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
