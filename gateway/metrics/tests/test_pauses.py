import asyncio
import gc
import time

import pytest

from gateway.metrics.pauses import Pauses
from gateway.tests.harness import virtual


async def test_a_blocked_loop_is_seen() -> None:
    pauses = Pauses()
    pauses.start()
    await asyncio.sleep(0.05)
    time.sleep(0.3)
    while not pauses.lag.count:
        await asyncio.sleep(0.01)
    pauses.stop()
    assert pauses.lag.total >= 0.09


async def test_collections_are_timed_by_generation_until_the_stop() -> None:
    pauses = Pauses()
    before = list(gc.callbacks)
    pauses.start()
    gc.collect()
    pauses.stop()
    assert pauses.collections[2].count >= 1
    assert pauses.collections[2].total > 0
    assert gc.callbacks == before
    pauses.stop()  # twice is fine


@virtual
async def test_a_loop_that_keeps_up_has_no_lag() -> None:
    pauses = Pauses()
    pauses.start()
    await asyncio.sleep(10.1)
    pauses.stop()
    assert pauses.lag.count == 40
    assert pauses.lag.total == pytest.approx(0, abs=1e-6)
