"""A renewable timer fires once, at the newest deadline, without a handle per renewal."""

from __future__ import annotations

import asyncio

import pytest

from gateway.groups.tests.harness import virtual
from gateway.groups.timers import RenewableTimer


@virtual
async def test_renewals_move_the_deadline_both_ways():
    loop = asyncio.get_running_loop()
    fired = []
    timer = RenewableTimer(lambda: fired.append(loop.time()))
    for _ in range(100):
        timer.renew(1_000)
        await asyncio.sleep(0.9)
    timer.renew(60_000)
    timer.renew(500)
    await asyncio.sleep(120)
    assert fired == [pytest.approx(90.5)]


@virtual
async def test_a_thousand_renewals_keep_one_handle():
    loop = asyncio.get_running_loop()
    timer = RenewableTimer(lambda: None)
    for _ in range(1_000):
        timer.renew(1_000)
    assert len(loop._scheduled) == 1
    timer.cancel()


@virtual
async def test_a_cancelled_timer_is_silent_and_can_start_again():
    fired = []
    timer = RenewableTimer(lambda: fired.append(1))
    timer.cancel()
    timer.renew(1_000)
    timer.cancel()
    await asyncio.sleep(2)
    assert fired == []
    timer.renew(1_000)
    await asyncio.sleep(2)
    assert fired == [1]
    await asyncio.sleep(2)
    assert fired == [1]


@virtual
async def test_a_timer_may_renew_itself():
    fired = []

    def again() -> None:
        fired.append(1)
        if len(fired) < 3:
            timer.renew(1_000)

    timer = RenewableTimer(again)
    timer.renew(1_000)
    await asyncio.sleep(10)
    assert fired == [1, 1, 1]


@pytest.mark.parametrize("delay_ms", [0, 1, 3])
def test_a_loop_that_rounds_times_does_not_confuse_it(delay_ms):
    uvloop = pytest.importorskip("uvloop")

    async def scenario() -> None:
        expired = asyncio.Event()
        timer = RenewableTimer(expired.set)
        for _ in range(3):
            timer.renew(delay_ms)
            await asyncio.sleep(0)
        await expired.wait()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(scenario(), 30))
