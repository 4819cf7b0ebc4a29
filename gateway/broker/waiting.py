"""Waiting for durable data: parked fetches and produce replies.

Everything here is woken by events; the only timers are deadlines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from types import TracebackType
from typing import Protocol

STORAGE_TIMEOUT_S = 30.0  # how long a metadata change or a commit may wait for storage
TIMEOUT_MAX_MS = 300_000  # a request may not be parked for longer than a client would wait


def patience_s(timeout_ms: int) -> float:
    """How long a request lets its answer be waited for, by its own `timeout_ms`."""
    return min(max(timeout_ms, 1), TIMEOUT_MAX_MS) / 1_000


class Parking(Protocol):
    """What a fetch can be parked on: a partition, which wakes its waiters."""

    waiters: dict[Waiter, None]  # who came first is woken first


class Waiter:
    """Parks one fetch on any number of partitions: `with Waiter(partitions) as w: await
    w.wait(s)`.
    """

    __slots__ = ("_partitions", "_woken")

    def __init__(self, partitions: Iterable[Parking]) -> None:
        self._partitions = list(partitions)
        self._woken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def __enter__(self) -> Waiter:
        for partition in self._partitions:
            partition.waiters[self] = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for partition in self._partitions:
            partition.waiters.pop(self, None)

    def wake(self) -> None:
        self._settle(True)

    def _settle(self, woken: bool) -> None:
        if not self._woken.done():
            self._woken.set_result(woken)

    async def wait(self, timeout_s: float) -> bool:
        """True when woken, also by an event before the call; False when the time is up."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(timeout_s, self._settle, False)
        try:
            return await self._woken
        finally:
            timer.cancel()
            self._woken = loop.create_future()


async def wait_confirmed(confirmations: Collection[asyncio.Future[None]], timeout_s: float) -> None:
    """Return when every confirmation is settled or the time is up; the caller looks which are.

    The futures are shared by all entries of a block, so they are watched and never awaited: a
    cancelled request must not cancel its neighbours' confirmation.
    """
    pending = [c for c in confirmations if not c.done()]
    if not pending:
        return
    loop = asyncio.get_running_loop()
    settled: asyncio.Future[None] = loop.create_future()
    left_count = len(pending)

    def on_settled(_: asyncio.Future[None]) -> None:
        nonlocal left_count
        left_count -= 1
        if left_count == 0 and not settled.done():
            settled.set_result(None)

    def on_timeout() -> None:
        if not settled.done():
            settled.set_result(None)

    for confirmation in pending:
        confirmation.add_done_callback(on_settled)
    timer = loop.call_later(timeout_s, on_timeout)
    try:
        await settled
    finally:
        timer.cancel()
        if left_count:
            for confirmation in pending:
                confirmation.remove_done_callback(on_settled)


async def confirmed_in_time(confirmation: asyncio.Future[None], timeout_s: float) -> None:
    """Raises the log's error, or TimeoutError when storage takes too long (the outcome is open)."""
    await wait_confirmed((confirmation,), timeout_s)
    if not confirmation.done():
        raise TimeoutError(f"storage did not confirm within {timeout_s:g} s")
    confirmation.result()


async def settled(confirmation: asyncio.Future[None]) -> None:
    """Wait as long as it takes; raises the log's error. The log settles all it ever promised."""
    await asyncio.wait((confirmation,))
    confirmation.result()


def failure(confirmation: asyncio.Future[None]) -> BaseException | None:
    """Why what was written is not known to be durable, or None when it is."""
    if confirmation.cancelled():
        return TimeoutError("the gateway is stopping")
    return confirmation.exception()
