"""A broker among others on one bucket: it finds or founds their cluster, and takes part in it.

The cluster is the one whose catalog lies in the bucket; a bucket without a catalog gets one from
whoever opens it last. What nodes tell each other lies in the coordination store under its id, so
that two clusters can share that store, and a bucket that takes another's place is not mistaken for
it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from gateway.broker.own_logs import BrokerLogs
from gateway.cluster.coordination.base import CALL_S_MAX
from gateway.cluster.coordination.records import NodeRecord, root
from gateway.cluster.log_news import LogNews
from gateway.cluster.member import Member, MemberSettings
from gateway.cluster.neighbours import Line, Neighbours
from gateway.cluster.ownership import MoveRules
from gateway.cluster.view import CATALOG_LOG_ID
from gateway.observe.logger import log_event
from wal_core import Fenced, Unavailable

if TYPE_CHECKING:
    from gateway.broker.broker import Broker
    from gateway.cluster.coordination.base import CoordinationStore
    from wal_core import Rng

logger = logging.getLogger(__name__)

CATALOG_S_MAX = 60.0  # at a start, for all that it says
FIND_AGAIN_S = 1.0
INCARNATION_BYTES = 8


class MembershipSettings(NamedTuple):
    """`lease_s`: for how long a node that is silent keeps its logs. `settle_s`: see
    MemberSettings; None: as long as one that nobody sees may still have them. `reach` connects to a
    node that is looked after; None: whoever keeps the coordination store sees ends by itself.
    `waits`: what the catalog rests on may come later than this node."""

    prefix: str
    lease_s: int
    rules: MoveRules = MoveRules()
    weight: int = 1
    settle_s: float | None = None
    reach: Callable[[NodeRecord], Awaitable[Line]] | None = None
    waits: bool = False


class Membership:
    """`start` once the broker has joined, `leave` before it stops, `stop`."""

    def __init__(
        self, broker: Broker, store: CoordinationStore, settings: MembershipSettings, rng: Rng
    ) -> None:
        self._broker = broker
        self._store = store
        self._settings = settings
        self._incarnation = rng.random_bytes(INCARNATION_BYTES).hex()
        self._member: Member | None = None
        self._neighbours: Neighbours | None = None
        self._news: LogNews | None = None

    async def start(self) -> None:
        """Know the cluster, and begin to take part; logs come when it is their turn. Raises
        WalError, TimeoutError where the bucket does not answer."""
        await self._find()
        broker, settings = self._broker, self._settings
        node = broker.node
        record = NodeRecord(
            node_id=node.node_id,
            incarnation=self._incarnation,
            host=node.host,
            port=node.port,
            rack=node.rack,
            weight=settings.weight,
            logs_count=len(broker.logs.for_new),
            started_ms=broker.now_ms(),
        )
        timing = MemberSettings(
            root=root(settings.prefix, broker.cluster_id),
            ttl_s=settings.lease_s,
            settle_s=_settle_s(settings),
            rules=settings.rules,
        )
        member = self._member = Member(self._store, timing, record, BrokerLogs(broker))
        self._news = LogNews(self._store, timing.root, CATALOG_LOG_ID)
        broker.catalog.when_durable = self._news.more
        broker.cluster = member.view
        broker.logs.assurance.rests_on(lambda: member.has_lease)
        member.view.watch(broker.catalog.wake)
        member.view.watch(broker.deletions.news.tell_soon)
        member.view.watch(lambda: broker.logs.spread_over(member.logs_count))
        if settings.reach is not None:
            self._neighbours = Neighbours(node.node_id, member.nodes, member.end, settings.reach)
            member.view.watch(self._neighbours.look)
        member.start()

    async def _find(self) -> None:
        """Until the catalog says which cluster it is. Who founds it together with another is
        fenced, and finds the other's."""
        broker = self._broker
        while True:
            try:
                await broker.catalog.look(CATALOG_S_MAX)
                if broker.cluster_id:
                    return
                await broker.open_log(CATALOG_LOG_ID)
            except Fenced:
                await broker.release_log(CATALOG_LOG_ID)
            except (Unavailable, TimeoutError) as error:
                if not self._settings.waits:
                    raise
                reason = str(error) or f"the catalog was not read within {CATALOG_S_MAX:.0f} s"
                log_event(logger, logging.WARNING, "waiting for the catalog", reason=reason)
                await broker.release_log(CATALOG_LOG_ID)  # opened, and it took no record
                await asyncio.sleep(FIND_AGAIN_S)

    def lost(self, log_id: int, error: BaseException) -> None:
        """See `Broker.join`."""
        if self._member is not None:
            self._member.lost(log_id, error)

    async def failed(self) -> None:
        """Returns never; raises Refused once another process has this node's id."""
        assert self._member is not None, "it has not started"
        await asyncio.shield(self._member.failed)

    async def leave(self, timeout_s: float) -> None:
        """Hand over what is here, as far as there is anybody to take it, and the time."""
        if self._member is not None:
            await self._member.leave(timeout_s)

    async def stop(self) -> None:
        """Take no part any more; what is still open is the broker's to close."""
        if self._neighbours is not None:
            await self._neighbours.stop()
        if self._member is not None:
            await self._member.stop()
        if self._news is not None:
            await self._news.stop()
        await self._store.close()


def _settle_s(settings: MembershipSettings) -> float:
    if settings.settle_s is not None:
        return settings.settle_s
    # Who has been cut off notices by a call that fails, and has its lease renewed then.
    return settings.lease_s + CALL_S_MAX
