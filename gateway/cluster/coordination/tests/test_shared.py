"""A store over a connection keeps the contract; the end of the connection is noticed at once."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.cluster.coordination import shared
from gateway.cluster.coordination.base import Compacted, Put, StoreAway
from gateway.cluster.coordination.shared import SharedStore
from gateway.cluster.coordination.tests.coordination_contract import CoordinationContract, put, take
from gateway.cluster.coordination.tests.shared_pair import Pair


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    pair = await Pair().start()
    yield pair
    await pair.stop()


class TestSharedStore(CoordinationContract):
    @pytest.fixture
    def store(self, pair: Pair) -> SharedStore:
        return pair.store

    @pytest.fixture
    def compact(self, pair: Pair) -> Callable[[], Awaitable[None]]:
        async def forget() -> None:
            pair.static.compact()

        return forget


async def test_a_worker_whose_supervisor_is_gone_is_told_and_waits_for_nothing(pair: Pair) -> None:
    watch = pair.store.watch("/p/", (await pair.store.read("/p/")).revision)
    waiting = asyncio.ensure_future(anext(watch))
    await put(pair.store, "/q", b"so that the watch is there")
    pair.serving.cancel()
    with pytest.raises(StoreAway):
        await waiting
    async with asyncio.timeout(10):
        await pair.gone.wait()
    with pytest.raises(StoreAway):
        await pair.store.read("/")
    pair.serving = asyncio.ensure_future(asyncio.sleep(0))


async def test_a_supervisor_that_does_not_answer_is_waited_for_in_bounds() -> None:
    ours, theirs = socket.socketpair()
    store = await SharedStore.join(theirs, lambda: None, call_s_max=0.01)
    with pytest.raises(StoreAway, match="in time"):
        await store.read("/")
    await store.close()
    ours.close()


async def test_who_takes_too_little_of_a_watch_reads_again(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "UNTAKEN_COUNT_MAX", 3)
    start = (await pair.store.read("/")).revision
    watch = pair.store.watch("/", start)
    first = asyncio.ensure_future(anext(watch))
    for _ in range(8):
        await pair.store.transact([], [Put("/p", b"")])
    await first
    with pytest.raises(Compacted, match="more has changed"):
        await take(watch, 8)
    await watch.aclose()  # type: ignore[attr-defined]
