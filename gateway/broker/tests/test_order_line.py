"""Whoever came first goes first, also past those who give up."""

import asyncio

from gateway.broker.order_line import OrderLine
from gateway.tests.harness import virtual


@virtual
async def test_turns_come_in_the_order_of_arrival_however_long_they_take() -> None:
    line = OrderLine()
    through: list[int] = []

    async def pass_through(number: int) -> None:
        async with line.turn():
            await asyncio.sleep(5 - number)
            through.append(number)

    assert line.is_free
    tasks = [asyncio.ensure_future(pass_through(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert not line.is_free
    await asyncio.gather(*tasks)
    assert through == [0, 1, 2, 3, 4]
    assert line.is_free


@virtual
async def test_one_that_gives_up_lets_nobody_past_those_before_it() -> None:
    line = OrderLine()
    through: list[int] = []

    async def pass_through(number: int) -> None:
        async with line.turn():
            await asyncio.sleep(9 - number)
            through.append(number)

    tasks = [asyncio.ensure_future(pass_through(number)) for number in range(4)]
    await asyncio.sleep(0.5)
    tasks[1].cancel()
    tasks[2].cancel()
    await asyncio.sleep(0)
    assert not line.is_free
    await asyncio.gather(*tasks, return_exceptions=True)
    assert through == [0, 3]
    assert line.is_free


@virtual
async def test_an_error_inside_frees_the_line() -> None:
    line = OrderLine()
    try:
        async with line.turn():
            raise ValueError
    except ValueError:
        pass
    assert line.is_free
