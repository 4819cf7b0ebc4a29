"""An object store over a bucket: S3 and what speaks it, Google Cloud Storage, Azure.

All network work happens in the threads of the library (obstore), without the interpreter's lock.
Its in-memory and local-folder stores are not used: the one keeps a view of our buffers, the other
does not sync. Blocks are single PUTs: a conditional create cannot be a multi-part upload
everywhere, and our objects are far below the 5 GiB where one would be needed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from wal_core.config import MIB, CloudSettings
from wal_core.errors import Invalid, Unavailable, WalError
from wal_core.stores.deadline import deadline_s, expect
from wal_core.stores.objects.base import AlreadyExists, NotFound, ObjectInfo
from wal_core.stores.objects.cloud_endpoint import endpoint_of
from wal_core.stores.objects.cloud_errors import Kind, Problem, understand
from wal_core.stores.objects.cloud_location import open_backend, parse_location
from wal_core.stores.objects.cloud_remedies import REMEDIES
from wal_core.types import Buffer

if TYPE_CHECKING:
    from wal_core.stores.objects.cloud_location import Backend

_SMALL_PIECE_BYTES = 4 * 1024
"""Below this, copying a piece beside its neighbours is cheaper than handing it over by itself."""
_SMALL_BYTES_MAX = 256 * 1024
"""So much passes any line that is fast enough in half a second."""
_BULK_BYTES = 256 * MIB
"""What may be on its way at once at most, by the bounds of a log: `unconfirmed_bytes_max`."""
_PIECES_MAX_COUNT = 1_000
_LIST_CHUNK_COUNT = 1_000

T = TypeVar("T")


class CloudStore:
    """A bucket, from a prefix on. Make one with `open_cloud`."""

    def __init__(self, backend: Backend, bulk: Backend, location: str, where: str) -> None:
        import obstore  # noqa: PLC0415 - only with a bucket; 30 ms of start-up otherwise

        self._library = obstore
        self._backend = backend
        self._bulk = bulk  # the same with more patience: for what moves many bytes
        self._remedies = REMEDIES[location.partition("://")[0]]
        self.location = location
        self.where = where
        """For people: location, and endpoint where it is not the provider's own."""
        self.answered = False
        """The store has spoken at least once: the endpoint is right, patience is in order."""
        self.in_service = False
        """Set by whoever opened the location, once it was seen to work. From then on a refusal is
        not a wrong setting but most likely keys that are being exchanged: it is tried again."""
        self._puts: set[asyncio.Task[None]] = set()

    async def create(self, key: str, pieces: Sequence[Buffer]) -> None:
        # The library reads our memory until the request is over, also after a cancel. A task of
        # its own holds the pieces until then, whatever becomes of the caller.
        backend = self._for(sum(map(len, pieces)))
        put = asyncio.get_running_loop().create_task(self._put(backend, key, hand_over(pieces)))
        self._puts.add(put)
        put.add_done_callback(self._put_done)
        await asyncio.shield(put)

    def _for(self, bytes_count: int | None) -> Backend:
        """The library's own deadline of a request is a client's; ours, for every request its own,
        are shorter (deadline.py). None: nobody knows yet how many."""
        small = bytes_count is not None and bytes_count <= _SMALL_BYTES_MAX
        return self._backend if small else self._bulk

    async def _put(self, backend: Backend, key: str, parts: Sequence[Buffer]) -> None:
        await self._call(
            "create",
            key,
            lambda: self._library.put_async(
                backend, key, parts, mode="create", use_multipart=False
            ),
        )

    def _put_done(self, put: asyncio.Task[None]) -> None:
        self._puts.discard(put)
        if not put.cancelled():
            put.exception()  # seen: the caller may have gone

    async def get_range(self, key: str, start: int, length: int | None) -> Buffer:
        if length == 0:
            if await self.size(key) is None:
                raise NotFound(key)
            return b""
        try:
            return await self._call("read", key, lambda: self._get(key, start, length))
        except _OutOfRange:
            return b""

    async def _get(self, key: str, start: int, length: int | None) -> Buffer:
        library, backend = self._library, self._for(length)
        if length is not None:
            got = await library.get_range_async(backend, key, start=start, length=length)
            return memoryview(got)
        if start:
            result = await library.get_async(backend, key, options={"range": {"offset": start}})
        else:
            result = await library.get_async(backend, key)
        expect(result.meta["size"] - start)
        return memoryview(await result.bytes_async())

    async def list(self, prefix: str, start_after: str = "") -> Sequence[ObjectInfo]:
        # The library lists folders only, and not every store heeds the start: filter again. Sorted
        # already by nearly every store, which makes sorting cost one pass.
        folder = prefix.rpartition("/")[0]
        rows = await self._call(
            "list",
            prefix,
            lambda: self._library.list(
                self._backend,
                folder or None,
                offset=start_after or None,
                chunk_size=_LIST_CHUNK_COUNT,
            ).collect_async(),
        )
        return sorted(
            ObjectInfo(row["path"], row["size"], int(row["last_modified"].timestamp() * 1000))
            for row in rows
            if row["path"].startswith(prefix) and row["path"] > start_after
        )

    async def size(self, key: str) -> int | None:
        try:
            found = await self._call(
                "read", key, lambda: self._library.head_async(self._backend, key)
            )
        except NotFound:
            return None
        size: int = found["size"]
        return size

    async def delete(self, *keys: str) -> None:
        if len(keys) > 1:
            try:
                await self._delete(keys)
                return
            except NotFound:
                pass  # some stores stop at a missing one: one by one, then
        for key in keys:
            try:
                await self._delete(key)
            except NotFound:
                pass

    async def _delete(self, keys: str | Sequence[str]) -> None:
        first = keys if isinstance(keys, str) else keys[0]
        await self._call("delete", first, lambda: self._library.delete_async(self._backend, keys))

    async def close(self) -> None:
        puts = tuple(self._puts)
        for put in puts:
            put.cancel()
        await asyncio.gather(*puts, return_exceptions=True)

    async def _call(self, verb: str, key: str, answer: Callable[[], Awaitable[T]]) -> T:
        """Await the library, and translate what it raises."""
        try:
            result = await answer()
        except WalError:
            raise
        except Exception as error:
            problem = understand(error, self._remedies)
            self.answered = self.answered or problem.answered
            raise self._translated(verb, key, problem) from None
        self.answered = True
        return result

    def _translated(self, verb: str, key: str, problem: Problem) -> Exception:
        if problem.kind is Kind.EXISTS:
            return AlreadyExists(key)
        if problem.kind is Kind.OUT_OF_RANGE:
            return _OutOfRange(key)
        if problem.kind is Kind.MISSING:
            if verb != "create":
                return NotFound(key)
            # Some stores say no more than "404" when the bucket is missing.
            problem = problem._replace(text="the bucket does not exist; create it", answered=True)
        text = f"{self.where}: cannot {verb} {key or 'the bucket'}: {problem.text}"
        if problem.kind is Kind.LATER or self.in_service:
            return Unavailable(text)
        return Invalid(text)


class _OutOfRange(Exception):
    """The object ends before the range begins."""


def open_cloud(
    location: str,
    settings: CloudSettings | None = None,
    environ: Mapping[str, str] | None = None,
) -> CloudStore:
    """The store at `s3://bucket/prefix`, `gs://...` or `az://...`; nothing is sent yet.

    Raises Invalid. `environ` is the process's by default; the library reads that one too.
    """
    settings = settings or CloudSettings()
    environ = os.environ if environ is None else environ
    parsed = parse_location(location)
    backend = open_backend(parsed, settings, environ)
    bulk_ms = round(deadline_s(settings.timeout_ms, _BULK_BYTES) * 1000)
    patient = dataclasses.replace(settings, timeout_ms=bulk_ms)
    bulk = open_backend(parsed, patient, environ)
    endpoint = endpoint_of(parsed.scheme, settings, environ)
    where = f"{parsed} at {endpoint}" if endpoint else str(parsed)
    return CloudStore(backend, bulk, str(parsed), where)


def hand_over(pieces: Sequence[Buffer]) -> Sequence[Buffer]:
    """The pieces as the library takes them best: few and large ones as they are, small joined."""
    parts: list[Buffer] = []
    small: list[Buffer] = []
    for piece in pieces:
        if len(piece) < _SMALL_PIECE_BYTES:
            small.append(piece)
            continue
        if small:
            parts.append(b"".join(small))
            small = []
        parts.append(piece)
    if small:
        parts.append(b"".join(small))
    return parts if len(parts) <= _PIECES_MAX_COUNT else [b"".join(parts)]
