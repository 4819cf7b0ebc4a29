"""Blocks: round trips, damage at every byte, and the page that describes them."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wal_core import Corrupt, Entry, Log, LogConfig, SystemClock, open_store
from wal_core.format import block as bf
from wal_core.format import checkpoint as cf
from wal_core.format import footer as ff
from wal_core.format import stream_tables as tables
from wal_core.format.block import (
    BlockIds,
    BlockKind,
    EncodedBlock,
    encode_entries,
    encode_payload,
    parse_block,
)
from wal_core.format.checkpoint import iter_piece
from wal_core.format.footer import Footer, encode_trailer, parse_trailer
from wal_core.tests.harness import CountingRng, Recorder
from wal_core.types import Buffer

IDS = BlockIds(log_id=3, segment=5, block=7, term=9, durable_count=6, nonce=bytes(range(16)))
PAGE = (Path(__file__).parents[2] / "FORMAT.md").read_text()

entries = st.lists(
    st.builds(
        lambda stream, base, numbers, *rest: Entry(stream, base, max(numbers), *numbers[:1], *rest),
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**63 - 2**32),
        st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 2**32 - 1)),
        st.integers(-(2**63), 2**63 - 1),
        st.one_of(
            st.binary(min_size=1, max_size=60),
            st.binary(min_size=1, max_size=60).map(memoryview),
            st.integers(4000, 5000).map(bytes),
        ),
    ),
    min_size=1,
    max_size=12,
)


def _held(encoded: EncodedBlock) -> list[Buffer]:
    """The payloads, wherever they lie now."""
    return [
        holder[start : start + row[6]]
        for row, holder, start in zip(encoded.rows(), encoded.holders, encoded.starts, strict=True)
    ]


@given(entries)
def test_round_trip(given_entries):
    encoded = encode_entries(IDS, given_entries)
    stored = b"".join(encoded.pieces)
    assert len(stored) == encoded.length
    assert _held(encoded) == [entry.payload for entry in given_entries]
    assert [row[:5] for row in encoded.rows()] == [entry[:5] for entry in given_entries]
    block = parse_block(stored + b"junk behind it")
    assert block.entries() == given_entries
    assert block.header[:8] == (BlockKind.DATA, 0, 3, 5, 9, 7, 6, len(given_entries))
    assert block.header.total_bytes == len(stored)
    for entry in given_entries:
        assert entry in block.of_stream(entry.stream_id)
    assert block.of_stream(1 << 70) == []


def test_large_payloads_are_not_copied_and_small_views_let_go():
    large, small = memoryview(bytes(5000)), memoryview(bytearray(b"small"))
    encoded = encode_entries(IDS, [Entry(1, 0, 1, 1, 0, small), Entry(1, 1, 1, 1, 0, large)])
    assert encoded.pieces[-1] is large
    assert encoded.holders[1] is large
    assert _held(encoded)[0] == b"small"
    assert encoded.holders[0] is not small
    assert isinstance(encoded.holders[0], bytes)


def test_damage_at_every_byte_and_every_cut_is_noticed():
    stored = b"".join(
        encode_entries(IDS, [Entry(1, 0, 2, 2, 5, b"hello"), Entry(2, 0, 1, 1, 6, b"x")]).pieces
    )
    for at in range(len(stored)):
        with pytest.raises(Corrupt):
            parse_block(stored[:at])
        damaged = bytearray(stored)
        damaged[at] ^= 0x10
        with pytest.raises(Corrupt):
            parse_block(damaged)


def test_an_index_that_does_not_tile_the_data_is_corrupt():
    good = encode_entries(IDS, [Entry(1, 0, 2, 2, 5, b"hello"), Entry(2, 0, 1, 1, 6, b"x")])
    index = bytearray(good.pieces[0][bf.HEADER_BYTES :])
    for at, value in ((32, 1), (36, 4), (40 + 32, 4), (16, 0), (20, 3)):
        wrong = bytearray(index)
        struct.pack_into("<I", wrong, at, value)
        header = bf._build_header(BlockKind.DATA, IDS, wrong, [b"hellox"], data_bytes=6)
        with pytest.raises(Corrupt, match="index"):
            parse_block(header + wrong + b"hellox")


# -- FORMAT.md --------------------------------------------------------------------------------


def table(name: str) -> list[tuple[int, int, str]]:
    section = PAGE.split(f"<!-- table: {name} -->")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\w+) \| (\w+) \|", section, re.M)
    return [(int(at), int(size), kind) for at, size, kind, _ in rows]


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("block header", bf._HEADER),
        ("index row", bf.INDEX_ENTRY),
        ("footer head", ff._HEAD),
        ("pair", cf._PAIR),
        ("block row", ff._BLOCK_ROW),
        ("stream row", tables._STREAM_ROW),
        ("run row", tables._RUN_ROW),
        ("trailer", ff._TRAILER),
    ],
)
def test_the_tables_are_the_layouts(name, layout):
    assert layout_of(name) == layout.format


def layout_of(name: str) -> str:
    """A table of the page as the format string of a struct."""
    letters = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i64": "q"}
    at, described = 0, "<"
    for row_at, size, kind in table(name):
        assert row_at == at
        at += size
        described += letters.get(kind, f"{size}s")
        if kind != "bytes":
            assert int(kind[1:]) == size * 8
    return struct.Struct(described).format


def example() -> bytes:
    lines = re.search(r"```hex\n(.*?)```", PAGE, re.S)[1].split("\n")
    content = b""
    for line in filter(None, lines):
        at, _, digits = line.partition("  ")
        assert int(at, 16) == len(content)
        content += bytes.fromhex(digits)
    return content


def test_the_worked_example_is_what_we_write_and_read():
    content = example()
    position, length = parse_trailer(content[-ff.TRAILER_BYTES :])
    assert (position, length) == (117, 218)
    assert content.endswith(encode_trailer(117, 218))
    block = parse_block(content)
    entry = Entry(7, 0, 2, 2, 1_700_000_000_000, b"hello")
    assert block.entries() == [entry]
    ids = BlockIds(0, 0, 0, 1, 0, bytes(range(16)))
    assert b"".join(encode_entries(ids, [entry]).pieces) == content[:117]

    footer = Footer.of_block(parse_block(content[position:]))
    assert [*iter_piece(footer.changes)] == [(b"k", b"state")]
    assert footer.extent(0) == (0, 117, 5)
    assert list(footer.streams()) == [(7, 0, 2, 1_700_000_000_000, 5, 1_700_000_000_000)]
    assert footer.created_ms == 1_700_000_000_500
    ids = ids._replace(block=1, durable_count=1)
    payload = bytes(content[position + bf.HEADER_BYTES : -ff.TRAILER_BYTES])
    rewritten = b"".join(encode_payload(BlockKind.COMPLETE, ids, payload).pieces)
    assert rewritten == content[117 : 117 + 218]


async def test_the_worked_example_opens_as_a_log(tmp_path):
    store = await open_store(str(tmp_path), "file")
    path = tmp_path / "logs" / "0" / f"{0:020d}.seg"
    path.parent.mkdir(parents=True)
    path.write_bytes(example())

    class State(Recorder):
        def restore(self, key: bytes, value: Buffer | None) -> None:
            restored[key] = bytes(value)

        def values(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
            return ((key, restored[key]) for key in keys)

    restored: dict[bytes, bytes] = {}
    log = await Log.open(store, State(), LogConfig(), clock=SystemClock(), rng=CountingRng())
    assert log.term == 2
    assert restored == {b"k": b"state"}
    found = await log.read(7, 1, 100)
    assert [(e.base_offset, e.record_count, bytes(e.payload)) for e in found] == [(0, 2, b"hello")]
    await log.close()
    await store.close()
