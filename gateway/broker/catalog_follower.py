"""The catalog at a node that does not own it: read from the store as its owner writes it.

What is known is changed only by what a whole look has found, so nobody sees half of it. Looks are
shared: whoever asks for one waits for the next that begins, and there is one at a time. Somebody
wakes the follower when there is something new; else it looks now and then by itself. Whoever looks
for a name that is not known waits for a look, too, but those cost requests to the store and anybody
may ask for anything, so they have a rate.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.broker.catalog_merge import Merged, merge
from gateway.broker.catalog_state import CatalogState
from gateway.broker.topics import TopicRegistry
from gateway.broker.waiting import confirmed_in_time
from gateway.observe.logger import log_event
from wal_core import Changes, Follower, LogConfig, Unavailable, WalError

if TYPE_CHECKING:
    from wal_core import Rng, SegmentStore

logger = logging.getLogger(__name__)

POLL_S = 5.0
"""For so long nobody looks who is not woken. Longer: fewer requests to the store; shorter: what the
coordination store does not tell is seen sooner."""
SEARCH_S = 0.25
"""Looks for what is not known begin no sooner after each other."""
AGAIN_S = 1.0
"""After a look that failed."""


class _Touched(Changes):
    """Which keys have changed since the last look. What the log takes from it is not asked."""

    def __init__(self) -> None:
        super().__init__()
        self.keys_touched: dict[bytes, None] = {}

    def note(self, key: bytes, bytes_count: int) -> None:
        super().note(key, bytes_count)
        self.keys_touched[key] = None


class _Read(CatalogState):
    """What the follower has read, apart from what is known."""

    def __init__(self) -> None:
        self.touched = _Touched()
        super().__init__(TopicRegistry(message_bytes_max=0, changes=self.touched))


class CatalogFollower:
    """`start`, then `look`, `search`, `wake`; `stop` before this node opens the catalog itself.
    `merged` is called in the step that changes what is known."""

    def __init__(
        self,
        known: CatalogState,
        store: SegmentStore,
        config: LogConfig,
        rng: Rng,
        merged: Callable[[Merged], None],
    ) -> None:
        self._known = known
        self._make: Callable[[], Follower[_Read]] = lambda: Follower(store, _Read, config, rng=rng)
        self._follower = self._make()
        self._merged = merged
        self._merged_of: _Read | None = None
        self._woken = asyncio.Event()
        self._next: asyncio.Future[None] | None = None  # of the next look that begins
        self._began_s = float("-inf")
        self._read_s = asyncio.get_running_loop().time()
        self._searching: asyncio.TimerHandle | None = None  # of the look for what was not found
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self._task is not None

    @property
    def read_ago_s(self) -> float:
        """Since the last whole look began; at first, since there is somebody to look."""
        return asyncio.get_running_loop().time() - self._read_s

    def start(self) -> None:
        """From the beginning: another may have known more, or less, of the catalog since."""
        assert self._task is None
        self._follower, self._merged_of = self._make(), None
        self._task = asyncio.get_running_loop().create_task(self._run(), name="catalog follower")

    async def stop(self) -> None:
        """Nothing is changed any more. Who waits for a look is told that there is none."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
        self._settle(self._next, Unavailable("the catalog is about to change hands"))
        self._next = None

    def wake(self) -> None:
        """There may be something new."""
        self._woken.set()

    async def look(self, timeout_s: float) -> None:
        """Until all that was durable before the call is known. Raises WalError, TimeoutError."""
        self.wake()
        await self._wait(timeout_s)

    async def search(self, timeout_s: float) -> None:
        """The same for who has not found something, maybe after some time."""
        self.missed()
        await self._wait(timeout_s)

    def missed(self) -> None:
        """Somebody has not found something, and does not wait for it."""
        loop = asyncio.get_running_loop()
        if self._searching is None:
            self._searching = loop.call_at(self._began_s + SEARCH_S, self.wake)

    async def _wait(self, timeout_s: float) -> None:
        if self._task is None:
            raise Unavailable("the catalog is about to change hands")
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        await confirmed_in_time(self._next, timeout_s)

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            if self._searching is not None:
                self._searching.cancel()
                self._searching = None
            self._began_s = asyncio.get_running_loop().time()
            asked, self._next = self._next, None
            error: WalError | None = Unavailable("the catalog was not read to its end")
            try:
                await self._follower.catch_up()
                await self._merge()
                self._read_s = self._began_s
                error = None
            except WalError as failed:
                error = failed
                log_event(logger, logging.WARNING, "catalog not followed", reason=failed)
            finally:
                self._settle(asked, error)
            try:
                async with asyncio.timeout(POLL_S if error is None else AGAIN_S):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def _merge(self) -> None:
        read = self._follower.state
        changed = list(read.touched.keys_touched) if read is self._merged_of else None
        self._merged_of = None  # until all of it is known
        read.touched.keys_touched.clear()
        self._merged(await merge(self._known, read, changed))
        self._merged_of = read

    @staticmethod
    def _settle(asked: asyncio.Future[None] | None, error: BaseException | None) -> None:
        if asked is None or asked.done():
            return
        if error is None:
            asked.set_result(None)
        else:
            asked.set_exception(error)
            asked.exception()  # seen: not everybody waits so long
