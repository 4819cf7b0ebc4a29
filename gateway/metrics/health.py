"""Whether the gateway can serve: all its logs are here, and the store has answered lately.

A store that nobody asks is asked now and then for the smallest thing there is: so who reads the
answer never waits for it, and an idle gateway, too, knows.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.metrics.bill import Bill
from wal_core import StoreTally, WalError

if TYPE_CHECKING:
    from gateway.broker.broker import Broker
    from gateway.settings.config import Config
    from wal_core import SegmentStore

CHECK_INTERVAL_S = 10.0
CHECK_TIMEOUT_S = 5.0
LATELY_S = 30.0
WAITING_S_MAX = 30.0
"""Records that wait for longer are not taken by the store, whatever else it answers."""
CHECKED_KEY = "woodpecker.json"


class Health:
    """`start` once the logs are open, `stop` before they are closed."""

    def __init__(self, config: Config, broker: Broker, store: SegmentStore) -> None:
        self._broker = broker
        self._store = store
        self._answered_s = -LATELY_S
        self._answered_count = 0
        self._task: asyncio.Task[None] | None = None
        prices = {
            "put": config.put_price_per_million,
            "list": config.list_price_per_million,
            "get": config.get_price_per_million,
        }
        self.bill = Bill(prices if config.in_bucket else dict.fromkeys(prices, 0.0))
        self.is_stopping = False

    def start(self) -> None:
        self._answered_s = asyncio.get_running_loop().time()  # it was read from at the start
        self._task = asyncio.create_task(self._watch(), name="health")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    @property
    def answered_ago_s(self) -> float:
        """Since the store last answered."""
        self._look()
        return asyncio.get_running_loop().time() - self._answered_s

    def problems(self) -> list[str]:
        """Why it is not ready; none: it is."""
        if self.is_stopping:
            return ["the gateway stops"]
        if self._task is None:
            return ["the gateway starts"]
        found = [
            f"log {owned.log_id} is lost" for owned in self._broker.logs if not owned.is_serving
        ]
        if self.answered_ago_s > LATELY_S:
            found.append(f"the store has not answered for {self.answered_ago_s:.0f} s")
        for log_id, log in self._broker.logs.opened():
            waiting_s = log.tally().waiting_s
            if waiting_s > WAITING_S_MAX:
                found.append(f"records of log {log_id} have waited for {waiting_s:.0f} s")
        return found

    def _look(self) -> None:
        """Answers to others count, too."""
        count = answered_count(self._store.tally)
        if count > self._answered_count:
            self._answered_count = count
            self._answered_s = asyncio.get_running_loop().time()

    async def _watch(self) -> None:
        while True:
            self._look()
            tally, loop = self._store.tally, asyncio.get_running_loop()
            self.bill.note(loop.time(), billed(tally))
            if loop.time() - self._answered_s >= CHECK_INTERVAL_S / 2:
                await self._check()
            await asyncio.sleep(CHECK_INTERVAL_S)

    async def _check(self) -> None:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await self._store.objects.size(CHECKED_KEY)
        except (WalError, TimeoutError, OSError):
            return  # seen by how long ago the last answer was
        self._answered_s = asyncio.get_running_loop().time()


def answered_count(tally: StoreTally) -> int:
    """How often the store has answered."""
    kinds = (tally.put, tally.get, tally.list, tally.delete)
    return sum(kind.seconds.count for kind in kinds) + tally.syncs.seconds.count


def billed(tally: StoreTally) -> dict[str, int]:
    """Requests that cost something, by kind."""
    return {"put": tally.put.count, "list": tally.list.count, "get": tally.get.count}
