"""A micro-benchmark of the log beside the raw limit of the same disk, in one run.

`python -m wal_core.testing.bench FOLDER`. The raw figures append the same bytes to a file with one
write and one fdatasync each; "window" is how many appends one writer keeps unconfirmed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from wal_core import (
    Changes,
    Entry,
    Log,
    LogConfig,
    Mode,
    SegmentStore,
    SystemClock,
    SystemRng,
    open_store,
)
from wal_core.stores.files import fdatasync, opened
from wal_core.testing.no_salvage import NoSalvage
from wal_core.types import Buffer

ROUNDS_COUNT = 3


class NoState:
    """A LogState without any."""

    changes = Changes()

    def restore(self, key: bytes, value: Buffer | None) -> None: ...
    def restored(self) -> None: ...
    def apply(self, entry: Entry) -> None: ...
    def values(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        return iter(())

    def confirmed(self, ends: Mapping[int, int]) -> None: ...
    def salvage(self) -> NoSalvage:
        return NoSalvage()


async def open_log(folder: Path, mode: Mode) -> tuple[SegmentStore, Log]:
    shutil.rmtree(folder, ignore_errors=True)
    store = await open_store(str(folder), mode)
    config = dataclasses.replace(LogConfig.preset(mode), unconfirmed_bytes_max=1 << 30)
    return store, await Log.open(store, NoState(), config, clock=SystemClock(), rng=SystemRng())


def raw_ms(folder: Path, size: int, count: int, loop: asyncio.AbstractEventLoop) -> float:
    """Milliseconds per write of `size` bytes plus fdatasync, through the page cache."""
    folder.mkdir(parents=True, exist_ok=True)
    body, path = os.urandom(size), folder / "raw"
    with opened(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC) as fd:
        start = loop.time()
        for n in range(count):
            os.pwrite(fd, body, n * size)
            fdatasync(fd)
        took_s = loop.time() - start
    path.unlink()
    return took_s / count * 1000


async def log_ms(folder: Path, mode: Mode, size: int, count: int, window: int) -> float:
    """Milliseconds per confirmed entry of `size` bytes."""
    store, log = await open_log(folder, mode)
    loop, body = asyncio.get_running_loop(), os.urandom(size)
    start = loop.time()
    waiting: list[asyncio.Future[None]] = []
    for n in range(count):
        waiting.append(log.append(1, n, 1, n, body))
        if len(waiting) >= window:
            await waiting.pop(0)
    if waiting:
        await asyncio.wait(set(waiting))
    took_s = loop.time() - start
    await log.close()
    await store.close()
    return took_s / count * 1000


async def append_us(folder: Path, count: int = 50_000) -> tuple[float, float]:
    """Microseconds of the event loop per 200-byte entry: in append, and until confirmed."""
    store, log = await open_log(folder, "file")
    loop, body = asyncio.get_running_loop(), memoryview(os.urandom(200))
    start = loop.time()
    for n in range(count):
        confirmed = log.append(1, n, 1, n, body)
    appended_s = loop.time() - start
    await confirmed
    all_s = loop.time() - start
    await log.close()
    await store.close()
    return appended_s / count * 1e6, all_s / count * 1e6


async def main(folder: Path) -> None:
    one, whole = await append_us(folder)
    say(f"append of 200 bytes: {one:.2f} us of the loop, {whole:.2f} us until confirmed")
    modes: tuple[Mode, ...] = ("file", "object")
    loop = asyncio.get_running_loop()
    for size, count in ((1 << 20, 100), (200, 300)):
        raws: list[float] = []
        logs: dict[tuple[Mode, int], list[float]]
        logs = {(mode, window): [] for mode in modes for window in (1, 4)}
        for _ in range(ROUNDS_COUNT):  # interleaved: a shared disk has moods
            raws.append(raw_ms(folder, size, count, loop))
            for (mode, window), figures in logs.items():
                figures.append(await log_ms(folder, mode, size, count, window))
        raw = statistics.median(raws)
        say(f"{size} bytes: raw write + fdatasync {raw:.3f} ms")
        for (mode, window), figures in logs.items():
            took = statistics.median(figures)
            say(f"  {mode:6} window {window}: {took:.3f} ms, {raw / took:.2f} of raw")
    shutil.rmtree(folder, ignore_errors=True)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) / "wal-bench"))
