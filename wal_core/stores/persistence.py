"""Trying a store until it answers: a deadline per attempt, growing jittered pauses between them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from wal_core.clock import Rng
from wal_core.config import LogConfig
from wal_core.errors import NoRoom, Unavailable, WalError
from wal_core.stores.deadline import Attempts

T = TypeVar("T")

ROOM_PAUSE_S_MAX = 0.5
"""Between two tries of what there was no room for: that ends at one blow, and deletions wait behind
it. Longer: they wait that long for room that is there; shorter: a full disk is tried more often."""

_logger = logging.getLogger(__name__)


class Persistence:
    """Call it with an idempotent action to repeat it until it succeeds or fails for good.

    Retriable errors and missed deadlines are repeated for ever, or for `patience_s`: whoever must
    not wait so long cancels. Anything else is raised.
    """

    def __init__(
        self,
        config: LogConfig,
        rng: Rng,
        *,
        patience_s: float = float("inf"),
        waits_for_room: bool = True,
    ) -> None:
        self._patience_s = patience_s
        self._waits_for_room = waits_for_room
        self._attempts = Attempts(config.store_timeout_ms)
        self._pause_first_s = config.retry_first_ms / 1000
        self._pause_max_s = config.retry_max_ms / 1000
        self._rng = rng

    async def __call__(self, action: Callable[[], Awaitable[T]]) -> T:
        pause_s = self._pause_first_s
        failed_count = 0
        begun_s = asyncio.get_running_loop().time()
        while True:
            try:
                tried_s = asyncio.get_running_loop().time()
                async with self._attempts.one():
                    result = await action()
                if failed_count:
                    _logger.info("the store took it at attempt %d", failed_count + 1)
                return result
            except TimeoutError:
                took_s = asyncio.get_running_loop().time() - tried_s
                problem = f"no answer within {took_s:.3g} s"
                pause_max_s = self._pause_max_s
            except WalError as error:
                if not error.retriable:
                    raise
                if isinstance(error, NoRoom) and not self._waits_for_room:
                    raise
                problem = str(error)
                pause_max_s = self._pause_max_s
                if isinstance(error, NoRoom):
                    pause_max_s = min(pause_max_s, ROOM_PAUSE_S_MAX)
            # Nobody else hears of it: callers only see that it takes long.
            failed_count += 1
            _logger.warning("attempt %d at the store failed: %s", failed_count, problem)
            if asyncio.get_running_loop().time() - begun_s > self._patience_s:
                raise Unavailable(problem)
            # Half fixed, half random: those who failed together do not come back together.
            await asyncio.sleep(min(pause_s, pause_max_s) * (0.5 + 0.5 * self._rng.random()))
            pause_s = min(pause_s * 2, pause_max_s)
