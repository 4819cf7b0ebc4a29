"""What readers cost others: acks beside a lagging consumer, the tail of a log beside a backfill.

Whoever is beside them shares the machine's cores, too. So there are strangers who only take cores,
and another gateway's readers: what more is lost to one's own is the gateway's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from compat_tests.bench.device import latencies
from compat_tests.bench.isolated import isolated
from compat_tests.bench.light_reader import reading
from compat_tests.bench.readers import Background, read_on, spin, tail_waits_ms
from compat_tests.bench.rounds import Measure, Row
from compat_tests.bench.sender import Load, fill, send
from compat_tests.bench.sides import Side, Sides

ACKS = Load([b"x" * 100])
WAITS = ("p50_ms", "p99_ms", "p999_ms", "max_ms")
READS = ("read_records_per_s", "first_read_records_per_s", "reader_cpu_share")
LONE_BLOCKS_COUNT = 20_000
BACKFILL_BYTES = 1_000_000_000
BATCH = [b"x" * 100_000] * 10
STRANGERS = 2  # as many as a librdkafka reader has busy threads
TAIL_S = 5.0
Beside = Callable[[], AbstractContextManager[object]]


@contextmanager
def lagging(sides: Sides) -> Iterator[Mapping[str, Measure]]:
    """Acks beside a reader of blocks of one record each, of a gateway that has just started.

    Both clients are in C, so that what the reader adds is the gateway's work for it. A consumer in
    Python keeps more than a core busy by itself, and with two of them whoever is beside it waits
    for a turn of the processors: what strangers do to acks that have nothing to read. It is shown,
    too.
    """
    count = sides.sized(LONE_BLOCKS_COUNT)
    with sides.serve("file-lagging") as running:
        side = Side("file-lagging", running)
        old = side.new_topic()
        fill(side, ACKS._replace(requests=count), old)
        if side.records_count(old, 1) != count:
            raise RuntimeError(f"fewer than {count} blocks could be written in time")
    load = ACKS._replace(seconds=ACKS.seconds * sides.scale)
    numbers = itertools.count()

    def acks(beside: Callable[[Side], AbstractContextManager[object]]) -> dict[str, float]:
        with sides.serve("file-lagging") as running:
            side = Side(f"file-lagging-acks-{next(numbers)}", running)
            with beside(side) as seen:
                found = send(side, load).figures(load)
            if isinstance(seen, list):
                (read,) = seen
                found |= read.figures(count)
            return found

    yield {
        "alone": partial(acks, lambda _: nullcontext()),
        "beside strangers": partial(acks, lambda _: Background(STRANGERS, spin)),
        "beside a reader": partial(acks, lambda side: reading(side, old, count)),
        "beside a consumer": partial(
            acks, lambda side: Background(1, read_on, side.bootstrap, old, count)
        ),
    }


@contextmanager
def tail(sides: Sides) -> Iterator[Mapping[str, Measure]]:
    """From produce() to a consumer at the end of the log, beside a backfill."""
    side = sides.get("file")
    with sides.serve("file-others") as running:
        others = Side("file-others", running)
        requests = max(10, int(BACKFILL_BYTES * sides.scale) // 1_000_000)
        old = {each: each.new_topic() for each in (side, others)}
        for each, topic in old.items():
            fill(each, Load(BATCH, in_flight=4, requests=requests), topic)

        def waits(beside: Beside) -> dict[str, float]:
            with beside(), side.topic() as topic:
                seconds = TAIL_S * sides.scale
                return latencies(isolated(tail_waits_ms, side.bootstrap, topic, seconds))

        def backfill(of: Side) -> Beside:
            count = requests * len(BATCH)
            return partial(Background, 1, read_on, of.bootstrap, old[of], count)

        yield {
            "alone": partial(waits, nullcontext),
            "beside another's backfill": partial(waits, backfill(others)),
            "beside a backfill": partial(waits, backfill(side)),
        }


ROWS: Mapping[str, Row] = {
    "lagging": Row(
        "acks of lone records of 100 B after a start, beside a reader of 20,000 such blocks",
        (*WAITS, *READS),
        lagging,
    ),
    "tail": Row("100 records of 1 KB a second, from produce() to the consumer", WAITS, tail),
}
