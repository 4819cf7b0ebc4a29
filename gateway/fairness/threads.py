"""A few threads that many clients share: what one of them asks for does not hold up the others.

Whoever will have used least of their time once it is done goes first. A client that comes, or comes
back, begins where the one served last stands: it waits for nobody who was there before, and has
saved nothing up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from wal_core import Lane

T = TypeVar("T")


class _Job:
    __slots__ = ("begun", "share", "work")

    def __init__(self, share: Share, work: Callable[[], Any]) -> None:
        self.share = share
        self.work = work
        self.begun: asyncio.Future[asyncio.Future[Any]] = asyncio.get_running_loop().create_future()


class FairThreads:
    """At most `at_once_max_count` pieces of work at a time."""

    def __init__(self, lane: Lane, at_once_max_count: int) -> None:
        self._lane = lane
        self._free_count = at_once_max_count
        self._waiting: dict[Share, None] = {}
        self._used_s = 0.0  # of who began last

    def share(self) -> Share:
        """For one client."""
        return Share(self)

    def close(self) -> None:
        """What has not begun is never done."""
        self._lane.close()

    async def run(self, share: Share, work: Callable[[], T]) -> T:
        """See Share.run."""
        job = _Job(share, work)
        share.jobs.append(job)
        if share not in self._waiting:
            self._waiting[share] = None
            share.used_s = max(share.used_s, self._used_s)
        self._begin()
        try:
            result: asyncio.Future[T] = await job.begun
        finally:
            if job.begun.cancelled():
                self._withdraw(job)
        # Whoever stops waiting does not stop the thread: until it is done nobody else begins.
        return await asyncio.shield(result)

    def _begin(self) -> None:
        while self._free_count and self._waiting:
            share = min(self._waiting, key=lambda share: share.used_s + share.last_s)
            job = share.jobs.popleft()
            if not share.jobs:
                del self._waiting[share]
            if job.begun.cancelled():
                continue
            self._free_count -= 1
            self._used_s = max(self._used_s, share.used_s)
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            result = self._lane.start(job.work)
            result.add_done_callback(partial(self._end, share, began_s))
            job.begun.set_result(result)

    def _end(self, share: Share, began_s: float, done: asyncio.Future[Any]) -> None:
        if not done.cancelled():
            done.exception()  # seen: whoever asked may be gone
        share.last_s = asyncio.get_running_loop().time() - began_s
        share.used_s += share.last_s
        self._free_count += 1
        self._begin()

    def _withdraw(self, job: _Job) -> None:
        jobs = job.share.jobs
        if job in jobs:
            jobs.remove(job)
            if not jobs:
                del self._waiting[job.share]


class Share:
    """One client's part of the threads."""

    __slots__ = ("_threads", "jobs", "last_s", "used_s")

    def __init__(self, threads: FairThreads) -> None:
        self._threads = threads
        self.jobs: deque[_Job] = deque()
        self.used_s = 0.0
        self.last_s = 0.0  # what its last piece took: what the next may take

    async def run(self, work: Callable[[], T]) -> T:
        """Do `work` in a thread when it is this client's turn. Raises what it raises."""
        return await self._threads.run(self, work)
