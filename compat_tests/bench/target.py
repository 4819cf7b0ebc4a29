"""Where a benchmark's data go, and what that place can do without a gateway before it."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

from compat_tests.bench.raw import Raw, append_and_sync, summary

T = TypeVar("T")
MB = 1_000_000
BUCKET = "bench"
# In parallel, as the gateway writes; the same library, client settings and conditional creates.
PUTS_IN_FLIGHT_COUNT = 8


class Target(Protocol):
    """A place for data. `flags` and `environ` are what a gateway needs to keep its data there."""

    data: str
    mode: str
    flags: tuple[str, ...]
    environ: Mapping[str, str]
    limit_name: str
    one_name: str
    scale: float

    def limit(self, total_bytes: int) -> Raw:
        """As fast as it goes, in blocks of 1 MB."""
        ...

    def one(self, block_bytes: int, count: int) -> Raw:
        """One durable write at a time."""
        ...


class FolderTarget:
    """A local folder, in file or object mode."""

    flags: tuple[str, ...] = ()
    environ: Mapping[str, str] = {}
    limit_name = "raw, 1 MB blocks"
    one_name = "one raw append + fdatasync"
    scale = 1.0

    def __init__(self, mode: str, folder: Path) -> None:
        self.mode = mode
        self.data = str(folder / "data")
        self._folder = folder

    def limit(self, total_bytes: int) -> Raw:
        return append_and_sync(self._folder, MB, total_bytes)

    def one(self, block_bytes: int, count: int) -> Raw:
        return append_and_sync(self._folder, block_bytes, block_bytes * count)


class BucketTarget:
    """A bucket of an S3 server on this machine, which shares its cores."""

    mode = "object"
    # What bounds a bill would be measured otherwise: the server answers faster than S3 could.
    flags: tuple[str, ...] = ("--writes-per-s-max", "100000")
    limit_name = f"raw, {PUTS_IN_FLIGHT_COUNT} PUTs of 1 MB"
    one_name = "one raw PUT"
    scale = 0.2  # the server keeps everything in memory

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.data = f"s3://{BUCKET}/data"
        self.environ = environ

    def limit(self, total_bytes: int) -> Raw:
        return measured(
            puts, dict(self.environ), MB, max(1, total_bytes // MB), PUTS_IN_FLIGHT_COUNT
        )

    def one(self, block_bytes: int, count: int) -> Raw:
        return measured(puts, dict(self.environ), block_bytes, count, 1)


def measured(work: Callable[..., T], *args: Any, **settings: Any) -> T:
    """Run `work` in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *args, **settings).result()


def puts(environ: Mapping[str, str], object_bytes: int, count: int, in_flight_count: int) -> Raw:
    """Plain PUTs by the library the gateway uses, `in_flight_count` at a time."""
    os.environ.update(environ)
    return asyncio.run(_puts(object_bytes, count, in_flight_count))


async def _puts(object_bytes: int, count: int, in_flight_count: int) -> Raw:
    import obstore
    from obstore.store import S3Store

    store = S3Store(BUCKET, prefix="raw", client_options={"allow_http": True})
    body = os.urandom(object_bytes)
    took_s: list[float] = []
    numbers = iter(range(count))

    async def worker(worker_number: int) -> None:
        for _ in numbers:
            begun = time.perf_counter()
            # Few keys, written again and again: the server has no memory for all.
            await obstore.put_async(store, f"object-{worker_number}", body, use_multipart=False)
            took_s.append(time.perf_counter() - begun)

    await obstore.put_async(store, "first", body, use_multipart=False)  # connects
    begun = time.perf_counter()
    await asyncio.gather(*map(worker, range(in_flight_count)))
    return summary(took_s, object_bytes, time.perf_counter() - begun)
