"""A node stays among the living for as long as it can reach the store, then is gone."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from gateway.cluster.coordination.records import NodeRecord, decode
from gateway.cluster.coordination.static import StaticStore
from gateway.cluster.registration import Registration
from gateway.testing.sim_coordination import SimCoordination
from gateway.tests.virtual import virtual

ROOT, TTL_S = "/woodpecker/c/", 5
NODE = NodeRecord(1, "a", "h", 1)


class Registered:
    def __init__(self, store: StaticStore) -> None:
        self.store = store
        self.way = SimCoordination(store)
        self.times = 0
        self.registration = Registration(self.way, ROOT, NODE, TTL_S, renewed=self._renewed)
        self.task = asyncio.ensure_future(self.registration.run())

    def _renewed(self) -> None:
        self.times += 1

    async def records(self) -> list[object]:
        keys = (await self.store.read(ROOT)).keys
        return [decode(ROOT, pair.key, pair.value) for pair in keys]

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait((self.task,))
        await self.registration.end()


@virtual
async def test_a_node_stays_registered_and_is_gone_at_once_when_it_ends() -> None:
    one = Registered(StaticStore())
    await asyncio.sleep(100)
    assert await one.records() == [NODE]
    assert one.times == 1
    assert one.registration.lease is not None
    await one.end()
    assert await one.records() == []


@virtual
async def test_a_lease_that_ended_meanwhile_is_replaced_and_that_is_told() -> None:
    one = Registered(StaticStore())
    await asyncio.sleep(1)
    one.way.cut()
    await asyncio.sleep(TTL_S + 1)
    assert one.registration.lease is None  # not known to be good: nobody may act on it
    assert await one.records() == []
    one.way.heal()
    await asyncio.sleep(5)
    assert await one.records() == [NODE]
    assert one.times == 2
    await one.end()


@virtual
async def test_whoever_hurries_does_not_wait_for_the_next_turn() -> None:
    one = Registered(StaticStore())
    await asyncio.sleep(1)
    lease = one.registration.lease
    assert lease is not None
    await one.store.revoke(lease)
    one.registration.hurry()
    await asyncio.sleep(0.3)
    assert await one.records() == [NODE]
    await one.end()


@virtual
async def test_what_is_said_of_a_node_can_change() -> None:
    one = Registered(StaticStore())
    await asyncio.sleep(1)
    draining = msgspec.structs.replace(NODE, standing="draining")
    before = one.registration.revision
    await one.registration.change(draining)
    assert await one.records() == [draining]
    assert one.registration.revision > before
    await one.end()


@virtual
async def test_an_end_without_the_store_is_told_and_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = Registered(StaticStore())
    await asyncio.sleep(1)
    one.way.cut()
    await one.end()
    assert "lease not given back" in caplog.messages
