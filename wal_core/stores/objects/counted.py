"""An object store whose requests are counted, by kind, as a provider bills them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from wal_core.stores.objects.base import AlreadyExists, NotFound, ObjectInfo, ObjectStore
from wal_core.tally import Requests, StoreTally
from wal_core.types import Buffer

KEYS_A_REQUEST_COUNT = 1_000
"""So many rows a listing has a page, so many objects one request deletes (S3)."""


class CountedObjects:
    """Passes everything on to another store."""

    def __init__(self, objects: ObjectStore, tally: StoreTally) -> None:
        self._objects = objects
        self._tally = tally
        self.location = objects.location

    async def create(self, key: str, pieces: Sequence[Buffer]) -> None:
        with _counted(self._tally.put):
            await self._objects.create(key, pieces)
        self._tally.put.bytes_count += sum(map(len, pieces))
        self._tally.created_count += 1

    async def get_range(self, key: str, start: int, length: int | None) -> Buffer:
        with _counted(self._tally.get):
            got = await self._objects.get_range(key, start, length)
        self._tally.get.bytes_count += len(got)
        return got

    async def list(self, prefix: str, start_after: str = "") -> Sequence[ObjectInfo]:
        with _counted(self._tally.list):
            rows = await self._objects.list(prefix, start_after)
        self._tally.list.count += max(len(rows) - 1, 0) // KEYS_A_REQUEST_COUNT
        return rows

    async def size(self, key: str) -> int | None:
        with _counted(self._tally.get):
            return await self._objects.size(key)

    async def delete(self, *keys: str) -> None:
        if not keys:
            return
        with _counted(self._tally.delete):
            await self._objects.delete(*keys)
        self._tally.delete.count += (len(keys) - 1) // KEYS_A_REQUEST_COUNT
        self._tally.deleted_count += len(keys)

    async def close(self) -> None:
        await self._objects.close()


@contextmanager
def _counted(requests: Requests) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    requests.count += 1
    requests.in_flight_count += 1
    try:
        yield
    except (AlreadyExists, NotFound):
        requests.seconds.add(loop.time() - began_s)  # an answer like any other
        raise
    except BaseException:  # cancelled, too: its deadline was over
        requests.failed_count += 1
        raise
    else:
        requests.seconds.add(loop.time() - began_s)
    finally:
        requests.in_flight_count -= 1
