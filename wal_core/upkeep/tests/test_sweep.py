"""Which objects below sealed/ no manifest can ever name."""

from __future__ import annotations

import pytest

from wal_core import LogConfig, MemoryStore
from wal_core.format.chain import Sealed
from wal_core.format.sealed_index import ObjectRow, SealedIndex, encode_index
from wal_core.stores.manifests import Garbage, Manifest
from wal_core.stores.persistence import Persistence
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import CountingRng
from wal_core.upkeep.compaction import Source
from wal_core.upkeep.sweep import find_orphans

PERSIST = Persistence(LogConfig(), CountingRng())


def key(number: int, name: str, log_id: int = 1) -> str:
    return f"sealed/{log_id}/{number:020d}-x/{name}"


async def orphans(stored: list[str], manifest: Manifest, **named: list[str]) -> list[str]:
    """`named`: by the letter of an index, the objects that it names; its folder is that letter."""
    store = MemoryStore()
    for one in stored:
        await store.create(one, [b"x"])

    async def load(sealed: Sealed) -> Source:
        payload = encode_index(
            first=sealed.first, last=sealed.last, blocks=[], streams=[], runs=[], created_ms=0,
            objects=[ObjectRow(name, 1) for name in named[sealed.index[-1]]],
        )  # fmt: skip
        return Source(sealed, SealedIndex(1, payload), {}, lambda _, block: None)  # type: ignore

    return await find_orphans(store, 1, manifest, load, PERSIST)


def manifest(number: int, swept: int, *indices: str, **fields: object) -> Manifest:
    links = [
        Sealed(first=at, last=at, index=index, index_bytes=1, live_bytes=0)
        for at, index in enumerate(indices)
    ]
    return Manifest(number=number, term=1, sealed=links, swept=swept, **fields)  # type: ignore[arg-type]


def test_what_an_index_or_the_garbage_names_is_no_orphan():
    async def main() -> None:
        stored = [key(2, "a"), key(2, "000000"), key(2, "000001"), key(3, "000000")]
        waits = Garbage(due_ms=0, keys=[key(3, "000000")])
        newest = manifest(3, -1, key(2, "a"), garbage=[waits])
        assert await orphans(stored, newest, a=[key(2, "000000")]) == [key(2, "000001")]

    run(main)


@pytest.mark.parametrize("swept", [-1, 1, 2])
def test_only_what_is_newer_than_the_last_sweep_and_no_newer_than_the_manifest(swept):
    async def main() -> None:
        stored = [key(number, "000000") for number in range(6)] + [key(3, "000000", log_id=2)]
        found = await orphans(stored, manifest(4, swept))
        assert found == [key(number, "000000") for number in range(swept + 1, 5)]

    run(main)


def test_an_old_index_is_not_loaded_for_nothing():
    """It cannot name what is newer than itself."""

    async def main() -> None:
        old = manifest(4, 2, key(1, "a"))
        assert await orphans([key(1, "a"), key(3, "000000")], old) == [key(3, "000000")]

    run(main)
