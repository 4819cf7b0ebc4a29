"""Who keeps a segment: three logstores, each under the birth that the log has there."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

from wal_core.errors import Corrupt
from wal_core.format.block import NONCE_BYTES
from wal_core.logstore.replica import Replica
from wal_core.types import Buffer

REPLICAS_COUNT, ACKS_COUNT = 3, 2
"""Every block goes to three logstores and is confirmed when two have it."""
COVERAGE_COUNT = REPLICAS_COUNT - ACKS_COUNT + 1
"""So many replies meet every two logstores that may have confirmed something."""

_HEAD = struct.Struct("<B")
_MEMBER = struct.Struct(f"<H{NONCE_BYTES}s")


class Member(NamedTuple):
    """A logstore, by its name, and the birth of the log on it."""

    store: str
    birth: bytes


Ensemble: TypeAlias = tuple[Member, ...]
"""Three, in no order that means anything."""


class Candidate(NamedTuple):
    """A logstore that is registered."""

    store: str
    rack: str = ""  # "": not told, like no other


class Logstores(Protocol):
    """Those that there are."""

    def replica(self, store: str) -> Replica | None:
        """None: it is not registered at the moment."""
        ...

    def candidates(self) -> Sequence[Candidate]:
        """Who may be asked to keep a log, the least loaded first."""
        ...


def chosen(candidates: Sequence[Candidate], others: Sequence[Candidate]) -> Candidate | None:
    """The next member beside others: in a rack of its own if there is one, else the first."""
    taken = {other.store for other in others}
    racks = {other.rack for other in others if other.rack}
    free = [row for row in candidates if row.store not in taken]
    return next((row for row in free if row.rack not in racks), free[0] if free else None)


def encode_ensemble(ensemble: Ensemble) -> bytes:
    """As it stands before the footer in a final (FORMAT.md)."""
    rows = [_HEAD.pack(len(ensemble))]
    for store, birth in ensemble:
        name = store.encode()
        rows.append(_MEMBER.pack(len(name), birth) + name)
    return b"".join(rows)


def parse_ensemble(stored: Buffer) -> tuple[Ensemble, Buffer]:
    """And what is behind it. Raises Corrupt."""
    view = memoryview(stored)
    members: list[Member] = []
    try:
        (count,) = _HEAD.unpack_from(view)
        at = _HEAD.size
        for _ in range(count):
            name_bytes, birth = _MEMBER.unpack_from(view, at)
            at += _MEMBER.size
            name = bytes(view[at : at + name_bytes])
            at += name_bytes
            if len(name) != name_bytes:
                raise Corrupt("the ensemble in a final ends too early")
            members.append(Member(name.decode(), birth))
    except (struct.error, UnicodeDecodeError) as error:
        raise Corrupt(f"the ensemble in a final cannot be read: {error}") from None
    if len({member.store for member in members}) != REPLICAS_COUNT:
        raise Corrupt(f"an ensemble has {REPLICAS_COUNT} logstores, not {len(members)}")
    return tuple(members), view[at:]
