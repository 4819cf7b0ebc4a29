"""Work that many want to begin at once, on a loop whose time the tests move."""

import asyncio
import itertools
from typing import cast

import pytest

from gateway.fairness.pace import Pace
from gateway.fairness.slices import SLICE_S
from gateway.tests.harness import virtual
from wal_core.testing.sim_loop import SimLoop


@pytest.mark.parametrize("cost_s", [0.0, SLICE_S / 10, SLICE_S, 10 * SLICE_S])
def test_a_crowd_begins_in_order_and_leaves_the_loop_to_others_in_between(cost_s: float) -> None:
    @virtual
    async def body() -> None:
        loop = cast("SimLoop", asyncio.get_running_loop())
        pace = Pace()
        begun: list[int] = []

        async def work(number: int) -> None:
            await pace.enter()
            begun.append(number)
            loop.advance(cost_s)

        seen: list[float] = []

        async def bystander() -> None:
            while len(begun) < 100:
                seen.append(loop.time())
                await asyncio.sleep(0)
            seen.append(loop.time())

        tasks = [asyncio.ensure_future(work(number)) for number in range(100)]
        await bystander()
        assert begun == list(range(100))
        longest_s = max(after - before for before, after in itertools.pairwise(seen))
        assert longest_s <= 2 * SLICE_S + 2 * cost_s
        assert len(seen) <= 100 + 5
        await asyncio.wait(tasks)

    body()


@virtual
async def test_who_gives_up_in_line_holds_nobody_up() -> None:
    loop = cast("SimLoop", asyncio.get_running_loop())
    pace = Pace()

    async def work() -> None:
        await pace.enter()
        loop.advance(2 * SLICE_S)

    first, given_up, last = (asyncio.ensure_future(work()) for _ in range(3))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait((first, given_up, last), timeout=1)
    assert last.done()
    assert given_up.cancelled()
    await pace.enter()  # and afterwards nobody waits
