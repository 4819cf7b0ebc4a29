"""Results come in the order of asking, whichever read is done first; so many fly, so many bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import pytest

from wal_core.stores.in_order import in_order


class Reads:
    """Later ones are done sooner, unless told otherwise; remembers how many flew at once."""

    def __init__(self, steps_of: Callable[[int], int] = lambda number: 20 - number) -> None:
        self.steps_of = steps_of
        self.flying: set[int] = set()
        self.most = 0

    async def __call__(self, number: int) -> int:
        self.flying.add(number)
        self.most = max(self.most, len(self.flying))
        try:
            for _ in range(self.steps_of(number)):
                await asyncio.sleep(0)
            return number * number
        finally:
            self.flying.discard(number)


@pytest.mark.parametrize(
    ("count_max", "bytes_max", "most"), [(4, 1_000, 4), (100, 30, 3), (100, 5, 1), (100, 1_000, 20)]
)
async def test_results_in_order_within_the_bounds(count_max, bytes_max, most):
    """An item takes ten bytes; one that is larger than the bound goes alone."""
    reads = Reads()
    found = in_order(
        range(20), reads, size_bytes=lambda _: 10, count_max=count_max, bytes_max=bytes_max
    )
    assert [pair async for pair in found] == [(n, n * n) for n in range(20)]
    assert reads.most == most


async def test_closed_early_it_ends_what_flies():
    reads = Reads(lambda number: 100 * number)
    found = in_order(range(20), reads, size_bytes=lambda _: 1, count_max=5, bytes_max=100)
    async with aclosing(found):
        assert await anext(found) == (0, 0)
        assert reads.flying
    assert not reads.flying
