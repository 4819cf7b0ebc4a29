"""What readers cost others: acks beside a lagging consumer, the tail of a log beside a backfill.

Whoever is beside them shares the machine's cores, too. So there are strangers who only take cores,
and another gateway's readers: what more is lost to one's own is the gateway's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from compat_tests.bench.device import latencies
from compat_tests.bench.isolated import isolated
from compat_tests.bench.readers import Background, read_on, spin, tail_waits_ms
from compat_tests.bench.rounds import Measure, Row
from compat_tests.bench.sender import Load, fill, send
from compat_tests.bench.sides import Side, Sides

ACKS = Load([b"x" * 100])
WAITS = ("p50_ms", "p99_ms", "p999_ms", "max_ms")
LONE_BLOCKS_COUNT = 20_000
BACKFILL_BYTES = 1_000_000_000
BATCH = [b"x" * 100_000] * 10
STRANGERS = 2  # as many as a librdkafka reader has busy threads
TAIL_S = 5.0
Beside = Callable[[], AbstractContextManager[object]]


@contextmanager
def lagging(sides: Sides) -> Iterator[Mapping[str, Measure]]:
    """Acks beside a consumer of blocks of one record each."""
    side = sides.get("file")
    count = sides.sized(LONE_BLOCKS_COUNT)
    old = side.new_topic()
    fill(side, ACKS._replace(requests=count), old)
    load = ACKS._replace(seconds=ACKS.seconds * sides.scale)

    def acks(beside: Beside) -> dict[str, float]:
        with beside():
            return send(side, load).figures(load)

    yield {
        "alone": partial(acks, nullcontext),
        "beside strangers": partial(acks, partial(Background, STRANGERS, spin)),
        "beside a reader": partial(
            acks, partial(Background, 1, read_on, side.bootstrap, old, count)
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
        "acks of lone records of 100 B, beside a consumer of 20,000 such blocks", WAITS, lagging
    ),
    "tail": Row("100 records of 1 KB a second, from produce() to the consumer", WAITS, tail),
}
