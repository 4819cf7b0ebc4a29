"""Large requests wait for each other, each address in turn, and for what they may hold."""

from __future__ import annotations

import asyncio

import pytest

from gateway.net.bulk_gate import BulkGate, TooMuchWaiting
from gateway.tests.harness import virtual


async def hold(gate: BulkGate, owner: str, order: list[str], size_bytes: int = 1) -> None:
    async with gate.slot(owner, size_bytes):
        order.append(owner)
        await asyncio.sleep(1)


@virtual
async def test_addresses_take_turns_however_much_one_asks_for() -> None:
    gate = BulkGate(1_000, slots_count=1)
    order: list[str] = []
    crowd = [asyncio.ensure_future(hold(gate, "greedy", order)) for _ in range(50)]
    await asyncio.sleep(0)
    crowd += [asyncio.ensure_future(hold(gate, "modest", order)) for _ in range(2)]
    await asyncio.gather(*crowd)
    assert order.index("modest") == 2
    assert [at for at, who in enumerate(order) if who == "modest"] == [2, 4]


@virtual
async def test_so_many_are_under_way_and_no_more() -> None:
    gate = BulkGate(1_000, slots_count=2)
    order: list[str] = []
    crowd = [asyncio.ensure_future(hold(gate, "a", order)) for _ in range(6)]
    for count in (2, 4, 6):
        await asyncio.sleep(0.5)
        assert len(order) == count
        await asyncio.sleep(0.5)
    await asyncio.gather(*crowd)
    assert (gate._free_count, gate._waiting, gate._waiting_bytes) == (2, {}, {})


@virtual
async def test_what_one_address_has_waiting_is_bounded() -> None:
    gate = BulkGate(100, slots_count=1)
    order: list[str] = []
    crowd = [asyncio.ensure_future(hold(gate, "greedy", order, 50)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(TooMuchWaiting, match=r"greedy has 101 bytes .* the most is 100"):
        await hold(gate, "greedy", order, 1)
    crowd.append(asyncio.ensure_future(hold(gate, "modest", order, 100)))
    await asyncio.gather(*crowd)
    assert len(order) == 4


@virtual
async def test_whoever_goes_away_while_waiting_leaves_no_trace() -> None:
    gate = BulkGate(100, slots_count=1)
    order: list[str] = []
    first, second, third = (asyncio.ensure_future(hold(gate, w, order)) for w in "abc")
    await asyncio.sleep(0.5)
    second.cancel()
    await asyncio.sleep(0.5)
    # The slot has just been given on, and its new holder goes away before it runs.
    third.cancel()
    await asyncio.gather(first, second, third, return_exceptions=True)
    assert order == ["a"] or order == ["a", "c"]
    await hold(gate, "d", order)
    assert (gate._free_count, gate._waiting, gate._waiting_bytes) == (1, {}, {})
