"""Whose turn it is, in virtual time: the simulated loop runs a thread's work a little later."""

import asyncio

import pytest

from gateway.fairness.threads import FairThreads, Share
from gateway.tests.harness import virtual
from wal_core import Lane


class _Slow(Lane):
    """Work takes as long as it says."""

    def __init__(self) -> None:
        super().__init__("slow", 1)
        self.at_once = self.at_once_most = 0

    def start(self, work):  # type: ignore[no-untyped-def]
        return asyncio.ensure_future(self._do(work))

    async def _do(self, work):  # type: ignore[no-untyped-def]
        self.at_once += 1
        self.at_once_most = max(self.at_once_most, self.at_once)
        try:
            await asyncio.sleep(work())
        finally:
            self.at_once -= 1


def _run(share: Share, seconds: float) -> asyncio.Future[None]:
    return asyncio.ensure_future(share.run(lambda: seconds))


@virtual
async def test_who_asks_for_little_does_not_wait_behind_who_asks_for_much() -> None:
    threads = FairThreads(_Slow(), 1)
    greedy = [threads.share() for _ in range(8)]
    pending = [_run(share, 1.0) for share in greedy for _ in range(5)]
    await asyncio.sleep(8.5)  # each has had something
    modest = threads.share()
    loop = asyncio.get_running_loop()
    for _ in range(4):
        began_s = loop.time()
        await _run(modest, 0.001)
        # The one that runs comes to its end; of all those that wait none goes first.
        assert loop.time() - began_s < 1.1
    await asyncio.gather(*pending)


@virtual
async def test_all_get_the_same_and_time_not_used_is_not_saved_up() -> None:
    threads = FairThreads(_Slow(), 1)
    early, late = threads.share(), threads.share()
    done = {early: 0, late: 0}

    async def keep_asking(share: Share) -> None:
        while True:
            await share.run(lambda: 0.1)
            done[share] += 1

    tasks = [asyncio.ensure_future(keep_asking(early))]
    await asyncio.sleep(100.05)
    alone = done[early]
    assert alone == pytest.approx(1_000, abs=2)
    tasks += [asyncio.ensure_future(keep_asking(late)) for _ in range(3)]
    await asyncio.sleep(10)
    assert done[early] - alone == pytest.approx(50, abs=2)
    assert done[late] == pytest.approx(50, abs=2)
    for task in tasks:
        task.cancel()


@virtual
async def test_no_more_run_at_once_also_when_those_who_asked_have_gone() -> None:
    lane = _Slow()
    threads = FairThreads(lane, 2)
    shares = [threads.share() for _ in range(6)]
    pending = [_run(share, 1.0) for share in shares]
    await asyncio.sleep(0.5)
    for future in pending[:3]:  # two that run, one that waits
        future.cancel()
    await asyncio.sleep(0.1)
    assert lane.at_once == 2
    await asyncio.gather(*pending[3:])
    assert lane.at_once_most == 2
    assert asyncio.get_running_loop().time() == pytest.approx(3.0, abs=0.1)


@virtual
async def test_what_fails_is_told_and_lets_the_next_one_in() -> None:
    threads = FairThreads(Lane("real", 1), 1)

    def fail() -> None:
        raise KeyError("no")

    failing = asyncio.ensure_future(threads.share().run(fail))
    other = asyncio.ensure_future(threads.share().run(lambda: 7))
    with pytest.raises(KeyError):
        await failing
    assert await other == 7
    threads.close()
