"""Manifests: which segments are sealed, and what may be deleted. Source: FORMAT.md.

A manifest is a numbered object, created conditionally; the one with the highest number counts. So
each of them is one atomic act, and whoever builds on an older one than the newest fails.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import msgspec

from wal_core.errors import REMEDY, Corrupt, Fenced, Unavailable
from wal_core.format.block import BlockIds, BlockKind, encode_payload
from wal_core.format.chain import Sealed
from wal_core.format.places import Place
from wal_core.format.versions import MANIFEST, version_in
from wal_core.stores.objects.base import ObjectStore
from wal_core.stores.persistence import Persistence
from wal_core.stores.places import create_own, read_block

KEPT_COUNT = 8
"""Manifests left behind the newest: for people, and for whoever reads a slightly older one."""
_NUMBER_DIGITS_COUNT = 20

_logger = logging.getLogger(__name__)


class Superseded(Fenced):
    """There are later manifests. They may build on this one, created in time although its creator
    hears of it only now: so what it names must be left alone.
    """


class Garbage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What no manifest names as live any more: deleted once `due_ms` has passed.

    Either a segment with everything in it but the slots in `keep`, or single objects.
    """

    due_ms: int
    segment: int | None = None
    keep: list[int] = []
    keys: list[str] = []
    is_fence: bool = False  # kept for `fence_grace_ms`, for want of room as well


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the truth about a log's past."""

    version: int = MANIFEST.version
    number: int  # -1: there is none yet
    term: int  # of the writer that committed it
    sealed: list[Sealed] = []  # in order; together they cover 0..covered
    garbage: list[Garbage] = []
    swept: int = -1  # folders below sealed/ up to this number hold nothing that is not named

    @property
    def covered(self) -> int:
        """The last segment that sealed ones stand for, -1 when there is none."""
        return self.sealed[-1].last if self.sealed else -1


NO_MANIFEST = Manifest(number=-1, term=0)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Manifest)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not what they should be."""


def encode_manifest(manifest: Manifest) -> bytes:
    """The payload of its block: JSON, because a person with nothing but the bucket must be able
    to read where the data are."""
    return _encoder.encode(manifest)


def decode_manifest(payload: bytes | memoryview, number: int) -> Manifest:
    """Raises Corrupt, Invalid for a version that is not read here."""
    try:
        manifest = _decoder.decode(payload)
    except _UNREADABLE as error:
        MANIFEST.check(version_in(payload, MANIFEST.version))
        raise Corrupt(f"manifest {number} is not readable: {error}") from None
    MANIFEST.check(manifest.version)
    last = -1
    for sealed in manifest.sealed:
        if not last < sealed.first <= sealed.last:
            raise Corrupt(f"manifest {number}: sealed segments are not in order")
        last = sealed.last
    if manifest.number != number:
        raise Corrupt(f"manifest {number} says it is {manifest.number}")
    return manifest


LOG_FOLDERS = ("logs", "manifests", "sealed")
"""What is stored of a log lies below its id in these. In this order: what a manifest names was
written before it."""


def manifest_key(log_id: int, number: int) -> str:
    """Of the object that a manifest is (FORMAT.md)."""
    return f"{_prefix(log_id)}{number:0{_NUMBER_DIGITS_COUNT}d}"


def manifest_numbers(log_id: int, keys: Iterable[str]) -> list[int]:
    """Of the manifests among some keys, ascending. What else lies there is no manifest and counts
    for nothing."""
    names = [key.removeprefix(_prefix(log_id)) for key in keys]
    return sorted(
        int(name)
        for name in names
        if len(name) == _NUMBER_DIGITS_COUNT and name.isascii() and name.isdigit()
    )


def _prefix(log_id: int) -> str:
    return f"manifests/{log_id}/"


class Manifests:
    """The manifests of one log."""

    def __init__(
        self, objects: ObjectStore, log_id: int, persist: Persistence, nonce: bytes
    ) -> None:
        self._objects = objects
        self._log_id = log_id
        self._persist = persist
        self._nonce = nonce
        self._told: set[int] = set()  # numbers of damaged ones

    async def numbers(self, behind: str = "") -> list[int]:
        """Of all that exist, or whose key sorts behind one, ascending."""
        prefix = _prefix(self._log_id)
        rows = await self._persist(lambda: self._objects.list(prefix, behind))
        return manifest_numbers(self._log_id, (row.key for row in rows))

    async def newest(self) -> Manifest:
        """NO_MANIFEST when there is none.

        If it cannot be read, the newest that can stands in, under the number of the newest. What it
        seals may have been sealed again since, and what nothing names may be needed: nothing is to
        be swept.
        """
        while numbers := await self.numbers():
            newest = numbers[-1]
            found = NO_MANIFEST
            try:
                for number in reversed(numbers):
                    try:
                        found = await self.read(number)
                        break
                    except Corrupt as error:
                        if newest not in self._told:
                            _logger.error("%s; an older one stands in%s", error, REMEDY)
            except _Gone:
                continue  # deleted between the two calls: there are much newer ones
            if found.number == newest:
                return found
            self._told.add(newest)
            return msgspec.structs.replace(found, number=newest, swept=newest)
        return NO_MANIFEST

    async def read(self, number: int) -> Manifest:
        """Raises Corrupt."""
        place = self._place(number)

        async def read() -> Manifest:
            block = await read_block(self._objects, place)
            if block.header.kind != BlockKind.MANIFEST:
                raise Corrupt(f"{place.key} is no manifest")
            return decode_manifest(block.data, number)

        async def read_or_gone() -> Manifest:
            try:
                return await read()
            except Corrupt:
                if await self._objects.size(place.key) is None:
                    raise _Gone(f"{place.key} is gone") from None
                raise

        return await self._persist(read_or_gone)

    async def commit(self, manifest: Manifest) -> None:
        """Make it the newest; durable on return. Raises Fenced when somebody was there before.

        Old manifests are deleted, and a number that was deleted can be created again: by somebody
        who was paused for that long. So it is asked afterwards whether there is one behind it (the
        newest is never deleted). Raises Superseded if there is.
        """
        number = manifest.number
        ids = BlockIds(self._log_id, number, 0, manifest.term, 0, self._nonce)
        encoded = encode_payload(BlockKind.MANIFEST, ids, encode_manifest(manifest))
        place = self._place(number)
        taken: Fenced | None = None
        try:
            await self._persist(lambda: create_own(self._objects, place, encoded.pieces))
        except Fenced as error:
            taken = error
        if await self.numbers(place.key):
            raise Superseded("another writer has gone on meanwhile", log_id=self._log_id)
        if taken is not None:
            raise taken

    async def delete(self, number: int) -> None:
        """Remove one that is too old to be of use."""
        if number >= 0:
            key = self._place(number).key
            await self._persist(lambda: self._objects.delete(key))

    async def prune(self, newest: int) -> None:
        """Delete the ones that are too old to be of use."""
        old = [n for n in await self.numbers() if n <= newest - KEPT_COUNT]
        if old:
            keys = [self._place(number).key for number in old]
            await self._persist(lambda: self._objects.delete(*keys))

    def _place(self, number: int) -> Place:
        return Place(manifest_key(self._log_id, number), 0, None, self._log_id, number, 0)


class _Gone(Unavailable):
    """It was there when it was listed."""

    retriable = False
