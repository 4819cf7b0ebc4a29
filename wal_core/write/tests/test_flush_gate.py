"""When the next block may go, and when to ask again if it may not."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from wal_core import LogConfig
from wal_core.budgets import WriteBucket
from wal_core.write.flights import Gathering, Waiting
from wal_core.write.flush_gate import FlushGate

OBJECT = LogConfig.preset("object")
NOW_S = 100.0
NEVER = float("inf")
GATHER_S = OBJECT.gather_ms / 1000


async def waiting(*, full: bool = False, since_s: float = NOW_S) -> Waiting:
    blocks = Waiting()
    for _ in range(1 + full):
        blocks.begin(Gathering(asyncio.get_running_loop().create_future(), since_s))
    return blocks


@pytest.mark.parametrize(
    ("in_flight", "full", "age_s", "expected"),
    [
        (0, False, 0, None),  # nobody to wait for
        (1, False, 0, NOW_S + GATHER_S),
        (1, False, GATHER_S / 2, NOW_S + GATHER_S / 2),
        (1, False, GATHER_S, None),
        (1, True, 0, None),
        (OBJECT.flushes_in_flight_max_count, True, 1, NEVER),
    ],
)
async def test_company_is_waited_for_while_blocks_are_in_flight(
    in_flight: int, full: bool, age_s: float, expected: float | None
):
    gate = FlushGate(OBJECT, None, None)
    until_s = gate.closed_until_s(await waiting(full=full, since_s=NOW_S - age_s), in_flight, NOW_S)
    assert until_s == (expected if expected is None else pytest.approx(expected))


async def test_nothing_goes_while_an_opener_asks_for_silence():
    listener: Any = SimpleNamespace(held_until_s=NOW_S + 3)
    gate = FlushGate(OBJECT, listener, None)
    assert gate.closed_until_s(await waiting(full=True), 0, NOW_S) == NOW_S + 3
    assert gate.closed_until_s(await waiting(full=True), 0, NOW_S + 3) is None


async def test_who_pays_is_asked_last_and_full_blocks_do_not_wait():
    bucket = WriteBucket(2, 1)
    gate = FlushGate(OBJECT, None, bucket)
    assert gate.closed_until_s(await waiting(), 1, NOW_S) == NOW_S + GATHER_S  # nothing was paid
    assert gate.closed_until_s(await waiting(), 0, NOW_S) is None
    until_s = gate.closed_until_s(await waiting(), 0, NOW_S)
    assert until_s == pytest.approx(NOW_S + 0.5)
    assert gate.closed_until_s(await waiting(full=True), 0, NOW_S) is None
    assert gate.closed_until_s(await waiting(), 0, NOW_S + 0.5) is None


async def test_who_has_left_is_not_waited_for():
    bucket = WriteBucket(1, 1)
    gate, other = FlushGate(OBJECT, None, bucket), FlushGate(OBJECT, None, bucket)
    assert gate.closed_until_s(await waiting(), 0, NOW_S) is None
    assert gate.closed_until_s(await waiting(), 0, NOW_S) is not None  # first in the line
    gate.leave()
    assert other.closed_until_s(await waiting(), 0, NOW_S + 1) is None
