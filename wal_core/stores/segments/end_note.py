"""How far the newest segment file was durable, noted beside it in the lock file. Source: FORMAT.md.

A torn tail looks like a file that somebody has cut, and a file that is gone like one that never
was. The note tells them apart: it is written after each sync of the file, without a sync of its
own, so it costs a few microseconds. After a kill it is exact, after a power cut it may be older,
and it never says more than was durable.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import NamedTuple

from wal_core.format.block import crc32c
from wal_core.format.versions import END_NOTE
from wal_core.stores.files import opened, pread_exact

_NOTE = struct.Struct("<4sHQQ16sI")
_MAGIC = b"WPE1"
NOTE_AT = 512
"""In the lock file: in another sector than the term, so a torn write of one spares the other."""


class EndNote(NamedTuple):
    """What is known of the newest segment file."""

    segment: int
    bytes_count: int  # of data blocks that were durable, at least
    nonce: bytes  # of its writer


def encode_end_note(note: EndNote) -> bytes:
    body = _NOTE.pack(_MAGIC, END_NOTE.version, *note, 0)[:-4]
    return body + struct.pack("<I", crc32c(body))


def parse_end_note(content: bytes) -> EndNote | None:
    """None when these bytes are no note. Raises Invalid for a version that is not read here."""
    if len(content) != _NOTE.size:
        return None
    magic, version, *fields, crc = _NOTE.unpack(content)
    if magic != _MAGIC or crc32c(content[:-4]) != crc:
        return None
    END_NOTE.check(version)
    return EndNote(*fields)


def read_end_note(lock_file: Path) -> EndNote | None:
    """Blocking. None when there is none, or none that is whole."""
    try:
        with opened(lock_file, os.O_RDONLY) as fd:
            return parse_end_note(pread_exact(fd, _NOTE.size, NOTE_AT))
    except FileNotFoundError:
        return None


def write_end_note(lock_fd: int, note: bytes) -> None:
    """Blocking. Not made durable: an older note says less, but nothing wrong."""
    os.pwrite(lock_fd, note, NOTE_AT)
