"""What the device can do: append blocks of one size to a file, fdatasync after each."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from compat_tests.bench.report import percentile


class Raw(NamedTuple):
    mb_per_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float


def append_and_sync(folder: Path, block_bytes: int, total_bytes: int) -> Raw:
    """One writer, one file, one block at a time: the rate and the latency of a durable append."""
    block = os.urandom(block_bytes)
    path = folder / "raw-limit"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    took_s = []
    try:
        begun = time.perf_counter()
        for _ in range(max(1, total_bytes // block_bytes)):
            at = time.perf_counter()
            os.write(file, block)
            os.fdatasync(file)
            took_s.append(time.perf_counter() - at)
        elapsed_s = time.perf_counter() - begun
    finally:
        os.close(file)
        path.unlink()
    return summary(took_s, block_bytes, elapsed_s)


def summary(took_s: list[float], block_bytes: int, elapsed_s: float) -> Raw:
    """Rate and latencies of writes of one size."""
    took_ms = sorted(t * 1000 for t in took_s)
    return Raw(
        len(took_s) * block_bytes / 1e6 / elapsed_s,
        percentile(took_ms, 0.5),
        percentile(took_ms, 0.99),
        percentile(took_ms, 0.999),
    )
