"""Manifests one by one: the newest that can be read, one creator for each number, what is left."""

from __future__ import annotations

import msgspec
import pytest

from wal_core import Corrupt, Fenced, Invalid, LogConfig, MemoryStore
from wal_core.format.chain import Sealed
from wal_core.stores.manifests import (
    KEPT_COUNT,
    NO_MANIFEST,
    Garbage,
    Manifest,
    Manifests,
    Superseded,
    decode_manifest,
    encode_manifest,
    manifest_key,
    manifest_numbers,
)
from wal_core.stores.persistence import Persistence
from wal_core.testing.faulty_object_store import Fault, FaultyObjectStore, Planned
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import CountingRng

LOG_ID = 3


def sealed(first: int, last: int) -> Sealed:
    return Sealed(first=first, last=last, index=f"{first}-{last}", index_bytes=1, live_bytes=1)


def manifest(number: int, *links: Sealed) -> Manifest:
    return Manifest(number=number, term=1, sealed=list(links))


def manifests(store: object, nonce: bytes = b"n" * 16) -> Manifests:
    return Manifests(store, LOG_ID, Persistence(LogConfig(), CountingRng()), nonce)  # type: ignore[arg-type]


async def committed(store: MemoryStore, count: int) -> Manifests:
    found = manifests(store)
    for number in range(count):
        await found.commit(manifest(number, sealed(0, number)))
    return found


def test_what_is_written_is_read_again():
    full = Manifest(
        number=7,
        term=2,
        sealed=[sealed(0, 3), sealed(5, 5)],
        garbage=[Garbage(due_ms=9, segment=4, keep=[1]), Garbage(due_ms=9, keys=["k"])],
        swept=6,
    )
    assert decode_manifest(encode_manifest(full), 7) == full
    assert (full.covered, NO_MANIFEST.covered) == (5, -1)


@pytest.mark.parametrize(
    ("links", "number", "what"),
    [
        ([sealed(4, 3)], 0, "not in order"),
        ([sealed(0, 3), sealed(3, 4)], 0, "not in order"),
        ([sealed(2, 3), sealed(0, 1)], 0, "not in order"),
        ([], 1, "says it is 0"),
    ],
)
def test_one_that_cannot_be_true_is_refused(links, number, what):
    with pytest.raises(Corrupt, match=what):
        decode_manifest(encode_manifest(manifest(0, *links)), number)


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b"\xff" * 9, b'{"number":0}', b"[" * 9999])
def test_what_is_no_manifest_is_refused(payload):
    with pytest.raises(Corrupt, match="manifest 0 is not readable"):
        decode_manifest(payload, 0)


def test_another_version_is_not_damage():
    """Also where the rest of it has a shape that this program does not know."""
    later = msgspec.structs.replace(manifest(0), version=9)
    for payload in (encode_manifest(later), b'{"version": 9, "number": "none"}'):
        with pytest.raises(Invalid, match="version 9"):
            decode_manifest(payload, 0)


def test_only_whole_numbers_are_manifests():
    prefix = f"manifests/{LOG_ID}/"
    keys = [manifest_key(LOG_ID, number) for number in (11, 2)]
    strangers = [prefix, f"{prefix}2", f"{prefix}{'٣' * 20}", f"{keys[0]}.old", f"{keys[0]}0"]
    assert manifest_numbers(LOG_ID, [*keys, *strangers]) == [2, 11]


def test_the_newest_counts():
    async def main() -> None:
        store = MemoryStore()
        assert await manifests(store).newest() == NO_MANIFEST
        found = await committed(store, 3)
        assert await found.newest() == manifest(2, sealed(0, 2))
        assert await found.numbers() == [0, 1, 2]
        assert await found.numbers(behind=manifest_key(LOG_ID, 1)) == [2]

    run(main)


def test_behind_damage_an_older_one_stands_in_and_nothing_may_be_swept():
    async def main() -> None:
        store = MemoryStore()
        found = await committed(store, 3)
        for number in (2, 1):
            store.objects[manifest_key(LOG_ID, number)] = b"rubbish"
        newest = await found.newest()
        assert (newest.number, newest.swept) == (2, 2)
        assert newest.sealed == [sealed(0, 0)]
        with pytest.raises(Corrupt):
            await found.read(2)

    run(main)


def test_a_block_of_another_kind_or_place_is_no_manifest():
    async def main() -> None:
        store = MemoryStore()
        found = await committed(store, 1)
        store.objects[manifest_key(LOG_ID, 1)] = store.objects[manifest_key(LOG_ID, 0)]
        with pytest.raises(Corrupt, match="found block 0 of segment 0"):
            await found.read(1)

    run(main)


def test_a_number_is_committed_once():
    async def main() -> None:
        store = MemoryStore()
        await committed(store, 2)
        rival = manifests(store, nonce=b"r" * 16)
        with pytest.raises(Fenced) as late:
            await rival.commit(manifest(1))
        assert not isinstance(late.value, Superseded)
        assert (await rival.newest()).sealed == [sealed(0, 1)]

    run(main)


def test_a_number_that_was_deleted_and_created_again_is_found_out():
    async def main() -> None:
        store = MemoryStore()
        found = await committed(store, KEPT_COUNT + 2)
        await found.prune(KEPT_COUNT + 1)
        assert await found.numbers() == list(range(2, KEPT_COUNT + 2))
        with pytest.raises(Superseded):
            await manifests(store, nonce=b"r" * 16).commit(manifest(0))

    run(main)


def test_an_answer_that_was_lost_is_not_taken_for_a_rival():
    async def main() -> None:
        store = FaultyObjectStore(
            MemoryStore(), plan=[Planned("create", "manifests/", Fault.AFTER)]
        )
        found = manifests(store)
        await found.commit(manifest(0))
        assert await found.newest() == manifest(0)
        assert store.plan == []

    run(main)


def test_one_can_be_deleted_alone_and_none_that_is_not_there():
    async def main() -> None:
        store = MemoryStore()
        found = await committed(store, 2)
        await found.delete(NO_MANIFEST.number)
        await found.delete(0)
        await found.delete(0)
        assert await found.numbers() == [1]

    run(main)
