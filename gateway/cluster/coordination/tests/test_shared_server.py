"""A worker's leases end with its connection; one that is silent is told of."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.cluster.coordination.base import LeaseLost
from gateway.cluster.coordination.tests.coordination_contract import put, take
from gateway.cluster.coordination.tests.shared_pair import Pair


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    pair = await Pair().start()
    yield pair
    await pair.stop()


async def test_what_a_worker_held_goes_with_its_connection(pair: Pair) -> None:
    lease = await pair.store.grant(60)
    at = await put(pair.store, "/p/a", b"1", lease)
    await put(pair.store, "/p/b", b"stays")
    watch = pair.static.watch("/p/", at + 1)
    pair.store._writer.transport.abort()
    ((change,),) = await take(watch, 1)
    assert (change.key, change.value) == ("/p/a", None)
    await watch.aclose()  # type: ignore[attr-defined]


async def test_a_worker_that_is_silent_for_a_lease_is_told_of_once_it_had_one(pair: Pair) -> None:
    pair.store.ready()
    lease = await pair.store.grant(1)
    await pair.store.keep_alive(lease)
    assert pair.told == ["ready"]
    watch = pair.static.watch("/", await put(pair.store, "/p", b"", lease))
    await take(watch, 1)  # the end of its lease
    await asyncio.sleep(0)
    assert pair.told == ["ready", "silent"]
    await watch.aclose()  # type: ignore[attr-defined]


async def test_a_lease_that_was_given_back_is_not_missed(pair: Pair) -> None:
    await pair.store.revoke(await pair.store.grant(1))
    other = await pair.static.grant(1)
    watch = pair.static.watch("/", await put(pair.static, "/p", b"", other))
    await take(watch, 1)
    await asyncio.sleep(0)
    assert pair.told == []
    await watch.aclose()  # type: ignore[attr-defined]


async def test_who_sends_something_else_is_not_listened_to(pair: Pair) -> None:
    pair.store._writer.write(b"\xff\xff\xff\xff")
    async with asyncio.timeout(10):
        await pair.gone.wait()


async def test_a_worker_cannot_keep_what_another_was_granted(pair: Pair) -> None:
    with pytest.raises(LeaseLost, match="none of this worker's"):
        await pair.store.keep_alive(await pair.static.grant(60))


async def test_a_watch_that_is_given_up_ends_here_too(pair: Pair) -> None:
    watch = pair.store.watch("/", (await pair.store.read("/")).revision)
    first = asyncio.ensure_future(anext(watch))
    await put(pair.store, "/p", b"")
    await first
    assert len(pair.link._watches) == 1
    await watch.aclose()  # type: ignore[attr-defined]
    await pair.store.read("/")  # what was sent before it has been read
    await asyncio.sleep(0)
    assert pair.link._watches == {}
