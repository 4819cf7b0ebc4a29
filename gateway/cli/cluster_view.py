"""A cluster as its keys in etcd tell it, and orders to it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, TypeVar

from gateway.cli.errors import ClientError
from gateway.cluster.coordination.base import (
    Compacted,
    CoordinationStore,
    Delete,
    Put,
)
from gateway.cluster.coordination.records import (
    MoveOrder,
    NodeRecord,
    OwnerRecord,
    PauseOrder,
    Record,
    StandingOrder,
    encode,
    key_of,
    root,
)
from gateway.cluster.ownership import Standing
from gateway.cluster.roster import Roster

_SHOW = "`woodpecker-gateway cluster show`"
T = TypeVar("T")


class OneNode(NamedTuple):
    """A node, alive or only spoken of."""

    node_id: int
    record: NodeRecord | None
    standing: str
    logs_count: int


class OneLog(NamedTuple):
    """A log; `is_served` if its owner is alive and has not let go of it. `unable` are nodes that
    could not open it."""

    owner: OwnerRecord
    is_served: bool
    ordered_node_id: int | None
    unable: Sequence[int] = ()


class State(NamedTuple):
    """All that is shown."""

    cluster_id: str
    is_paused: bool
    nodes: Sequence[OneNode]
    logs: Sequence[OneLog]


class Cluster:
    """One cluster's keys."""

    def __init__(self, store: CoordinationStore, prefix: str, cluster_id: str) -> None:
        self._store = store
        self._cluster_id = cluster_id
        self._root = root(prefix, cluster_id)

    @classmethod
    async def find(cls, store: CoordinationStore, prefix: str, cluster_id: str | None) -> Cluster:
        """The one of that id, or the only one there is. Raises ClientError."""
        keys = (await store.read(f"{prefix}/")).keys
        parts = [pair.key.removeprefix(f"{prefix}/").split("/") for pair in keys]
        ids = sorted({part[0] for part in parts if part[1:2] in (["nodes"], ["owners"])})
        if cluster_id is None and len(ids) > 1:
            said = f"there are several clusters below {prefix}/: {', '.join(ids)}"
            raise ClientError(said, "--cluster-id with one of them")
        if not ids or (cluster_id is not None and cluster_id not in ids):
            what = "no cluster" if cluster_id is None else f"no cluster {cluster_id}"
            remedy = "--etcd-prefix as the brokers have it; a cluster appears when a broker starts"
            raise ClientError(f"etcd has {what} below {prefix}/", remedy)
        return cls(store, prefix, cluster_id or ids[0])

    async def state(self) -> State:
        """Everything, as of now."""
        roster = await self._roster()
        owners = [roster.owners[log] for log in sorted(roster.owners)]
        served = {owner.log for owner in owners if roster.living_owner(owner.log)}
        logs = []
        for owner in owners:
            order = roster.moves.get(owner.log)
            unable = sorted(n.node_id for n in roster.nodes.values() if owner.log in n.unable)
            ordered = order.node_id if order else None
            logs.append(OneLog(owner, owner.log in served, ordered, unable))
        ids = {*roster.nodes, *(owner.node_id for owner in owners if owner.ended is None)}
        nodes = []
        for node_id in sorted(ids):
            record = roster.nodes.get(node_id)
            standing = "dead" if record is None else roster.standing(record).value
            count = sum(o.node_id == node_id for o in owners if o.log in served)
            nodes.append(OneNode(node_id, record, standing, count))
        return State(self._cluster_id, roster.is_paused, nodes, logs)

    async def pause(self, *, wanted: bool) -> None:
        """Let no log move that need not, or let them."""
        await self._order(PauseOrder(), wanted=wanted)

    async def stand(self, node_id: int, standing: str | None) -> bool:
        """Order a node's standing, or take that back; whether the node is alive. Waits until a
        node that is to be drained has no log any more."""
        roster = await self._roster()
        order = StandingOrder(node_id, standing or "")
        if standing == Standing.DRAINING.value and node_id in roster.nodes:
            others = [n for n in roster.nodes.values() if n.node_id != node_id]
            if not any(roster.standing(other) is Standing.OPEN for other in others):
                said = f"there is no other broker that may take the logs of node {node_id}"
                raise ClientError(said, "another broker first, or `cluster uncordon`")
        await self._order(order, wanted=standing is not None)
        if standing == Standing.DRAINING.value:
            await self._until(lambda seen: _is_empty(seen, node_id))
        return node_id in roster.nodes

    async def move(self, log: int, node_id: int) -> int:
        """Order a move and wait until it is made; the new owner's term."""
        roster = await self._roster()
        if log not in roster.owners:
            raise ClientError(f"there is no log {log}", f"{_SHOW}, which lists them")
        node = roster.nodes.get(node_id)
        if node is None:
            raise ClientError(f"there is no node {node_id} alive", f"{_SHOW}, which lists them")
        if roster.standing(node) is not Standing.OPEN:
            said = f"node {node_id} is {roster.standing(node).value}"
            raise ClientError(said, f"`woodpecker-gateway cluster uncordon {node_id}`")
        owner = roster.living_owner(log)
        if owner is None:
            said = f"log {log} has no owner at the moment that could hand it over"
            raise ClientError(said, f"{_SHOW}, and again once it has one")
        if owner.node_id != node_id:
            await self._order(MoveOrder(log, node_id), wanted=True)
        return await self._until(lambda seen: _term_at(seen, log, node_id))

    async def _order(self, record: Record, *, wanted: bool) -> None:
        key = key_of(self._root, record)
        await self._store.transact([], [Put(key, encode(record)) if wanted else Delete(key)])

    async def _roster(self) -> Roster:
        roster = Roster(self._root)
        roster.take_all(await self._store.read(self._root), 0)
        return roster

    async def _until(self, condition: Callable[[Roster], T | None]) -> T:
        """What the condition says once it says anything; the deadline is the caller's."""
        while True:
            roster = Roster(self._root)
            snapshot = await self._store.read(self._root)
            roster.take_all(snapshot, 0)
            if (said := condition(roster)) is not None:
                return said
            watch = self._store.watch(self._root, snapshot.revision)
            async with aclosing(watch) as changes:
                try:
                    async for some in changes:
                        roster.take(some, 0)
                        if (said := condition(roster)) is not None:
                            return said
                except Compacted:
                    pass


def _is_empty(roster: Roster, node_id: int) -> bool | None:
    owners = [roster.living_owner(log) for log in roster.owners]
    return None if any(o is not None and o.node_id == node_id for o in owners) else True


def _term_at(roster: Roster, log: int, node_id: int) -> int | None:
    owner = roster.living_owner(log)
    return owner.term if owner is not None and owner.node_id == node_id else None


def nodes_table(state: State) -> list[tuple[object, ...]]:
    """A heading, and a row for each node."""
    rows: list[tuple[object, ...]] = [("NODE", "ADDRESS", "RACK", "WEIGHT", "STANDING", "LOGS")]
    for node in state.nodes:
        record = node.record
        address = "-" if record is None else f"{record.host}:{record.port}"
        rack = (record.rack if record is not None else None) or "-"
        weight = "-" if record is None else record.weight
        rows.append((node.node_id, address, rack, weight, node.standing, node.logs_count))
    return rows


def logs_table(state: State) -> list[tuple[object, ...]]:
    """A heading, and a row for each log."""
    rows: list[tuple[object, ...]] = [("LOG", "OWNER", "TERM", "SINCE", "STATE")]
    for log in state.logs:
        owner = log.owner
        rows.append((owner.log, owner.node_id, owner.term, _shown(owner.since_ms), _said(log)))
    return rows


def _said(log: OneLog) -> str:
    owner = log.owner
    words = ["served" if log.is_served else owner.ended or "its owner is gone"]
    if owner.fenced_node_id is not None:
        at = f" at {owner.fenced_address}" if owner.fenced_address else ""
        words.append(f"taken from node {owner.fenced_node_id}{at}")
    if owner.next_node_id is not None:
        words.append(f"going to node {owner.next_node_id}")
    if log.ordered_node_id is not None:
        words.append(f"ordered to node {log.ordered_node_id}")
    words += [f"node {node_id} could not open it" for node_id in log.unable]
    return ", ".join(words)


def _shown(since_ms: int) -> str:
    if not since_ms:
        return "-"
    stamp = datetime.datetime.fromtimestamp(since_ms / 1000, datetime.UTC)
    return stamp.strftime("%Y-%m-%d %H:%M:%SZ")


def as_json(state: State) -> dict[str, Any]:
    """The same for programs; names stay."""
    return {
        "cluster_id": state.cluster_id,
        "moves_paused": state.is_paused,
        "nodes": [_node_facts(node) for node in state.nodes],
        "logs": [
            {
                "log": log.owner.log,
                "owner": log.owner.node_id,
                "term": log.owner.term,
                "since_ms": log.owner.since_ms,
                "served": log.is_served,
                "ended": log.owner.ended,
                "fenced_node": log.owner.fenced_node_id,
                "address": log.owner.address,
                "fenced_address": log.owner.fenced_address,
                "next_node": log.owner.next_node_id,
                "ordered_node": log.ordered_node_id,
            }
            for log in state.logs
        ],
    }


def _node_facts(node: OneNode) -> dict[str, Any]:
    facts = {"node": node.node_id, "standing": node.standing, "logs": node.logs_count}
    record = node.record
    if record is None:
        return facts
    return {
        **facts,
        "host": record.host,
        "port": record.port,
        "rack": record.rack,
        "weight": record.weight,
        "unable_logs": list(record.unable),
    }
