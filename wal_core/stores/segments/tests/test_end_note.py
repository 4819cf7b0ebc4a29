"""The note of how far a segment file was durable: whole or none."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from wal_core.errors import Invalid
from wal_core.format.block import crc32c
from wal_core.format.versions import END_NOTE
from wal_core.stores.files import opened
from wal_core.stores.segments.end_note import (
    NOTE_AT,
    EndNote,
    encode_end_note,
    parse_end_note,
    read_end_note,
    write_end_note,
)

NOTE = EndNote(7, 1 << 40, bytes(range(16)))


def test_a_note_comes_back_and_any_damage_makes_it_none():
    content = encode_end_note(NOTE)
    assert parse_end_note(content) == NOTE
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1
        assert parse_end_note(bytes(damaged)) is None
        assert parse_end_note(content[:at]) is None
    assert parse_end_note(content + b"x") is None


def test_a_note_of_another_version_is_refused_by_name():
    body = bytearray(encode_end_note(NOTE)[:-4])
    struct.pack_into("<H", body, 4, END_NOTE.version + 1)
    with pytest.raises(Invalid):
        parse_end_note(bytes(body) + struct.pack("<I", crc32c(bytes(body))))


def test_the_newest_note_stands_beside_the_term(tmp_path: Path):
    lock_file = tmp_path / "lock"
    assert read_end_note(lock_file) is None
    lock_file.write_bytes(b"term")
    assert read_end_note(lock_file) is None
    with opened(lock_file, os.O_RDWR) as fd:
        write_end_note(fd, encode_end_note(NOTE))
        write_end_note(fd, encode_end_note(NOTE._replace(bytes_count=5)))
    assert read_end_note(lock_file) == NOTE._replace(bytes_count=5)
    assert lock_file.read_bytes()[:4] == b"term"
    assert lock_file.stat().st_size > NOTE_AT
