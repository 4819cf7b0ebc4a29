"""What must hold for any bytes found where a manifest or the index of a sealed segment should be.

Their blocks' checksums are looked at before (fuzz_blocks.py); these are the payloads.
"""

from __future__ import annotations

from collections.abc import Iterator

from wal_core.errors import Corrupt
from wal_core.format.chain import Sealed
from wal_core.format.sealed_index import BlockRow, ObjectRow, SealedIndex, encode_index
from wal_core.format.stream_tables import Run, StreamRow
from wal_core.stores.manifests import Garbage, Manifest, decode_manifest, encode_manifest

_NUMBER, _LOG = 5, 1
_ASKED_MAX_COUNT = 20
_TIME_MS = 1_700_000_000_000


def manifest_seeds() -> Iterator[tuple[str, bytes]]:
    first = Sealed(first=0, last=3, index="sealed/1/4-a/index", index_bytes=300, live_bytes=9)
    second = Sealed(first=4, last=4, index="sealed/1/5-b/index", index_bytes=200, live_bytes=0)
    garbage = [
        Garbage(due_ms=_TIME_MS, segment=2, keep=[3]),
        Garbage(due_ms=_TIME_MS, keys=["sealed/1/3-c/index", "sealed/1/3-c/000000"]),
    ]
    yield "empty", encode_manifest(Manifest(number=_NUMBER, term=1))
    yield (
        "full",
        encode_manifest(
            Manifest(number=_NUMBER, term=7, sealed=[first, second], garbage=garbage, swept=4)
        ),
    )


def decode_any_manifest(data: bytes) -> Manifest:
    """Raises Corrupt."""
    return decode_manifest(data, _NUMBER)


def check_manifest(manifest: Manifest) -> None:
    """It says the same when it is written again, and what it covers is in order."""
    assert decode_manifest(encode_manifest(manifest), _NUMBER) == manifest
    assert manifest.covered >= -1
    assert all(row.first <= row.last <= manifest.covered for row in manifest.sealed)


def sealed_index_seeds() -> Iterator[tuple[str, bytes]]:
    yield (
        "two-objects",
        encode_index(
            first=2,
            last=4,
            objects=[ObjectRow("sealed/1/5-b/000000", 700), ObjectRow("logs/1/4/0", 90)],
            blocks=[BlockRow(0, 300, 200, 0, 4, 0), BlockRow(300, 400, 300, 0, 4, 1)],
            streams=[StreamRow(7, 1, 9, _TIME_MS, 400, _TIME_MS), StreamRow(9, 0, 2, -1, 100, -1)],
            runs=[Run(7, 0, 1, _TIME_MS, 0), Run(7, 1, 5, _TIME_MS, 200), Run(9, 1, 0, -1, 0)],
            created_ms=_TIME_MS,
        ),
    )
    yield (
        "nothing",
        encode_index(first=0, last=0, objects=[], blocks=[], streams=[], runs=[], created_ms=0),
    )


def decode_sealed_index(data: bytes) -> tuple[bytes, SealedIndex]:
    """Raises Corrupt."""
    return data, SealedIndex(_LOG, data)


def check_sealed_index(decoded: tuple[bytes, SealedIndex]) -> None:
    """It says the same as the index one would make of it, and no table leads a reader astray."""
    data, index = decoded
    rows, runs = list(index.streams()), list(index.all_runs())
    try:
        blocks = [index.block(number) for number in range(index.block_count)]
    except Corrupt:
        return  # a block in an object that is not named: whoever asks for it is told
    again = encode_index(
        first=index.first,
        last=index.last,
        objects=index.objects,
        blocks=blocks,
        streams=rows,
        runs=runs,
        created_ms=index.created_ms,
    )
    assert again == data
    for row in rows[:_ASKED_MAX_COUNT]:
        found = index.stream(row.stream_id)
        assert found is None or found.stream_id == row.stream_id
    for number in range(min(index.block_count, _ASKED_MAX_COUNT)):
        assert index.place(number).key in {row.key for row in index.objects}
