"""What a logstore writes down besides blocks: its identity, a promise, and a segment's final.
Source: FORMAT.md.

Each is a small file of its own, created whole or not at all under a name that says its term; so
one that is there and cannot be read is damaged, never torn.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from wal_core.errors import Corrupt
from wal_core.format.block import crc32c
from wal_core.format.versions import FINAL, IDENTITY, PROMISE, Format
from wal_core.types import Buffer

_PROMISE = struct.Struct("<4sHQ16sQ16sI")
_PROMISE_MAGIC = b"WPP1"
_FINAL_HEAD = struct.Struct("<4sHQQQIII")
_FINAL_MAGIC = b"WPL1"
_IDENTITY_HEAD = struct.Struct("<4sH16sHI")
_IDENTITY_MAGIC = b"WPD1"
_CRC = struct.Struct("<I")


class Identity(NamedTuple):
    """Which disk a logstore is, and whose."""

    disk: bytes  # drawn when the logstore's folder was made: what it has lost, it lost under this
    cluster: str  # empty: of none yet


class Promise(NamedTuple):
    """To whom a logstore has promised a log, the last time."""

    log_id: int
    birth: bytes  # of the log on this logstore: whoever lost it and has it anew has another
    term: int
    nonce: bytes


class Final(NamedTuple):
    """A segment's end, as a logstore has taken it."""

    log_id: int
    segment: int
    term: int  # under which it was taken
    end: int  # number of data blocks
    footer: bytes  # a whole footer block


def encode_identity(identity: Identity) -> bytes:
    cluster = identity.cluster.encode()
    head = _IDENTITY_HEAD.pack(_IDENTITY_MAGIC, IDENTITY.version, identity.disk, len(cluster), 0)[
        : -_CRC.size
    ]
    return head + _CRC.pack(crc32c(cluster, crc32c(head))) + cluster


def parse_identity(stored: Buffer) -> Identity:
    """Raises Corrupt, and Invalid for a version that is not read here."""
    if len(stored) < _IDENTITY_HEAD.size:
        raise Corrupt(
            f"an identity has at least {_IDENTITY_HEAD.size} bytes, there are {len(stored)}"
        )
    magic, version, disk, cluster_bytes, crc = _IDENTITY_HEAD.unpack_from(stored)
    view = memoryview(stored)
    head, cluster = view[: _IDENTITY_HEAD.size - _CRC.size], view[_IDENTITY_HEAD.size :]
    whole = magic == _IDENTITY_MAGIC and crc == crc32c(cluster, crc32c(head))
    _check(whole and len(cluster) == cluster_bytes, IDENTITY, version)
    try:
        return Identity(disk, str(cluster, "utf-8"))
    except UnicodeDecodeError as error:
        raise Corrupt(f"an identity names a cluster that is no text: {error}") from error


def encode_promise(promise: Promise) -> bytes:
    body = _PROMISE.pack(_PROMISE_MAGIC, PROMISE.version, *promise, 0)[: -_CRC.size]
    return body + _CRC.pack(crc32c(body))


def parse_promise(stored: Buffer) -> Promise:
    """Raises Corrupt, and Invalid for a version that is not read here."""
    if len(stored) != _PROMISE.size:
        raise Corrupt(f"a promise has {_PROMISE.size} bytes, there are {len(stored)}")
    magic, version, *fields, crc = _PROMISE.unpack(stored)
    view = memoryview(stored)
    _check(magic == _PROMISE_MAGIC and crc == crc32c(view[: -_CRC.size]), PROMISE, version)
    return Promise(*fields)


def encode_final(final: Final) -> bytes:
    head = _FINAL_HEAD.pack(
        _FINAL_MAGIC,
        FINAL.version,
        final.log_id,
        final.segment,
        final.term,
        final.end,
        len(final.footer),
        0,
    )[: -_CRC.size]
    return head + _CRC.pack(crc32c(final.footer, crc32c(head))) + final.footer


def parse_final(stored: Buffer) -> Final:
    """Raises Corrupt, and Invalid for a version that is not read here."""
    if len(stored) < _FINAL_HEAD.size:
        raise Corrupt(f"a final has at least {_FINAL_HEAD.size} bytes, there are {len(stored)}")
    magic, version, log_id, segment, term, end, footer_bytes, crc = _FINAL_HEAD.unpack_from(stored)
    view = memoryview(stored)
    head, footer = view[: _FINAL_HEAD.size - _CRC.size], view[_FINAL_HEAD.size :]
    whole = magic == _FINAL_MAGIC and crc == crc32c(footer, crc32c(head))
    _check(whole and len(footer) == footer_bytes, FINAL, version)
    return Final(log_id, segment, term, end, bytes(footer))


def _check(whole: bool, kind: Format, version: int) -> None:
    if not whole:
        raise Corrupt(f"{kind.what} is damaged")
    kind.check(version)
