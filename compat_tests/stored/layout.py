"""The stored format a second time, as far as it says what belongs to a log.

Written from wal_core/FORMAT.md alone: this parser and ours can only agree if both do what the page
says.
"""

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

HEADER = struct.Struct("<4sHBBQQQIIIII16sI")
FOOTER_HEAD = struct.Struct("<4sHIIIIq")
INDEX_HEAD = struct.Struct("<4sHIIIIQQq")
OBJECT_ROW = struct.Struct("<QH")
FOOTER_BLOCK_BYTES, INDEX_BLOCK_BYTES, STREAM_BYTES, RUN_BYTES = 16, 32, 48, 36
DATA, COMPLETE, FENCE, MANIFEST, INDEX = 1, 2, 3, 4, 5
MANIFESTS_KEPT_COUNT = 8

Get = Callable[[str], bytes]


def _crc_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_CRC_OF_BYTE = [_crc_of_byte(byte) for byte in range(256)]


def crc32c(data: bytes) -> int:
    """CRC-32C, reflected."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_OF_BYTE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


@dataclass(frozen=True)
class Block:
    """A block's header, and what is behind its index."""

    kind: int
    segment: int
    number: int
    data: bytes


def parse(body: bytes, kinds: tuple[int, ...]) -> Block:
    """The one block that an object is; verified, so for small ones."""
    magic, version, kind, flags, _, segment, _, number, _, _, index_bytes, data_bytes, _, crc = (
        HEADER.unpack_from(body)
    )
    assert (magic, version, flags) == (b"WPB1", 3, 0)
    assert kind in kinds
    assert len(body) == HEADER.size + index_bytes + data_bytes
    assert crc32c(body[: HEADER.size - 4] + body[HEADER.size :]) == crc
    return Block(kind, segment, number, body[HEADER.size + index_bytes :])


def kind_of(body: bytes) -> int:
    """Without verifying anything."""
    return int(HEADER.unpack_from(body)[2])


def block_count(footer: Block) -> int:
    magic, version, blocks, *_ = FOOTER_HEAD.unpack_from(footer.data)
    assert (magic, version) == (b"WPF1", 1)
    return int(blocks)


def index_objects(index: Block) -> dict[str, int]:
    """Key and size of every object that an index names."""
    magic, version, objects, blocks, streams, runs, _, last, _ = INDEX_HEAD.unpack_from(index.data)
    assert (magic, version) == (b"WPI1", 1)
    assert last == index.segment
    at = INDEX_HEAD.size
    at += blocks * INDEX_BLOCK_BYTES + streams * STREAM_BYTES + runs * RUN_BYTES
    found: dict[str, int] = {}
    for _ in range(objects):
        size_bytes, key_bytes = OBJECT_ROW.unpack_from(index.data, at)
        at += OBJECT_ROW.size + key_bytes
        found[index.data[at - key_bytes : at].decode()] = size_bytes
    assert at == len(index.data)
    return found


@dataclass
class Layout:
    """Everything that belongs to log 0 of a bucket, mode object."""

    manifest: dict[str, Any] = field(default_factory=dict)
    named: dict[str, int | None] = field(default_factory=dict)  # size where a table says it
    garbage: set[str] = field(default_factory=set)
    completed: list[int] = field(default_factory=list)

    @property
    def sealed_count(self) -> int:
        return len(self.manifest["sealed"])


def layout_of(sizes: Mapping[str, int], get: Get) -> Layout:
    """That of the first data log, with all that is named, or waits for its deletion, of others."""
    found = _layout_of(sizes, get, 1)
    log_ids = {int(key.split("/")[1]) for key in sizes if key.startswith("manifests/")}
    for log_id in sorted(log_ids - {1}):
        other = _layout_of(sizes, get, log_id)
        found.named |= other.named
        found.garbage |= other.garbage
    return found


def _layout_of(sizes: Mapping[str, int], get: Get, log_id: int) -> Layout:
    """What the newest manifest, the indexes it names, and the footers behind it say there is."""
    found = Layout(named={"woodpecker.json": None})
    newest = max(int(key[-20:]) for key in sizes if key.startswith(f"manifests/{log_id}/"))
    block = parse(get(f"manifests/{log_id}/{newest:020d}"), (MANIFEST,))
    assert block.segment == newest
    found.manifest = json.loads(block.data)
    assert found.manifest["version"] == 1
    for number in range(max(0, newest - MANIFESTS_KEPT_COUNT + 1), newest + 1):
        found.named[f"manifests/{log_id}/{number:020d}"] = None
    covered = -1
    for row in found.manifest["sealed"]:
        assert row["first"] == covered + 1
        covered = row["last"]
        index = parse(get(row["index"]), (INDEX,))
        assert index.segment == covered
        found.named[row["index"]] = row["index_bytes"]
        found.named.update(index_objects(index))
    _segments(found, sizes, get, covered, log_id)
    for row in found.manifest["garbage"]:
        found.garbage.update(_garbage(row, sizes, log_id))
    assert not found.garbage & set(found.named), "what is needed waits for its deletion"
    return found


def _segments(found: Layout, sizes: Mapping[str, int], get: Get, covered: int, log_id: int) -> None:
    """Those behind what is sealed; only the last one may have no footer."""
    segments: dict[int, list[str]] = {}
    for key in sorted(sizes):
        if key.startswith(f"logs/{log_id}/") and int(key.split("/")[2]) > covered:
            segments.setdefault(int(key.split("/")[2]), []).append(key)
    assert list(segments) == list(range(covered + 1, covered + 1 + len(segments)))
    for segment, keys in segments.items():
        footers = [key for key in keys if kind_of(get(key)) in (COMPLETE, FENCE)]
        if not footers and segment == max(segments):
            found.named.update(dict.fromkeys(keys))
            continue
        footer = parse(get(footers[0]), (COMPLETE, FENCE))
        count = block_count(footer)
        assert (footer.segment, footer.number) == (segment, count)
        for number in range(count + 1):
            found.named[f"logs/{log_id}/{segment:020d}/{number:010d}"] = None
        found.completed.append(segment)


def _garbage(row: dict[str, Any], sizes: Mapping[str, int], log_id: int) -> set[str]:
    """What is there of it: it may have been deleted, and the manifest not yet say so."""
    keys = set(row.get("keys", ()))
    if "segment" in row:
        folder = f"logs/{log_id}/{row['segment']:020d}/"
        kept = {f"{folder}{number:010d}" for number in row.get("keep", ())}
        keys |= {key for key in sizes if key.startswith(folder)} - kept
    return keys & set(sizes)
