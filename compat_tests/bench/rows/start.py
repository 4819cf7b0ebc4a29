"""From exec to the first answer, and memory of a broker that has nothing to do."""

from __future__ import annotations

import compileall
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import gateway
import protocol
import wal_core
from compat_tests.bench.broker import Running
from compat_tests.bench.rounds import Measure, Row
from compat_tests.bench.sender import Load, fill
from compat_tests.bench.sides import Side, Sides, kafka

PACKAGES = gateway, protocol, wal_core
BLOCKS_COUNTS = (10, 1_000, 10_000)
LONE = Load([b"x" * 100])


def started(start: Callable[[], AbstractContextManager[Running]]) -> dict[str, float]:
    """One start over an empty place."""
    with start() as running:
        return {"start_ms": running.started_s * 1_000, "idle_mb": running.memory_mb()}


@contextmanager
def empty(sides: Sides) -> Iterator[Mapping[str, Measure]]:
    """Every start in a place of its own."""
    numbers = itertools.count()
    sides.s3_environ()  # a server that is there
    for package in PACKAGES:  # as every install leaves it; sources that were edited have none
        compileall.compile_dir(Path(package.__path__[0]), quiet=1)

    def of_kafka() -> AbstractContextManager[Running]:
        return kafka(sides.folder / f"start-{next(numbers)}")

    def of(mode: str) -> AbstractContextManager[Running]:
        return sides.serve(f"{mode}-start-{next(numbers)}")

    gateways = {mode: partial(started, partial(of, mode)) for mode in ("file", "object")}
    yield {"kafka": partial(started, of_kafka), **gateways}


@contextmanager
def behind_blocks(sides: Sides) -> Iterator[Mapping[str, Measure]]:
    """After a kill, behind so many blocks of one record each; noise is the shortest's."""
    counts = sorted({sides.sized(count) for count in BLOCKS_COUNTS})
    for count in counts:
        with sides.serve(f"file-{count}") as running:
            side = Side("file", running)
            fill(side, LONE._replace(requests=count), side.new_topic())
            running.process.kill()
    yield {f"{count:,} blocks": partial(_killed, sides, f"file-{count}") for count in counts}


def _killed(sides: Sides, name: str) -> dict[str, float]:
    with sides.serve(name) as running:
        running.process.kill()
        return {"start_ms": running.started_s * 1_000}


ROWS: Mapping[str, Row] = {
    "start": Row("from exec to the first answer, and idle", ("start_ms", "idle_mb"), empty),
    "start-behind": Row("a start after kill -9, file mode", ("start_ms",), behind_blocks),
}
