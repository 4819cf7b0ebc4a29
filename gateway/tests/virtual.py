"""Virtual time: loops, clocks and randomness that tests may rely on.

`virtual` runs a test on the simulated loop and fails it for everything that asyncio would only have
printed: an exception nobody retrieved, a task that was destroyed while pending.
"""

from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import Callable, Coroutine
from typing import Any

from wal_core.testing import sim_loop

EPOCH_MS = 1_700_000_000_000


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test in virtual time, with its errors told."""

    @functools.wraps(test)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        run(test, *args, **kwargs)

    return wrapper


def run(main: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any) -> Any:
    errors: list[dict[str, Any]] = []

    async def watched() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        result = await main(*args, **kwargs)
        await asyncio.sleep(0)
        gc.collect()
        return result

    result = sim_loop.run(watched)
    assert not errors, errors
    return result


class VirtualClock:
    def now_ms(self) -> int:
        try:
            return EPOCH_MS + round(asyncio.get_running_loop().time() * 1_000)
        except RuntimeError:  # before the loop runs
            return EPOCH_MS


class CountingRng:
    """Distinct bytes without randomness, over all instances: restarts draw new ones, too."""

    _count = 0

    def random_bytes(self, count: int) -> bytes:
        CountingRng._count += 1
        return CountingRng._count.to_bytes(count, "big")

    def random(self) -> float:
        return 0.5


def loop_ms() -> float:
    return asyncio.get_running_loop().time() * 1_000


async def until(condition: Callable[[], bool], timeout_s: float = 120.0) -> float:
    """How long it took."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while not condition():
        assert loop.time() - began_s < timeout_s, "it does not come to that"
        await asyncio.sleep(0.01)
    return loop.time() - began_s
