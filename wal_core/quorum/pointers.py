"""Where the tail of a log begins: a numbered object, of which the newest counts. Source: FORMAT.md.

It names the first segment that may still lie on logstores, which these are, and the term of the
writer that created it. Like a manifest it is created conditionally: so none of a lower term comes
behind one of a higher.
"""

from __future__ import annotations

import msgspec

from wal_core.errors import Corrupt, Fenced
from wal_core.format.block import BlockIds, BlockKind, encode_payload
from wal_core.format.places import Place
from wal_core.format.versions import POINTER, version_in
from wal_core.quorum.members import Ensemble, Member
from wal_core.stores.objects.base import ObjectStore
from wal_core.stores.places import create_own, read_block

_KEPT_COUNT = 8
_NUMBER_DIGITS_COUNT = 20


class _Row(msgspec.Struct, frozen=True):
    store: str
    birth: str  # hex


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    version: int = POINTER.version
    number: int
    term: int
    segment: int
    ensemble: list[_Row]


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """One of them."""

    number: int
    term: int  # of the writer that created it; 0: made for the first one
    segment: int  # all before are in the bucket
    ensemble: Ensemble  # of that segment


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Stored)


def encode_pointer(pointer: Pointer) -> bytes:
    """JSON, like a manifest: people with nothing but the bucket must be able to read it."""
    rows = [_Row(member.store, member.birth.hex()) for member in pointer.ensemble]
    number, term, segment = pointer.number, pointer.term, pointer.segment
    return _encoder.encode(_Stored(number=number, term=term, segment=segment, ensemble=rows))


def decode_pointer(payload: bytes | memoryview) -> Pointer:
    """Raises Corrupt, Invalid for a version that is not read here."""
    try:
        found = _decoder.decode(payload)
        members = tuple(Member(row.store, bytes.fromhex(row.birth)) for row in found.ensemble)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        POINTER.check(version_in(payload, POINTER.version))
        raise Corrupt(f"a pointer is not readable: {error}") from None
    POINTER.check(found.version)
    number, term, segment = found.number, found.term, found.segment
    return Pointer(number=number, term=term, segment=segment, ensemble=members)


class Pointers:
    """Of one log. Every call is one attempt, and may be repeated."""

    def __init__(self, objects: ObjectStore, log_id: int, nonce: bytes) -> None:
        self._objects = objects
        self._log_id = log_id
        self._nonce = nonce

    async def newest(self) -> Pointer | None:
        """None: nobody has opened the log yet. Raises Corrupt: without it nobody can tell which
        logstores have the log."""
        while numbers := await self._numbers():
            place = self._place(numbers[-1])
            try:
                block = await read_block(self._objects, place)
            except Corrupt:
                if await self._objects.size(place.key) is None:
                    continue  # there are much newer ones
                raise
            return decode_pointer(block.data)
        return None

    async def commit(self, pointer: Pointer) -> None:
        """Make it the newest; durable on return. Raises Fenced if another is."""
        ids = BlockIds(self._log_id, pointer.number, 0, pointer.term, 0, self._nonce)
        encoded = encode_payload(BlockKind.POINTER, ids, encode_pointer(pointer))
        place = self._place(pointer.number)
        await create_own(self._objects, place, encoded.pieces)
        # A number that was deleted can be created again, by who was paused for so long.
        if await self._numbers(place.key):
            raise Fenced("another writer has moved the pointer", log_id=self._log_id)
        numbers = [n for n in await self._numbers() if n <= pointer.number - _KEPT_COUNT]
        if numbers:
            await self._objects.delete(*(self._place(number).key for number in numbers))

    async def _numbers(self, behind: str = "") -> list[int]:
        prefix = _prefix(self._log_id)
        rows = await self._objects.list(prefix, behind)
        names = [row.key.removeprefix(prefix) for row in rows]
        return [int(n) for n in names if len(n) == _NUMBER_DIGITS_COUNT and n.isdecimal()]

    def _place(self, number: int) -> Place:
        key = f"{_prefix(self._log_id)}{number:0{_NUMBER_DIGITS_COUNT}d}"
        return Place(key, 0, None, self._log_id, number, 0)


def _prefix(log_id: int) -> str:
    return f"tails/{log_id}/"
