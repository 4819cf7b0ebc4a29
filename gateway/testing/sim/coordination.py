"""The coordination store of a simulated cluster, each node's ways to it, and what befalls it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from gateway.cluster.coordination.base import KeyValue, Put, Snapshot
from gateway.cluster.coordination.records import MoveOrder, NodeRecord, encode, key_of, root
from gateway.cluster.coordination.static import StaticStore
from gateway.testing.sim_coordination import SimCoordination, at_once, replaced

PREFIX = "/woodpecker"
COPIES_MAX_COUNT = 100


class Coordination:
    """`way` for each process, or several; a restart gets new ones, cut off if its node is."""

    def __init__(self, lease_s: int) -> None:
        self.cluster_id: str | None = None
        self._lease_s = lease_s
        self._store = StaticStore()
        self._stores_count = 1
        self._restores_count = 0
        self._ways: dict[int, list[SimCoordination]] = {}
        self._all_ways: list[SimCoordination] = []
        self._cut: set[int] = set()
        self._copies: list[tuple[float, Snapshot]] = []

    def way(self, node_id: int) -> SimCoordination:
        way = SimCoordination(self._store)
        self._ways.setdefault(node_id, []).append(way)
        self._all_ways.append(way)
        if node_id in self._cut:
            way.cut()
        return way

    def cut(self, node_ids: Iterable[int]) -> None:
        for node_id in node_ids:
            self._cut.add(node_id)
            for way in self._ways.get(node_id, ()):
                way.cut()

    def heal(self) -> None:
        """For all of them."""
        self._cut.clear()
        for way in self._all_ways:
            if way.is_cut:
                way.heal()

    def delay(self, node_id: int, late_s: float) -> None:
        for way in self._ways.get(node_id, ()):
            way.watch_late_s = late_s

    def hurry(self) -> None:
        """Nobody hears of anything late any more."""
        for way in self._all_ways:
            way.watch_late_s = 0.0

    def compact(self) -> None:
        self._store.compact()

    def end_lease(self, node_id: int) -> None:
        if self.cluster_id is None:
            return
        key = key_of(root(PREFIX, self.cluster_id), NodeRecord(node_id, "", "", 0))
        pair = self._store._keys.get(key)
        if pair is not None and pair.lease:
            at_once(self._store.revoke(pair.lease))

    def order_move(self, log_id: int, node_id: int) -> None:
        if self.cluster_id is not None:
            order = MoveOrder(log_id, node_id)
            put = Put(key_of(root(PREFIX, self.cluster_id), order), encode(order))
            at_once(self._store.transact([], [put]))

    def keep_copy(self) -> None:
        """Called now and then."""
        now_s = asyncio.get_running_loop().time()
        self._copies.append((now_s, at_once(self._store.read(""))))
        del self._copies[:-COPIES_MAX_COUNT]

    def restore(self, age_s: float) -> None:
        """To the newest copy that is so old, else the oldest."""
        then_s = asyncio.get_running_loop().time() - age_s
        old = [copy for at_s, copy in self._copies if at_s <= then_s]
        copy = old[-1] if old else self._copies[0][1]
        self._restores_count += 1
        self._replace(copy.keys, copy.store_id, with_leases=self._restores_count % 2 == 0)

    def wipe(self) -> None:
        """Another store, with another id, is there."""
        self._stores_count += 1
        self._replace((), self._stores_count, with_leases=False)

    def _replace(self, keys: Sequence[KeyValue], store_id: int, *, with_leases: bool) -> None:
        store = self._store = replaced(
            self._store, keys, store_id, self._lease_s, with_leases=with_leases
        )
        for way in self._all_ways:
            way.lead_to(store)
