"""Slices of the loop's time, on a loop whose time the tests move."""

import asyncio
from typing import cast

import pytest

from gateway.fairness.slices import SLICE_S, Slices
from gateway.tests.harness import virtual
from wal_core.testing.sim_loop import SimLoop


@virtual
async def test_a_slice_ends_after_a_while_and_the_next_one_begins() -> None:
    loop = cast("SimLoop", asyncio.get_running_loop())
    slices = Slices()
    assert not slices.is_over
    loop.advance(2 * SLICE_S)
    assert slices.is_over
    stepped = asyncio.Event()
    loop.call_soon(stepped.set)
    await slices.pause()
    assert stepped.is_set()
    assert not slices.is_over
    assert slices.spent_s == 2 * SLICE_S


@virtual
async def test_only_work_counts_and_not_what_was_waited_for() -> None:
    loop = cast("SimLoop", asyncio.get_running_loop())
    slices = Slices()
    loop.call_soon(loop.advance, 1.0)  # the others take a whole second
    loop.advance(SLICE_S)
    await slices.pause()
    await asyncio.sleep(5)
    slices.resume()
    assert slices.spent_s == pytest.approx(SLICE_S)
    assert not slices.is_over
