"""Trying a store until it answers: deadline per attempt, growing jittered pauses between them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from wal_core.clock import Rng
from wal_core.config import LogConfig
from wal_core.errors import WalError

T = TypeVar("T")


async def persist(action: Callable[[], Awaitable[T]], config: LogConfig, rng: Rng) -> T:
    """Repeat an idempotent `action` until it succeeds or fails for good.

    Retriable errors and missed deadlines are repeated for ever: whoever must not wait for ever
    cancels. Anything else is raised.
    """
    pause_ms = float(config.retry_first_ms)
    while True:
        try:
            async with asyncio.timeout(config.store_timeout_ms / 1000):
                return await action()
        except TimeoutError:
            pass
        except WalError as error:
            if not error.retriable:
                raise
        # Half fixed, half random: writers that failed together do not come back together.
        await asyncio.sleep(pause_ms * (0.5 + 0.5 * rng.random()) / 1000)
        pause_ms = min(pause_ms * 2, config.retry_max_ms)
