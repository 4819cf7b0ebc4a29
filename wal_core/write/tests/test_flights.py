"""Blocks wait in order: the full ones first, then the one that takes entries."""

from __future__ import annotations

import asyncio

from wal_core.format.block import HEADER_BYTES
from wal_core.write.flights import Gathering, Waiting


async def test_full_blocks_go_before_the_open_one():
    loop = asyncio.get_running_loop()
    first, second = (Gathering(loop.create_future(), n) for n in (1.0, 2.0))
    waiting = Waiting()
    assert not waiting
    assert (waiting.first, waiting.last, waiting.count) == (None, None, 0)

    waiting.begin(first)
    assert (waiting.open, waiting.has_full) == (first, False)
    waiting.begin(second)
    assert (waiting.open, waiting.has_full) == (second, True)
    assert (waiting.first, waiting.last, [*waiting]) == (first, second, [first, second])
    assert (waiting.count, waiting.bytes_count) == (2, 2 * HEADER_BYTES)

    waiting.close_open()
    assert (waiting.open, waiting.last) == (None, second)
    assert [waiting.pop(), waiting.pop()] == [first, second]
    assert not waiting
