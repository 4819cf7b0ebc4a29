"""Compiled help against the Python code that does the same."""

import asyncio
import os
import random  # noqa: TID251  (seeded)
from pathlib import Path
from struct import pack_into
from types import ModuleType

import pytest

from wal_core import Corrupt, Invalid
from wal_core.format import block as block_module
from wal_core.format.block import (
    CRC_AT,
    HEADER_BYTES,
    BlockIds,
    KnownCrc,
    crc32c,
    encode_entries,
)
from wal_core.format.compiled import PURE_ENV, compiled, compiled_parts, is_stale
from wal_core.format.versions import BLOCK
from wal_core.stores import stretches
from wal_core.stores.objects.memory import MemoryStore
from wal_core.stores.stretches import Stretch, read_entries
from wal_core.types import Entry

NEEDS_BUILD = pytest.mark.skipif(stretches.COMPILED is None, reason="compiled help was not built")
LOG, SEGMENT, FIRST = 2, 7, 5


@pytest.fixture
def blocks() -> ModuleType:
    assert stretches.COMPILED is not None
    return stretches.COMPILED


def test_ci_has_built_it() -> None:
    if not os.environ.get("CI") or os.environ.get(PURE_ENV):
        pytest.skip("only where everything must take part")
    assert all(compiled_parts().values())


def test_the_environment_keeps_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PURE_ENV, "1")
    assert compiled("wal_core.format._blocks") is None
    assert not any(compiled_parts().values())


def test_what_is_not_there_is_none() -> None:
    assert compiled("wal_core.no_such_module") is None


def test_what_was_built_before_its_source_changed_is_passed_over(tmp_path: Path) -> None:
    built, source = tmp_path / "_part.abi3.so", tmp_path / "_part.c"
    built.touch()
    assert not is_stale(str(built))  # installed without its source
    source.touch()
    os.utime(source, (100, 100))
    os.utime(built, (100, 100))
    assert not is_stale(str(built))
    os.utime(source, (101, 101))
    assert is_stale(str(built))


def a_block(rng: random.Random, number: int, *, is_large: bool = False) -> bytearray:
    ids = BlockIds(LOG, SEGMENT, number, 3, 0, bytes(16))
    streams = rng.choice(((1,), (1, 2, 1 << 63), (0, (1 << 64) - 1)))
    entries = [
        Entry(
            rng.choice(streams),
            rng.choice((0, 9, (1 << 63) - 1)),
            (span := rng.choice((1, 5, (1 << 32) - 1))),
            rng.randint(0, span),
            rng.choice((-1, 0, -(1 << 63), (1 << 63) - 1)),
            rng.randbytes(rng.choice((17_000, 40_000) if is_large else (0, 1, 90, 3_000))),
        )
        for _ in range(rng.choice((1, 1, 2, 40)))
    ]
    return bytearray(b"".join(encode_entries(ids, entries).pieces))


def damage(rng: random.Random, block: bytearray) -> None:
    """A byte, a field, or the length; sometimes under a checksum that is right."""
    at = rng.randrange(min(len(block), 200))
    block[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, block[at] ^ 1, rng.randrange(256)))
    if rng.random() < 0.2:
        del block[rng.randrange(len(block)) :]
    if rng.random() < 0.6 and len(block) >= HEADER_BYTES:
        crc = crc32c(memoryview(block)[HEADER_BYTES:], crc32c(memoryview(block)[:CRC_AT]))
        pack_into("<I", block, CRC_AT, crc)


def outcome(body: bytes, count: int) -> object:
    async def read() -> object:
        store = MemoryStore()
        await store.create("k", [body])
        stretch = Stretch("k", 0, len(body), LOG, SEGMENT, FIRST, count)
        try:
            found = await read_entries(store, stretch)
        except (Corrupt, Invalid) as error:
            return type(error), error.message
        # Views may go to others: they must show the same bytes.
        return found.entry_count, found.bytes_count, found._by_stream

    return asyncio.run(read())


@NEEDS_BUILD
@pytest.mark.parametrize("seed", range(4))
def test_both_say_the_same_of_any_bytes(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    refused_count = 0
    for _ in range(150):
        count = rng.choice((2, 3, 20))
        is_large = count < 20 and rng.random() < 0.5  # then Python takes the checksums
        parts = [a_block(rng, FIRST + number, is_large=is_large) for number in range(count)]
        for _ in range(rng.choice((0, 1, 1))):
            damage(rng, rng.choice(parts))
        body = b"".join(parts)
        with monkeypatch.context() as patch:
            found = outcome(body, count)
            patch.setattr(stretches, "COMPILED", None)
            assert outcome(body, count) == found, body.hex()
        refused_count += isinstance(found, tuple) and len(found) == 2
    assert 20 < refused_count < 130


@NEEDS_BUILD
def test_what_it_finds_are_entries_and_views_of_what_was_given(blocks: ModuleType) -> None:
    rng = random.Random(1)
    parts = [a_block(rng, FIRST + number) for number in range(3)]
    body = b"".join(parts)
    of = (LOG, SEGMENT, FIRST, 3, BLOCK.oldest, BLOCK.version)
    by_stream, entry_count = blocks.entries(body, Entry, *of, 1_000, False)
    found = [entry for entries in by_stream.values() for entry in entries]
    assert len(found) == entry_count
    assert all(type(entry) is Entry and entry.payload.obj is body for entry in found)
    assert blocks.entries(body, Entry, *of, entry_count, False) is not None
    assert blocks.entries(body, Entry, *of, entry_count - 1, False) is None
    for end in range(len(body)):
        assert blocks.entries(body[:end], Entry, *of, 1_000, False) is None
    assert blocks.entries(body + b"x", Entry, *of, 1_000, False) is None
    assert blocks.entries(b"", Entry, *of, 1_000, False) is None
    parts[1][-1] ^= 1  # under a checksum that somebody else has compared
    assert blocks.entries(b"".join(parts), Entry, *of, 1_000, False) is None
    assert blocks.entries(b"".join(parts), Entry, *of, 1_000, True) is not None
    newer = BLOCK.version + 1
    assert blocks.entries(body, Entry, *of[:4], newer, newer, 1_000, False) is None


@NEEDS_BUILD
def test_other_things_are_refused(blocks: ModuleType) -> None:
    of = (LOG, SEGMENT, FIRST, 3, BLOCK.oldest, BLOCK.version, 9, False)
    for buffer, kind in (("text", Entry), (b"", int), (b"", "Entry")):
        with pytest.raises((TypeError, BufferError)):
            blocks.entries(buffer, kind, *of)


@NEEDS_BUILD
@pytest.mark.parametrize("length", [0, 1, 7, 8, 4_096, 65_537, 1_000_003])
def test_checksums_of_pieces_make_that_of_the_whole(blocks: ModuleType, length: int) -> None:
    rng = random.Random(length)
    first, second = rng.randbytes(1 + length % 1_000), rng.randbytes(length)
    assert blocks.combine(crc32c(first), crc32c(second), length) == crc32c(first + second)


@NEEDS_BUILD
def test_a_checksum_of_what_is_longer_than_memory_is_that_of_its_halves(blocks: ModuleType) -> None:
    half = blocks.combine(1, 2, 1 << 61)
    assert blocks.combine(half, 3, 5) == blocks.combine(1, blocks.combine(2, 3, 5), (1 << 61) + 5)


@pytest.mark.parametrize("is_built", [False, pytest.param(True, marks=NEEDS_BUILD)])
def test_what_is_known_of_payloads_changes_no_block(
    is_built: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_built:
        monkeypatch.setattr(block_module, "COMPILED", None)
    rng = random.Random(7)
    payloads = [rng.randbytes(size) for size in (10_000, 100, 4_096, 200, 300, 70_000)]
    entries = [Entry(1, n, 1, 1, n, memoryview(each)) for n, each in enumerate(payloads)]
    ids = BlockIds(LOG, SEGMENT, FIRST, 1, 0, bytes(16))
    known = {n: KnownCrc(n + 3, crc32c(payloads[n][n + 3 :])) for n in (0, 1, 2, 5)}
    expected = b"".join(encode_entries(ids, entries).pieces)
    assert b"".join(encode_entries(ids, entries, known).pieces) == expected
    wrong = known | {5: KnownCrc(3, known[5].crc)}
    if is_built:  # it is not gone through once more
        assert b"".join(encode_entries(ids, entries, wrong).pieces) != expected
