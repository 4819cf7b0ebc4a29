"""What the device can do without a broker before it, and plain PUTs to the S3 server."""

from __future__ import annotations

import asyncio
import mmap
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from compat_tests.bench.report import percentile
from compat_tests.bench.sides import BUCKET

MB = 1_000_000
DIRECT_BYTES = 4 << 20
DIRECT_FILE_BYTES = 256 << 20
DIRECT_IN_FLIGHT = 4
SMALL_BYTES = 4096


@contextmanager
def prewritten(folder: Path, size: int) -> Iterator[int]:
    """A file whose blocks are all on the device, opened so that a write goes there at once and is
    durable when it returns: nothing but data has to be written."""
    path = folder / "device"
    block = os.urandom(DIRECT_BYTES)
    with path.open("wb") as made:
        for _ in range(0, size, len(block)):
            made.write(block)
        os.fsync(made.fileno())
    file = os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC)
    try:
        yield file
    finally:
        os.close(file)
        path.unlink()


def aligned(size: int) -> memoryview:
    """Bytes where O_DIRECT takes them from."""
    pages = mmap.mmap(-1, size)
    pages.write(os.urandom(size))
    return memoryview(pages)


def direct_writes(file: int, seconds: float) -> dict[str, float]:
    """Large writes all over the file, several in flight, each durable."""
    blocks = [aligned(DIRECT_BYTES) for _ in range(DIRECT_IN_FLIGHT)]
    end_s = time.perf_counter() + seconds

    def write_on(lane: int) -> int:
        written = 0
        lane_bytes = DIRECT_FILE_BYTES // DIRECT_IN_FLIGHT
        while time.perf_counter() < end_s:
            os.pwrite(file, blocks[lane], lane * lane_bytes + written % lane_bytes)
            written += DIRECT_BYTES
        return written

    begun_s = time.perf_counter()
    with ThreadPoolExecutor(DIRECT_IN_FLIGHT) as pool:
        total = sum(pool.map(write_on, range(DIRECT_IN_FLIGHT)))
    return {"mb_per_s": total / MB / (time.perf_counter() - begun_s)}


def small_writes(file: int, seconds: float) -> dict[str, float]:
    """One small durable write after the other."""
    block = aligned(SMALL_BYTES)
    took_ms: list[float] = []
    end_s = time.perf_counter() + seconds
    while (begun_s := time.perf_counter()) < end_s:
        os.pwrite(file, block, len(took_ms) * SMALL_BYTES % DIRECT_FILE_BYTES)
        took_ms.append((time.perf_counter() - begun_s) * 1_000)
    return latencies(took_ms)


def latencies(took_ms: list[float]) -> dict[str, float]:
    """Percentiles of a full recording."""
    ordered = sorted(took_ms)
    shares = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "p999_ms": 0.999}
    return {
        **{name: percentile(ordered, share) for name, share in shares.items()},
        "max_ms": ordered[-1],
    }


def puts(
    environ: Mapping[str, str],
    object_bytes: int,
    seconds: float,
    in_flight: int,
    every_s: float = 0.0,
) -> dict[str, float]:
    """Plain PUTs by the library the gateway uses, so many at a time, or one every so often."""
    os.environ.update(environ)
    return asyncio.run(_puts(object_bytes, seconds, in_flight, every_s))


async def _puts(
    object_bytes: int, seconds: float, in_flight: int, every_s: float
) -> dict[str, float]:
    import obstore
    from obstore.store import S3Store

    store = S3Store(BUCKET, prefix="raw", client_options={"allow_http": True})
    body = os.urandom(object_bytes)
    await obstore.put_async(store, "first", body, use_multipart=False)  # connects
    took_ms: list[float] = []
    begun_s = time.perf_counter()

    async def put_on(lane: int) -> None:
        number = 0
        while (at_s := time.perf_counter()) < begun_s + seconds:
            # Few keys, written again and again: the server has no memory for all.
            await obstore.put_async(store, f"object-{lane}", body, use_multipart=False)
            took_ms.append((time.perf_counter() - at_s) * 1_000)
            number += 1
            await asyncio.sleep(max(0.0, begun_s + number * every_s - time.perf_counter()))

    await asyncio.gather(*map(put_on, range(in_flight)))
    rate = len(took_ms) * object_bytes / MB / (time.perf_counter() - begun_s)
    return {"mb_per_s": rate, **latencies(took_ms)}
