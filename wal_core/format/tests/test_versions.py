"""Whatever is stored says its version, and another one is refused in a sentence that names both."""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from wal_core import Entry, Invalid, open_store
from wal_core.format import block as blocks
from wal_core.format import versions
from wal_core.format.block import (
    BlockIds,
    BlockKind,
    EncodedBlock,
    crc32c,
    encode_entries,
    encode_payload,
    parse_block,
)
from wal_core.format.checkpoint import encode_piece, iter_piece
from wal_core.format.footer import Footer, encode_footer_payload
from wal_core.format.logstore_records import (
    Final,
    Identity,
    Promise,
    encode_final,
    encode_identity,
    encode_promise,
    parse_final,
    parse_identity,
    parse_promise,
)
from wal_core.format.sealed_index import SealedIndex, encode_index
from wal_core.format.tests.test_block import PAGE
from wal_core.format.versions import Format
from wal_core.quorum.pointers import Pointer, decode_pointer, encode_pointer
from wal_core.stores.manifests import Manifest, decode_manifest, encode_manifest
from wal_core.stores.opening import _compare, _parse
from wal_core.stores.segments.end_note import EndNote, encode_end_note, parse_end_note
from wal_core.stores.segments.file import _note_term, _noted_term
from wal_core.tests.harness import Harness
from wal_core.write.handover import _CALL

IDS = BlockIds(0, 0, 0, 1, 0, bytes(16))
FOOTER = encode_footer_payload([], [], [], b"", 0)
NO_TABLES: dict[str, Any] = {"objects": [], "blocks": [], "streams": [], "runs": []}
OLDER, NEWER = "run the older version of it that wrote them", "run the newer version of it"


class Case(NamedTuple):
    """How one kind of bytes is written, made to say another version, and read."""

    format: Format
    stored: bytes
    of_version: Callable[[bytes, int], bytes]
    read: Callable[[bytes], object]


def field(at: int) -> Callable[[bytes, int], bytes]:
    """A number of two bytes."""
    return lambda stored, version: stored[:at] + struct.pack("<H", version) + stored[at + 2 :]


def joined(block: EncodedBlock) -> bytes:
    return b"".join(block.pieces)


def block_of(stored: bytes, version: int) -> bytes:
    """With a checksum that is right."""
    stored = field(4)(stored, version)
    head, behind = stored[: blocks.CRC_AT], stored[blocks.HEADER_BYTES :]
    return head + struct.pack("<I", crc32c(behind, crc32c(head))) + behind


def end_note_of(stored: bytes, version: int) -> bytes:
    body = field(4)(stored, version)[:-4]
    return body + struct.pack("<I", crc32c(body))


def headed(head_bytes: int) -> Callable[[bytes, int], bytes]:
    """A head that ends with the CRC of itself and what is behind it."""

    def of(stored: bytes, version: int) -> bytes:
        head, behind = field(4)(stored, version)[: head_bytes - 4], stored[head_bytes:]
        return head + struct.pack("<I", crc32c(behind, crc32c(head))) + behind

    return of


def other_json(stored: bytes, version: int) -> bytes:
    """In another version other fields are there, and ours are gone."""
    return json.dumps({"version": version, "term": 1, "else": []}).encode()


def lock_file() -> bytes:
    fd = os.memfd_create("lock")
    _note_term(fd, 7)
    stored = os.pread(fd, 100, 0)
    os.close(fd)
    return stored


CASES = {
    case.format.what: case
    for case in (
        Case(
            versions.LOG,
            b'{"format": 3, "mode": "file"}',
            lambda stored, version: stored.replace(b"3", b"%d" % version),
            lambda stored: _compare("woodpecker.json", _parse(stored), "file"),
        ),
        Case(
            versions.BLOCK,
            joined(encode_entries(IDS, [Entry(1, 0, 1, 1, 0, b"x")])),
            block_of,
            parse_block,
        ),
        Case(versions.FOOTER, FOOTER, field(4), lambda stored: Footer(2, 0, 1, stored)),
        Case(
            versions.SEALED_INDEX,
            encode_index(first=0, last=0, created_ms=0, changes=b"", **NO_TABLES),
            field(4),
            lambda stored: SealedIndex(0, stored),
        ),
        Case(
            versions.MANIFEST,
            encode_manifest(Manifest(number=3, term=1)),
            other_json,
            lambda stored: decode_manifest(stored, 3),
        ),
        Case(
            versions.PIECE,
            encode_piece([(b"k", b"v")]),
            field(0),
            lambda stored: list(iter_piece(stored)),
        ),
        Case(
            versions.END_NOTE,
            encode_end_note(EndNote(1, 2, bytes(16))),
            end_note_of,
            parse_end_note,
        ),
        Case(
            versions.PROMISE,
            encode_promise(Promise(1, bytes(16), 2, bytes(16))),
            end_note_of,
            parse_promise,
        ),
        Case(versions.FINAL, encode_final(Final(1, 2, 3, 4, b"footer")), headed(42), parse_final),
        Case(
            versions.IDENTITY,
            encode_identity(Identity(bytes(16), "cluster")),
            headed(28),
            parse_identity,
        ),
        Case(
            versions.POINTER,
            encode_pointer(Pointer(number=3, term=1, segment=2, ensemble=())),
            other_json,
            decode_pointer,
        ),
        Case(versions.LOCK_FILE, lock_file(), other_json, _noted_term),
    )
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def test_every_format_has_a_case():
    known = {one.what for one in vars(versions).values() if isinstance(one, Format)}
    assert known - {versions.HANDOVER.what} == set(CASES)
    assert json.loads(_CALL) == {"version": versions.HANDOVER.version}


@each_case
def test_what_is_written_is_read(case):
    case.read(case.stored)
    if case.of_version is not other_json:
        assert case.of_version(case.stored, case.format.version) == case.stored


@each_case
def test_an_older_and_a_newer_one_are_refused_by_name(case):
    for version, remedy in ((case.format.oldest - 1, OLDER), (case.format.version + 1, NEWER)):
        with pytest.raises(Invalid) as raised:
            case.read(case.of_version(case.stored, version))
        assert case.format.what.removeprefix("the ") in str(raised.value)
        both = sorted({case.format.oldest, case.format.version})
        reads = " or ".join(map(str, both))
        said = f"of version {version}, this program reads version {reads}: {remedy}"
        assert said in str(raised.value)


def test_two_versions_are_read_once_there_are_two():
    later = Format("a thing", 5, 4)
    later.check(4)
    later.check(5)
    for version in (3, 6):
        with pytest.raises(
            Invalid, match=f"a thing is of version {version}.* reads version 4 or 5"
        ):
            later.check(version)


def test_the_table_of_the_page_is_what_the_program_does():
    section = PAGE.split("<!-- table: versions -->")[1].split("\n\n")[0]
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| (\d+) \| (\d+|any) \|$", section, re.M)
    assert {what: (version, reads) for what, version, reads in rows} == {
        one.what: (str(one.version), "any" if one is versions.HANDOVER else str(one.oldest))
        for one in vars(versions).values()
        if isinstance(one, Format)
    }


def another_block(stored: bytes) -> bytes:
    total = blocks.parse_header(stored).total_bytes
    return block_of(stored[:total], 4) + stored[total:]


def another_footer(stored: bytes) -> bytes:
    block = parse_block(stored)
    ids = BlockIds(*(getattr(block.header, name) for name in BlockIds._fields))
    return joined(encode_payload(BlockKind(block.header.kind), ids, field(4)(bytes(block.data), 2)))


def stored_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("slot", "make_another", "said"),
    [
        (1, another_block, "a block is of version 4"),
        (3, another_block, "a block is of version 4"),
        (3, another_footer, "a footer is of version 2"),
    ],
)
async def test_a_log_is_refused_whole_and_left_as_it_is(slot, make_another, said, tmp_path):
    """It is not taken for damage, of which a start would make the best."""
    store = await open_store(str(tmp_path), "object")
    h = await Harness.open(store)
    for _ in range(3):
        await h.add(1, b"x")
    (path,) = (tmp_path / "logs" / "0").glob(f"*/{2:010d}")
    if slot < 3:
        await h.crash()
    else:
        await h.log.close()
    path = path.with_name(f"{slot:010d}")
    path.write_bytes(make_another(path.read_bytes()))
    before = stored_in(tmp_path)
    with pytest.raises(Invalid, match=said):
        await Harness.open(store)
    assert stored_in(tmp_path) == before
    await store.close()


async def test_a_file_is_refused_and_not_cut(tmp_path):
    store = await open_store(str(tmp_path), "file")
    h = await Harness.open(store)
    await h.add(1, b"x")
    await h.add(1, b"y")
    await h.crash()
    path = tmp_path / "logs" / "0" / f"{0:020d}.seg"
    content = path.read_bytes()
    first = blocks.parse_header(content).total_bytes
    path.write_bytes(content[:first] + another_block(content[first:]))
    before = stored_in(tmp_path)
    with pytest.raises(Invalid, match="a block is of version 4"):
        await Harness.open(store)
    assert stored_in(tmp_path) == before
    await store.close()
