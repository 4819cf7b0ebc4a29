"""Several writes at once: bounded in number and bytes, and the first error ends all."""

from __future__ import annotations

import asyncio

import pytest

from wal_core.copy.window import BYTES_MAX, COUNT_MAX, Window


class Works:
    """Pieces of work that fly until they are let go."""

    def __init__(self) -> None:
        self.flying = 0
        self.most = 0
        self.ended = 0
        self.let_go = asyncio.Event()

    async def __call__(self) -> None:
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            await self.let_go.wait()
        finally:
            self.flying -= 1
            self.ended += 1


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("bytes_count", "most"), [(1, COUNT_MAX), (BYTES_MAX // 3, 3), (BYTES_MAX + 1, 1)]
)
async def test_so_many_fly_and_all_are_done_at_the_end(bytes_count: int, most: int):
    works = Works()

    async def all_of_them() -> None:
        async with Window() as window:
            for _ in range(40):
                await window.start(works(), bytes_count)

    task = asyncio.ensure_future(all_of_them())
    await settle()
    assert works.flying == most
    works.let_go.set()
    await task
    assert (works.most, works.ended) == (most, 40)


async def test_the_first_error_is_raised_and_nothing_flies_on():
    works = Works()

    async def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with Window() as window:
            await window.start(works(), 1)
            await window.start(fails(), 1)
            for _ in range(COUNT_MAX):
                await window.start(works(), 1)
    assert works.flying == 0


async def test_an_error_of_the_block_ends_what_flies():
    works = Works()
    with pytest.raises(ZeroDivisionError):
        async with Window() as window:
            await window.start(works(), 1)
            await settle()
            raise ZeroDivisionError
    assert (works.flying, works.ended) == (0, 1)
