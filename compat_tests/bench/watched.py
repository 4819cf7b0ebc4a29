"""A gateway that notes its pauses: `python -m compat_tests.bench.watched FILE serve ...`.

Pauses of the garbage collector, and how late the event loop comes to what is due. Both are written
to FILE at the end.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from compat_tests.bench.report import percentile
from gateway.__main__ import main
from gateway.translated import finder

TICK_S = 0.002


class Pauses(NamedTuple):
    """Milliseconds."""

    collections_count: int
    collection_max_ms: float
    late_p99_ms: float
    late_max_ms: float


def read_pauses(path: Path) -> Pauses:
    return Pauses(**json.loads(path.read_text()))


class _Watch:
    def __init__(self) -> None:
        self.collections_ms: list[float] = []
        self.late_ms: list[float] = []
        self._begun_s = 0.0

    def collecting(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._begun_s = time.perf_counter()
        else:
            self.collections_ms.append((time.perf_counter() - self._begun_s) * 1000)

    async def tick(self) -> None:
        while True:
            begun_s = time.perf_counter()
            await asyncio.sleep(TICK_S)
            self.late_ms.append((time.perf_counter() - begun_s - TICK_S) * 1000)

    def pauses(self) -> Pauses:
        late = sorted(self.late_ms)
        return Pauses(
            len(self.collections_ms),
            max(self.collections_ms, default=0.0),
            percentile(late, 0.99),
            late[-1],
        )


def _watch(path: Path) -> None:
    """From when clients may connect; what the start takes is no pause."""
    finder.install()  # as `main` would, were it not too late then
    import gateway.serving

    announce, until_stopped = gateway.serving.announce_ready, gateway.serving.until_stopped
    watch = _Watch()

    def ready(*args: Any) -> None:
        gc.callbacks.append(watch.collecting)
        announce(*args)

    async def watched(*args: Any) -> None:
        ticking = asyncio.ensure_future(watch.tick())
        try:
            await until_stopped(*args)
        finally:
            ticking.cancel()
            path.write_text(json.dumps(watch.pauses()._asdict()))

    gateway.serving.announce_ready = ready
    gateway.serving.until_stopped = watched


if __name__ == "__main__":
    _watch(Path(sys.argv.pop(1)))
    main()
