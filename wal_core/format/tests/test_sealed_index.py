"""Indexes and manifests: round trips, damage, and the page that describes them."""

from __future__ import annotations

import re
import struct

import pytest

from wal_core import Corrupt
from wal_core.format import sealed_index as sf
from wal_core.format.block import BlockKind, parse_block
from wal_core.format.chain import Sealed
from wal_core.format.places import Place
from wal_core.format.sealed_index import BlockRow, ObjectRow, SealedIndex, encode_index
from wal_core.format.stream_tables import Run, StreamRow
from wal_core.format.tests.test_block import PAGE, layout_of
from wal_core.stores.manifests import Garbage, Manifest, decode_manifest, encode_manifest

INDEX = {
    "first": 2,
    "last": 9,
    "objects": [ObjectRow("sealed/0/x/000000", 500), ObjectRow("logs/0/1/ü", 70)],
    "blocks": [BlockRow(0, 200, 100, 0, 2, 0), BlockRow(200, 300, 250, 0, 2, 1)],
    "streams": [StreamRow(1, 0, 5, 9, 20, 9), StreamRow(4, 3, 6, -1, 30, -1)],
    "runs": [Run(1, 0, 0, 9, 0), Run(4, 0, 2, -1, 5), Run(4, 1, 4, -1, 12)],
}


def test_an_index_comes_back():
    index = SealedIndex(0, encode_index(**INDEX, created_ms=77))
    assert (index.first, index.last, index.created_ms) == (2, 9, 77)
    assert index.objects == INDEX["objects"]
    assert [index.block(n) for n in range(index.block_count)] == INDEX["blocks"]
    assert list(index.streams()) == INDEX["streams"]
    assert list(index.all_runs()) == INDEX["runs"]
    assert list(index.runs(4)) == INDEX["runs"][1:]
    assert index.place(1) == Place("sealed/0/x/000000", 200, 300, 0, 2, 1)
    for wrong in (-1, 2):
        with pytest.raises(Corrupt):
            index.block(wrong)


def test_an_index_holds_what_a_start_needs_where_the_log_may_end_there():
    assert SealedIndex(0, encode_index(**INDEX, created_ms=77)).changes is None
    for changes in (b"", b"changes"):
        stored = encode_index(**INDEX, created_ms=77, changes=changes)
        index = SealedIndex(0, stored)
        assert index.changes == changes
        assert index.objects == INDEX["objects"]
        for cut in range(len(stored) - len(changes)):
            with pytest.raises(Corrupt):
                SealedIndex(0, stored[:cut])


def test_an_index_that_does_not_fit_its_sizes_is_corrupt():
    payload = encode_index(**INDEX, created_ms=77)
    for cut in range(len(payload)):
        with pytest.raises(Corrupt):
            SealedIndex(0, payload[:cut])
    for wrong in (payload + b"x", b"XXXX" + payload[4:]):
        with pytest.raises(Corrupt):
            SealedIndex(0, wrong)
    lost = encode_index(**{**INDEX, "blocks": [BlockRow(0, 1, 1, 7, 2, 0)]}, created_ms=0)
    with pytest.raises(Corrupt):
        SealedIndex(0, lost).block(0)


def row(first: int, last: int) -> Sealed:
    return Sealed(first=first, last=last, index="i", index_bytes=1, live_bytes=1)


def test_a_manifest_comes_back_and_disorder_does_not():
    manifest = Manifest(
        number=3,
        term=2,
        sealed=[row(0, 3), row(4, 4)],
        garbage=[Garbage(due_ms=5, keys=["a", "b"]), Garbage(due_ms=6, segment=4, keep=[1])],
        swept=2,
    )
    payload = encode_manifest(manifest)
    assert decode_manifest(payload, 3) == manifest
    assert manifest.covered == 4
    with pytest.raises(Corrupt, match="says it is 3"):
        decode_manifest(payload, 4)
    for wrong in ([row(4, 4), row(0, 3)], [row(0, 3), row(3, 5)], [row(3, 2)]):
        with pytest.raises(Corrupt, match="not in order"):
            decode_manifest(encode_manifest(Manifest(number=0, term=1, sealed=wrong)), 0)
    for cut in range(len(payload)):
        with pytest.raises(Corrupt):
            decode_manifest(payload[:cut], 3)


# -- FORMAT.md --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("index head", sf._HEAD),
        ("sealed block row", sf._BLOCK_ROW),
        ("object row", sf._OBJECT_ROW),
    ],
)
def test_the_tables_are_the_layouts(name: str, layout: struct.Struct):
    assert layout_of(name) == layout.format


def example(name: str) -> bytes:
    lines = re.search(rf"```hex {name}\n(.*?)```", PAGE, re.S)[1].split("\n")
    return b"".join(bytes.fromhex(line[6:]) for line in lines)


def test_the_worked_examples_say_what_the_page_says():
    block = parse_block(example("index"))
    assert (block.header.kind, block.header.segment, block.header.block) == (BlockKind.INDEX, 3, 0)
    index = SealedIndex.of_block(block)
    folder = f"sealed/0/{0:020d}-0011223344556677/"
    assert (index.first, index.last) == (0, 3)
    assert index.objects == [
        (f"{folder}000000", 117),
        (f"logs/0/{2:020d}/{0:010d}", 700_000),
    ]
    assert index.block(1) == (0, 700_000, 699_888, 1, 2, 0)
    assert list(index.runs(8)) == [(8, 1, 10, 1_700_000_000_700, 0)]

    block = parse_block(example("manifest"))
    assert (block.header.kind, block.header.segment) == (BlockKind.MANIFEST, 0)
    manifest = decode_manifest(block.data, 0)
    assert manifest.sealed == [
        Sealed(
            first=0,
            last=3,
            index=f"{folder}index",
            index_bytes=len(example("index")),
            live_bytes=699_893,
        )
    ]
    assert manifest.garbage == [Garbage(due_ms=1_700_000_601_000, segment=2, keep=[0])]
    assert bytes(block.data) == encode_manifest(manifest)
