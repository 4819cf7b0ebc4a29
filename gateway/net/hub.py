"""What all connections share: limits, memory, who is open and what runs."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.fairness.reply_budget import ReplyBudget
from gateway.net import heap
from gateway.net.acknowledgements import Acknowledgements
from gateway.net.buffers import BlockPool, ByteBudget
from gateway.net.bulk_gate import BulkGate
from gateway.net.closings import Closings
from gateway.net.frame_lanes import FrameLanes
from gateway.net.idle_watch import Idler, IdleWatch
from gateway.net.request_counts import RequestCounts
from wal_core import Lane

if TYPE_CHECKING:
    from gateway.api import Services
    from gateway.net.pending_request import PendingRequest


LATE_PARTS_AT_ONCE_COUNT = 2
"""Parts of replies whose clients were slow, and which the system has in memory no more."""
BULK_SHARE = 8
"""The part of the memory for requests that one address may have waiting as large ones."""


TRIM_INTERVAL_S = 10.0
"""After connections have gone: blocks that nobody needed for so long are given back."""
CROWD_COUNT = 500
"""So many that have gone leave enough free memory behind to look for it."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    request_bytes_max: int
    requests_in_flight_max_count: int
    buffered_bytes_max: int
    connections_max_count: int
    idle_max_ms: int


class Client(Idler, Protocol):
    """A connection, as those see it who end it."""

    def stop_reading(self) -> None: ...

    def give_up(self) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Hub:
    """What all connections share."""

    def __init__(
        self,
        services: Services,
        limits: ConnectionLimits,
        pool: BlockPool,
        budget: ByteBudget,
        replies: ReplyBudget,
    ) -> None:
        self.services = services
        self.limits = limits
        self.connections_max_count = limits.connections_max_count
        self.pool = pool
        self.budget = budget
        waiting_bytes_max = budget.limit_bytes // BULK_SHARE
        self.bulk = BulkGate(waiting_bytes_max)
        self.long_answers = BulkGate(waiting_bytes_max, slots_count=1)
        self.late_parts = Lane("late-parts", LATE_PARTS_AT_ONCE_COUNT)
        self.frames = FrameLanes(budget.limit_bytes)
        self.idle_watch = IdleWatch(limits.idle_max_ms)
        self.replies = replies
        self.closings = Closings()
        self.counts = RequestCounts()
        # Both in order of their coming, so that a stop goes the same way each time.
        self.connections: dict[Client, None] = {}
        # Every request that runs, also of connections that are gone: awaited by the server's stop.
        self.tasks: dict[asyncio.Task[None], None] = {}
        self.acknowledgements: Acknowledgements[PendingRequest] = Acknowledgements()
        self.stopping = False
        self._all_gone: asyncio.Event | None = None
        self._trim_timer: asyncio.TimerHandle | None = None
        self._gone_count = 0  # since memory was last given back

    def allow_connections(self, max_count: int) -> None:
        """From now on; who is connected stays."""
        self.connections_max_count = max_count

    def started(self, task: asyncio.Task[None]) -> None:
        """Own the task of a request until it is done."""
        self.tasks[task] = None
        task.add_done_callback(self.tasks.pop)

    @property
    def in_flight_count(self) -> int:
        """Requests that run."""
        return len(self.tasks) + self.acknowledgements.waiting_count

    def running(self) -> list[asyncio.Future[None]]:
        """What those wait for that run; empty: none does."""
        return [*self.tasks, *self.acknowledgements.pending()]

    def gone(self, connection: Client) -> None:
        self.connections.pop(connection, None)
        self.idle_watch.forget(connection)
        if self._all_gone is not None and not self.connections:
            self._all_gone.set()
        self._gone_count += 1
        self._trim_later()

    def _trim_later(self) -> None:
        if self._trim_timer is None and not self.stopping:
            loop = asyncio.get_running_loop()
            self._trim_timer = loop.call_later(TRIM_INTERVAL_S, self._trim)

    def _trim(self) -> None:
        self._trim_timer = None
        if self._gone_count >= CROWD_COUNT:
            self._gone_count = 0
            heap.give_back()
        if self.pool.trim():
            self._trim_later()

    async def wait_all_gone(self, timeout_s: float) -> None:
        """Returns when the last connection is lost, or the time is up."""
        if not self.connections:
            return
        self._all_gone = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._all_gone.wait()
