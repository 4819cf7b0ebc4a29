"""Members over a pretended bucket: who opens a log fences whoever had it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from gateway.cluster.coordination.base import CALL_S_MAX, CoordinationStore
from gateway.cluster.coordination.records import NodeRecord, root
from gateway.cluster.coordination.static import StaticStore
from gateway.cluster.member import Member, MemberSettings
from gateway.cluster.ownership import MoveRules
from gateway.testing.sim_coordination import SimCoordination
from gateway.tests.virtual import until
from wal_core import Fenced, Unavailable

ROOT = root("/woodpecker", "cluster")
TTL_S = 5
SETTLE_S = TTL_S + CALL_S_MAX
RULES = MoveRules(tenure_ms_min=20_000)


class Bucket:
    """By log: the newest term and who has it."""

    def __init__(self, logs_count: int) -> None:
        self.logs = range(logs_count)
        self.terms = dict.fromkeys(self.logs, 0)
        self.writers: dict[int, Any] = {}
        self.openings: list[tuple[float, int, int]] = []
        """When, node, log."""


class OneNode:
    """A node, from its start to its end; its logs are those of the bucket that it has opened."""

    _starts = 0

    def __init__(
        self,
        bucket: Bucket,
        store: CoordinationStore,
        node_id: int,
        *,
        weight: int = 1,
        rules: MoveRules = RULES,
        lost_replies: float = 0.0,
        settings: MemberSettings | None = None,
    ) -> None:
        OneNode._starts += 1
        self.bucket = bucket
        self.node_id = node_id
        self.terms: dict[int, int] = {}
        # A node's own way to a store in memory; a real store has faults of its own.
        is_memory = isinstance(store, StaticStore)
        self.way: Any = SimCoordination(store, lost_replies=lost_replies) if is_memory else store
        self.open_s = 0.1
        self.fails: set[int] = set()
        incarnation, host = f"i{OneNode._starts}", f"n{node_id}"
        record = NodeRecord(
            node_id, incarnation, host, 9092, weight=weight, started_ms=OneNode._starts
        )
        settings = settings or MemberSettings(ROOT, TTL_S, SETTLE_S, rules)
        self.member = Member(self.way, settings, record, self)
        self.member.start()

    # What a member asks of its logs

    def log_ids(self) -> Collection[int]:
        return self.bucket.logs

    def term_of(self, log_id: int) -> int | None:
        return self.terms.get(log_id)

    async def open(self, log_id: int) -> int:
        await asyncio.sleep(self.open_s)
        if log_id in self.fails:
            raise Unavailable("cannot be opened here")
        self.bucket.terms[log_id] += 1
        self.bucket.writers[log_id] = self
        self.terms[log_id] = term = self.bucket.terms[log_id]
        self.bucket.openings.append((asyncio.get_running_loop().time(), self.node_id, log_id))
        return term

    async def release(self, log_id: int) -> None:
        del self.terms[log_id]
        await asyncio.sleep(0.05)

    async def check(self, log_id: int) -> None:
        await asyncio.sleep(0.02)
        if log_id in self.terms and self.bucket.writers[log_id] is not self:
            del self.terms[log_id]
            error = Fenced("another writer took the log", log_id=log_id)
            self.member.lost(log_id, error)
            raise error

    # What tests do

    async def write_all(self) -> None:
        """As its clients make it do: whoever was fenced learns it."""
        for log_id in list(self.terms):
            try:
                await self.check(log_id)
            except Fenced:
                pass

    async def die(self) -> None:
        """Without a word: the lease runs out by itself."""
        if isinstance(self.way, SimCoordination):
            self.way.cut()
        tasks = [*self.member._tasks, *self.member._busy.values()]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def shared_out(bucket: Bucket, *nodes: OneNode) -> bool:
    """Whether each log is open at just one of these, evenly, and all know where."""
    held = [log for node in nodes for log in node.terms]
    counts = sorted(len(node.terms) for node in nodes)
    return (
        sorted(held) == list(bucket.logs)
        and counts[-1] - counts[0] <= 1
        and all(agree(bucket, node, nodes) for node in nodes)
    )


def agree(bucket: Bucket, node: OneNode, nodes: Collection[OneNode]) -> bool:
    """Whether it tells its clients the truth about these."""
    told = {log: node.member.view.owner(log) for log in bucket.logs}
    true = {log: (n.node_id, term) for n in nodes for log, term in n.terms.items()}
    return told == true


async def started(
    count: int, logs_count: int = 7, **fields: object
) -> tuple[Bucket, StaticStore, list[OneNode]]:
    """So many nodes, once they have shared out the logs."""
    bucket, store = Bucket(logs_count), StaticStore()
    nodes = [OneNode(bucket, store, node_id, **fields) for node_id in range(1, count + 1)]
    await until(lambda: shared_out(bucket, *nodes))
    await asyncio.sleep(1)  # all is written down
    return bucket, store, nodes


async def end(*nodes: OneNode) -> None:
    for node in nodes:
        await node.member.stop()
