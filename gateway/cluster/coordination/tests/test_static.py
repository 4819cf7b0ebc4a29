"""The store in memory keeps the contract, and bounds what it remembers."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.cluster.coordination.base import (
    Compacted,
    Delete,
    Put,
)
from gateway.cluster.coordination.static import CHANGES_COUNT_MAX, StaticStore
from gateway.cluster.coordination.tests.coordination_contract import CoordinationContract, take


class TestStaticStore(CoordinationContract):
    @pytest.fixture
    async def static(self) -> AsyncIterator[StaticStore]:
        store = StaticStore()
        yield store
        await store.close()

    @pytest.fixture
    def store(self, static: StaticStore) -> StaticStore:
        return static

    @pytest.fixture
    def compact(self, static: StaticStore) -> Callable[[], Awaitable[None]]:
        async def forget() -> None:
            static.compact()

        return forget


async def test_the_past_is_kept_within_a_bound() -> None:
    store = StaticStore()
    start = (await store.read("/")).revision
    for _ in range(CHANGES_COUNT_MAX):
        await store.transact([], [Put("/p", b"")])
    assert len(await take(store.watch("/", start), CHANGES_COUNT_MAX)) == CHANGES_COUNT_MAX
    await store.transact([], [Put("/p", b"")])
    with pytest.raises(Compacted):
        await take(store.watch("/", start), 1)


async def test_what_changes_nothing_has_no_revision() -> None:
    store = StaticStore()
    before = (await store.read("/")).revision
    assert (await store.transact([], [Delete("/p")])).revision == before
