"""Which manifest counts for a check, and what it says of the others."""

from __future__ import annotations

import pytest

from wal_core.format.block import BlockIds, BlockKind, encode_payload
from wal_core.fsck.findings import Kind
from wal_core.fsck.history import newest_manifest
from wal_core.fsck.tests.looks import LOG_ID, found_in, look_at
from wal_core.stores.manifests import (
    KEPT_COUNT,
    NO_MANIFEST,
    Manifest,
    encode_manifest,
    manifest_key,
)
from wal_core.testing.sim_loop import run


def manifests(*numbers: int) -> dict[str, bytes]:
    return {
        manifest_key(LOG_ID, number): block(
            BlockKind.MANIFEST, number, encode_manifest(Manifest(number=number, term=1))
        )
        for number in numbers
    }


def block(kind: BlockKind, number: int, payload: bytes) -> bytes:
    ids = BlockIds(LOG_ID, number, 0, 1, 0, b"n" * 16)
    return b"".join(bytes(piece) for piece in encode_payload(kind, ids, payload).pieces)


def sealed_for(number: int) -> dict[str, bytes]:
    return {f"sealed/{LOG_ID}/{number:020d}-n/000000": b"x"}


def test_a_young_log_has_none():
    async def main() -> None:
        look = await look_at(sealed_for(0))
        assert await newest_manifest(look) == NO_MANIFEST
        assert found_in(look) == []

    run(main)


def test_the_newest_counts_and_the_kept_ones_are_named():
    async def main() -> None:
        look = await look_at(manifests(*range(KEPT_COUNT + 2)) | sealed_for(KEPT_COUNT + 2))
        newest = await newest_manifest(look)
        assert newest == Manifest(number=KEPT_COUNT + 1, term=1)
        assert found_in(look) == []
        assert look.inventory.unnamed(manifests(*range(KEPT_COUNT + 2))) == [
            manifest_key(LOG_ID, number) for number in (0, 1)
        ]

    run(main)


def test_a_folder_that_was_sealed_on_top_of_it_tells_of_a_missing_one():
    async def main() -> None:
        look = await look_at(manifests(3) | sealed_for(6))
        assert await newest_manifest(look) is None
        assert found_in(look) == [(Kind.MISSING, manifest_key(LOG_ID, 5))]

    run(main)


def test_one_that_was_committed_during_the_listing_is_not_missing():
    async def main() -> None:
        look = await look_at(manifests(3) | sealed_for(5))
        (late,) = manifests(4).items()
        await look.store.objects.create(late[0], [late[1]])
        assert await newest_manifest(look) == Manifest(number=3, term=1)
        assert found_in(look) == []

    run(main)


@pytest.mark.parametrize(
    "bad",
    [
        b"rubbish",
        block(BlockKind.MANIFEST, 2, b"{}"),
        block(BlockKind.INDEX, 2, encode_manifest(Manifest(number=2, term=1))),
        block(BlockKind.MANIFEST, 2, encode_manifest(Manifest(number=1, term=1))),
    ],
    ids=["no block", "not readable", "of another kind", "of another number"],
)
def test_a_damaged_newest_one_is_none_and_an_older_one_a_finding(bad):
    async def main() -> None:
        key = manifest_key(LOG_ID, 2)
        look = await look_at(manifests(1) | {key: bad})
        assert await newest_manifest(look) is None
        assert found_in(look) == [(Kind.DAMAGED, key)]
        for deep in (True, False):
            look = await look_at(manifests(1, 3) | {key: bad}, deep=deep)
            assert await newest_manifest(look) == Manifest(number=3, term=1)
            assert found_in(look) == ([(Kind.DAMAGED, key)] if deep else [])

    run(main)


def test_an_older_one_that_is_missing_is_told():
    async def main() -> None:
        look = await look_at(manifests(1, 3))
        assert await newest_manifest(look) == Manifest(number=3, term=1)
        assert found_in(look) == [(Kind.MISSING, manifest_key(LOG_ID, 2))]

    run(main)
