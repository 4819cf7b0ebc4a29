"""Mode quorum: three brokers, each with a logstore, their etcd and bucket, all on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from compat_tests.bench import quorum
from compat_tests.bench.isolated import isolated
from compat_tests.bench.rounds import Measure, Row
from compat_tests.bench.rows.distant import CLIENTS, TICKS_S, ticked
from compat_tests.bench.rows.produce import BYTES_METRICS, WAITS, of_all, row, sent
from compat_tests.bench.sender import Load, send
from compat_tests.bench.sides import Side, Sides
from wal_core.testing.bench_logstores import bare_at_a_rate

RECORD = [b"x" * 1024]
STEADY = Load(RECORD, seconds=5.0, rate=1_000)
FULL = Load(RECORD, connections=64)
BATCHES = Load(RECORD * 60, partitions=6, connections=6, in_flight=2)
"""About what a client makes of 64 KiB."""
START_S = 2.0
"""Until the client of the ticks has begun."""
BACKFILL = Load([b"x" * 100_000] * 10, connections=2, in_flight=8, rate=50)


@contextmanager
def steady(sides: Sides) -> Iterator[Mapping[str, Measure]]:
    """Beside three processes that do no more than receive, write, sync and answer."""
    seconds = STEADY.seconds * sides.scale
    bare = partial(isolated, bare_at_a_rate, sides.folder, seconds, STEADY.rate)
    with of_all(STEADY, "quorum", "file", sides=sides) as found:
        yield {"three bare": bare, **found}


@contextmanager
def half(sides: Sides) -> Iterator[Mapping[str, Measure]]:
    """Half as many requests as it can take, with all logstores and with one that stands still."""
    side = sides.get("quorum-apart")
    load = STEADY._replace(rate=sent(side, FULL, sides.scale)["requests_per_s"] / 2)
    seconds = load.seconds * sides.scale
    alive = partial(_at_rate, side, load, sides.scale)

    def without_one() -> dict[str, float]:
        with quorum.stopped(side.running.others[0]):
            return alive()

    bare = partial(isolated, bare_at_a_rate, sides.folder, seconds, load.rate)
    yield {"three bare": bare, "all logstores": alive, "one stopped": without_one}


def _at_rate(side: Side, load: Load, scale: float) -> dict[str, float]:
    return {**sent(side, load, scale), "offered_per_s": load.rate}


@contextmanager
def ticks(sides: Sides) -> Iterator[Mapping[str, Measure]]:
    """Rounds of one small record to each of sixteen topics, alone and beside a backfill."""
    side, seconds = sides.get("quorum"), max(1.0, TICKS_S * sides.scale)
    library, _, settings = CLIENTS[0]
    alone = partial(ticked, library, side, settings, seconds)

    def beside() -> dict[str, float]:
        with ThreadPoolExecutor(1) as pool:
            filling = pool.submit(send, side, BACKFILL._replace(seconds=seconds + START_S))
            seen = alone()
            filled = filling.result()
        return {**seen, "backfill_mb_per_s": filled.figures(BACKFILL)["mb_per_s"]}

    yield {"alone": alone, "beside 50 MB/s": beside}


ROWS: Mapping[str, Row] = {
    "quorum": Row(
        "1,000 requests a second of a record of 1 KiB, three brokers with a logstore each",
        (*WAITS, "cpu_us_per_request"),
        steady,
    ),
    "quorum-half": Row(
        "half as many requests of a record of 1 KiB as one broker with three logstores takes",
        ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms", "offered_per_s"),
        half,
    ),
    "quorum-batches": row(
        "batches of 60 records of 1 KiB, 6 partitions and connections, 2 in flight on each",
        ("requests_per_s", *BYTES_METRICS),
        BATCHES,
        *("file", "quorum"),
    ),
    "quorum-ticks": Row(
        "a small record to each of 16 topics, three brokers with a logstore each",
        ("p50_ms", "p99_ms", "backfill_mb_per_s"),
        ticks,
    ),
}
