"""What a node says of logs that it cannot open."""

from __future__ import annotations

import asyncio

from gateway.cluster.unable import TRIES_COUNT, UNABLE_S, Unable
from gateway.tests.virtual import virtual


@virtual
async def test_it_is_said_after_some_tries_in_a_row_and_taken_back() -> None:
    told: list[tuple[int, ...]] = []

    async def tell(logs: tuple[int, ...]) -> None:
        told.append(logs)

    unable = Unable(tell)
    for _ in range(TRIES_COUNT - 1):
        await unable.failed(7)
    await unable.opened(7)
    await unable.failed(7)
    assert told == []
    for _ in range(TRIES_COUNT + 2):
        await unable.failed(7)
    assert told == [(7,)]
    await unable.opened(7)
    assert told == [(7,), ()]


@virtual
async def test_it_is_over_some_time_after_the_last_try() -> None:
    told: list[tuple[int, ...]] = []

    async def tell(logs: tuple[int, ...]) -> None:
        told.append(logs)

    unable, loop = Unable(tell), asyncio.get_running_loop()
    assert not unable.is_over(7, loop.time())
    for _ in range(TRIES_COUNT):
        await unable.failed(7)
        await asyncio.sleep(1)
    assert not unable.is_over(7, loop.time())
    await asyncio.sleep(UNABLE_S)
    assert unable.is_over(7, loop.time())
    await unable.forget(7)
    assert told == [(7,), ()]
    assert not unable.is_over(7, loop.time())
