"""What every coordination store keeps; the test of each implementation runs it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.cluster.coordination.base import (
    Change,
    Compacted,
    CoordinationStore,
    Delete,
    LeaseLost,
    Put,
    StoreAway,
    Unchanged,
)


async def put(store: CoordinationStore, key: str, value: bytes, lease: int = 0) -> int:
    done = await store.transact([], [Put(key, value, lease)])
    assert done.succeeded
    return done.revision


async def take(watch: AsyncIterator[tuple[Change, ...]], count: int) -> list[tuple[Change, ...]]:
    async with asyncio.timeout(10):
        return [await anext(watch) for _ in range(count)]


class CoordinationContract:
    """A `store` fixture gives an empty one; a `compact` fixture lets it forget its past."""

    async def test_what_was_put_is_read_back_by_prefix_in_order(
        self, store: CoordinationStore
    ) -> None:
        first = await put(store, "/p/b", b"1")
        second = await put(store, "/p/a", b"2")
        await put(store, "/q/a", b"3")
        third = await put(store, "/p/b", b"4")
        snapshot = await store.read("/p/")
        seen = [
            (kv.key, kv.value, kv.created_revision, kv.changed_revision) for kv in snapshot.keys
        ]
        assert seen == [("/p/a", b"2", second, second), ("/p/b", b"4", first, third)]
        assert snapshot.revision == third
        assert (await store.read("/none/")).keys == ()
        assert (await store.read("/p/")).store_id == snapshot.store_id

    async def test_a_transaction_is_carried_out_whole_or_not_at_all(
        self, store: CoordinationStore
    ) -> None:
        at = await put(store, "/p/a", b"1")
        lost = await store.transact(
            [Unchanged("/p/a", at), Unchanged("/p/b", at)], [Put("/p/b", b"x"), Delete("/p/a")]
        )
        assert not lost.succeeded
        assert [kv.key for kv in (await store.read("/p/")).keys] == ["/p/a"]
        won = await store.transact(
            [Unchanged("/p/a", at), Unchanged("/p/b", 0)], [Put("/p/b", b"x"), Delete("/p/a")]
        )
        assert (won.succeeded, won.revision) == (True, at + 1)
        assert [kv.key for kv in (await store.read("/p/")).keys] == ["/p/b"]

    async def test_of_many_who_claim_one_wins(self, store: CoordinationStore) -> None:
        claims = [
            store.transact([Unchanged("/p/1", 0)], [Put("/p/1", b"%d" % n)]) for n in range(8)
        ]
        won = [n for n, done in enumerate(await asyncio.gather(*claims)) if done.succeeded]
        assert len(won) == 1
        assert (await store.read("/p/")).keys[0].value == b"%d" % won[0]

    async def test_a_watch_brings_what_came_before_it_and_after(
        self, store: CoordinationStore
    ) -> None:
        start = (await store.read("/p/")).revision
        await put(store, "/p/a", b"1")
        await put(store, "/q/a", b"not ours")
        watch = store.watch("/p/", start)
        (before,) = await take(watch, 1)
        assert [(c.key, c.value) for c in before] == [("/p/a", b"1")]
        await store.transact([], [Put("/p/b", b"2"), Delete("/p/a")])
        (after,) = await take(watch, 1)
        assert sorted((c.key, c.value) for c in after) == [("/p/a", None), ("/p/b", b"2")]
        await watch.aclose()  # type: ignore[attr-defined]
        # From where it stood, another one goes on.
        await put(store, "/p/c", b"3")
        again = store.watch("/p/", after[0].revision)
        assert [(c.key, c.value) for c in (await take(again, 1))[0]] == [("/p/c", b"3")]
        await again.aclose()  # type: ignore[attr-defined]

    async def test_a_watch_from_a_forgotten_revision_says_so(
        self, store: CoordinationStore, compact: object
    ) -> None:
        start = (await store.read("/p/")).revision
        for n in range(3):
            await put(store, "/p/a", b"%d" % n)
        await compact()  # type: ignore[operator]
        with pytest.raises(Compacted):
            await take(store.watch("/p/", start), 1)
        # What the reader does then.
        snapshot = await store.read("/p/")
        watch = store.watch("/p/", snapshot.revision)
        await put(store, "/p/a", b"9")
        assert (await take(watch, 1))[0][0].value == b"9"
        await watch.aclose()  # type: ignore[attr-defined]

    async def test_a_deletion_is_not_forgotten_in_silence(
        self, store: CoordinationStore, compact: object
    ) -> None:
        """Older releases of etcd (#18089, #19179 of its issues) let a watch go on without a
        deletion whose revision is the very one up to which they have forgotten."""
        start = await put(store, "/p/a", b"1")
        await store.transact([], [Delete("/p/a")])
        await compact()  # type: ignore[operator]
        with pytest.raises(Compacted):
            await take(store.watch("/p/", start), 1)

    async def test_a_watch_from_the_future_says_so(self, store: CoordinationStore) -> None:
        ahead = (await store.read("/p/")).revision + 1000
        with pytest.raises(Compacted):
            await take(store.watch("/p/", ahead), 1)

    async def test_the_keys_of_a_lease_go_with_it(self, store: CoordinationStore) -> None:
        lease = await store.grant(60)
        at = await put(store, "/p/a", b"1", lease)
        await put(store, "/p/b", b"stays")
        await store.keep_alive(lease)
        assert (await store.read("/p/a")).keys[0].lease == lease
        watch = store.watch("/p/", at + 1)
        await store.revoke(lease)
        ((change,),) = await take(watch, 1)
        assert (change.key, change.value) == ("/p/a", None)
        with pytest.raises(LeaseLost):
            await store.keep_alive(lease)
        with pytest.raises(LeaseLost):
            await put(store, "/p/c", b"x", lease)
        await store.revoke(lease)
        assert [kv.key for kv in (await store.read("/p/")).keys] == ["/p/b"]
        await watch.aclose()  # type: ignore[attr-defined]

    async def test_a_lease_that_nobody_keeps_runs_out(self, store: CoordinationStore) -> None:
        lease = await store.grant(1)
        at = await put(store, "/p/a", b"1", lease)
        watch = store.watch("/p/", at)
        ((change,),) = await take(watch, 1)
        assert (change.key, change.value) == ("/p/a", None)
        with pytest.raises(LeaseLost):
            await store.keep_alive(lease)
        await watch.aclose()  # type: ignore[attr-defined]

    async def test_closed_it_is_away(self, store: CoordinationStore) -> None:
        await store.close()
        with pytest.raises(StoreAway):
            await store.read("/p/")
