"""Who is closed for being idle, and when."""

import asyncio

from gateway.net.idle_watch import IdleWatch
from gateway.tests.harness import virtual


class _Idler:
    def __init__(self) -> None:
        self.is_busy = False
        self.closed_s = 0.0

    def close_idle(self) -> None:
        self.closed_s = asyncio.get_running_loop().time()


@virtual
async def test_each_is_closed_when_its_own_time_is_over() -> None:
    watch, idlers = IdleWatch(10_000), [_Idler() for _ in range(4)]
    for idler in idlers:
        watch.watch(idler)
        await asyncio.sleep(1)
    watch.used(idlers[0])  # at 4 s
    idlers[1].is_busy = True
    watch.forget(idlers[2])
    await asyncio.sleep(11)
    idlers[1].is_busy = False  # at 15 s, looked at last at 11 s
    await asyncio.sleep(100)
    assert [idler.closed_s for idler in idlers] == [14, 21, 0, 13]
    watch.used(idlers[0])  # it is gone
    assert not watch._used_s
    assert watch._timer is None


@virtual
async def test_many_that_are_due_together_are_all_closed() -> None:
    watch, idlers = IdleWatch(1_000), [_Idler() for _ in range(100)]
    for idler in idlers:
        watch.watch(idler)
    await asyncio.sleep(2)
    assert {idler.closed_s for idler in idlers} == {1.0}


@virtual
async def test_whoever_is_due_is_closed_whatever_sums_are_rounded_to() -> None:
    """Else the timer is set for the same moment again, and again."""
    watch, idlers = IdleWatch(600_000), [_Idler() for _ in range(1_000)]
    for idler in idlers:
        watch.watch(idler)
        await asyncio.sleep(0.01)
    await asyncio.sleep(700)
    assert all(idler.closed_s for idler in idlers)
    assert watch._timer is None
