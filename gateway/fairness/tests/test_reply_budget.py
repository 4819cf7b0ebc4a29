"""The budget of all replies: who waits, who goes first, who is let go."""

import asyncio

import pytest

from gateway.fairness.reply_budget import WAIT_S_MAX, ReplyBudget
from gateway.fairness.reply_share import PRESSED_S, ReplyShare
from gateway.tests.harness import virtual


def _asks(budget: ReplyBudget, count_bytes: int, line: int = 1) -> asyncio.Task[bool]:
    return asyncio.ensure_future(budget.wait_for(count_bytes, line=line))


def test_as_much_again_stays_free_for_others_but_alone_anything_may_go() -> None:
    budget = ReplyBudget(100)
    assert budget.fits(1_000)
    budget.take(20)
    assert budget.fits(40)
    assert not budget.fits(41)
    budget.take(500)  # it was there already
    assert (budget.free_bytes, budget.fits(1)) == (0, False)
    budget.give_back(520)
    assert budget.used_bytes == 0


@virtual
async def test_who_waits_gets_room_in_the_order_of_coming() -> None:
    budget = ReplyBudget(100)
    budget.take(90)
    first, second = _asks(budget, 40), _asks(budget, 1)
    await asyncio.sleep(1)
    budget.give_back(30)  # enough for the second
    await asyncio.sleep(1)
    assert not first.done()
    assert not second.done()
    budget.give_back(60)
    assert await first
    assert await second
    assert budget.used_bytes == 41


@virtual
async def test_the_first_line_goes_before_the_other() -> None:
    budget = ReplyBudget(100)
    budget.take(90)
    other, first = _asks(budget, 10), _asks(budget, 10, line=0)
    await asyncio.sleep(1)
    budget.give_back(10)
    await asyncio.sleep(1)
    assert first.done()
    assert not other.done()
    budget.give_back(10)
    assert await other


@virtual
async def test_who_goes_away_stands_in_nobodys_way_and_keeps_nothing() -> None:
    budget = ReplyBudget(100)
    budget.take(90)
    large, small = _asks(budget, 40), _asks(budget, 2)
    await asyncio.sleep(0)
    large.cancel()
    assert await small
    late = _asks(budget, 40)
    await asyncio.sleep(0)
    budget.give_back(92)
    late.cancel()  # when it has its room, and has not heard of it
    await asyncio.wait((large, late))
    assert late.cancelled()
    assert budget.used_bytes == 0


@virtual
async def test_nobody_waits_for_ever() -> None:
    budget = ReplyBudget(100)
    budget.take(90)
    large, small = _asks(budget, 40), _asks(budget, 1)
    assert not await large
    assert asyncio.get_running_loop().time() == pytest.approx(WAIT_S_MAX)
    await asyncio.wait((small,))
    assert budget.used_bytes == 90 + small.result()


@virtual
async def test_who_takes_nothing_is_let_go_once_others_wait() -> None:
    """And who takes a little is not, nor who is owed next to nothing."""
    budget = ReplyBudget(1_000_000)
    loop = asyncio.get_running_loop()
    gone: list[str] = []
    unsent = {"silent": 300_000, "slow": 300_000, "small": 1_000}

    def share(name: str) -> ReplyShare:
        def let_go() -> None:
            gone.append(name)
            shares[name].lost()

        return ReplyShare(budget, lambda: unsent[name], let_go)

    shares = {name: share(name) for name in unsent}
    for name, one in shares.items():
        budget.shares[one] = None
        one.take(unsent[name])
        one.owes(unsent[name])
        one.wrote(unsent[name])

    async def read_slowly() -> None:
        while True:
            await asyncio.sleep(1)
            unsent["slow"] -= 1

    reader = asyncio.ensure_future(read_slowly())
    await asyncio.sleep(100)
    assert not gone  # as long as nobody needs the memory
    assert await budget.wait_for(300_000, line=1)
    assert loop.time() < 100 + PRESSED_S + 2
    assert gone == ["silent"]
    reader.cancel()
