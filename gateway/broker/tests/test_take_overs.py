"""What is served of a log before, and what after its new owner has read the catalog."""

from __future__ import annotations

import asyncio

from gateway.broker.take_overs import LOOK_S_MAX, TakeOvers
from gateway.tests.harness import virtual
from wal_core import Fenced, Unavailable, WalError


class _Catalog:
    """Each look takes a second, and ends as is planned for it."""

    def __init__(self, *ends: type[WalError] | None) -> None:
        self._ends = list(ends)
        self.looks_count = 0

    async def prove(self, timeout_s: float) -> None:
        assert timeout_s == LOOK_S_MAX
        self.looks_count += 1
        await asyncio.sleep(1)
        end = self._ends.pop(0)
        if end is not None:
            raise end("planned")


class _Owned:
    log_id = 3
    is_serving = True
    has_read_catalog = False


class _World:
    def __init__(self, *ends: type[WalError] | None) -> None:
        self.catalog = _Catalog(*ends)
        self.owned = _Owned()
        self.attached: list[bool] = []
        """At each call: whether the catalog had been read."""
        self.take_overs = TakeOvers(self.catalog, self._attach)  # type: ignore[arg-type]

    async def _attach(self) -> None:
        self.attached.append(self.owned.has_read_catalog)

    async def serve(self, timeout_s: float) -> None:
        await self.take_overs.serve(self.owned, timeout_s)  # type: ignore[arg-type]


@virtual
async def test_what_has_begun_is_served_before_a_look_and_all_after_it() -> None:
    world = _World(None)
    await world.serve(5.0)
    assert world.attached == [False, True]
    await asyncio.sleep(60)
    assert (world.attached, world.catalog.looks_count) == ([False, True], 1)


@virtual
async def test_a_look_that_fails_is_followed_by_another() -> None:
    world = _World(Unavailable, Fenced, None)
    await world.serve(5.0)
    assert (world.attached, world.catalog.looks_count) == ([False, True], 3)


@virtual
async def test_who_opens_a_log_waits_for_a_look_no_longer_than_its_time() -> None:
    world = _World(Unavailable, Unavailable, None)
    await world.serve(2.0)
    assert world.attached == [False]
    await asyncio.sleep(60)
    assert world.attached == [False, True]


@virtual
async def test_a_log_that_is_lost_is_not_waited_for() -> None:
    world = _World(*[Unavailable] * 10)
    await world.serve(0.5)
    world.owned.is_serving = False
    await asyncio.sleep(60)
    assert world.attached == [False, False], "it serves nothing any more"
    assert world.catalog.looks_count == 1


@virtual
async def test_nothing_is_looked_for_after_the_stop() -> None:
    world = _World(*[Unavailable] * 10)
    await world.serve(0.5)
    await world.take_overs.stop()
    await asyncio.sleep(60)
    assert (world.attached, world.catalog.looks_count) == ([False], 1)
