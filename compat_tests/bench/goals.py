"""What the gateway aims at, and whether a run has reached it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from compat_tests.bench.figures import Result, Spread

AT_LEAST, AT_MOST = "at least", "at most"
UPSTREAM_APPENDS_PER_S = 28_992
"""Of 1 KB, on one machine with three replicas, as upstream's pull requests 211 and 212 tell."""


class Goal(NamedTuple):
    """One metric of a contender: times that of the reference, or as it is where there is none."""

    words: str
    row: str
    metric: str
    contender: str
    reference: str
    way: str
    bound: float

    def seen(self, results: Mapping[str, Result]) -> Spread | None:
        """None where it was not measured."""
        if self.row not in results:
            return None
        result = results[self.row]
        if not self.reference:
            return result.value(self.contender, self.metric)
        return result.ratio(self.contender, self.metric, self.reference)

    def reached(self, seen: Spread) -> bool:
        """By the median."""
        if self.way == AT_LEAST:
            return seen.median >= self.bound
        return seen.median <= self.bound


def _consuming() -> Iterator[Goal]:
    for data in ("100b", "1k", "1m", "small", "tail", "100p"):
        for library in ("librdkafka", "java"):
            row = f"consume-{data}-{library}"
            words = f"{library} consumes {data}"
            yield Goal(f"{words}, MB/s", row, "mb_per_s", "file", "kafka", AT_LEAST, 1.0)
            yield Goal(f"{words}, CPU per GB", row, "cpu_s_per_gb", "file", "kafka", AT_MOST, 1.5)


GOALS = (
    *(
        Goal(words, "small", metric, contender, "kafka", AT_LEAST, bound)
        for words, metric, contender, bound in (
            ("small requests per CPU second", "requests_per_cpu_s", "file", 1.0),
            ("small requests per second, 2 workers", "requests_per_s", "file-2", 0.8),
        )
    ),
    Goal("lone request, p50, of a device write", "lone", "p50_ms", "file", "device", AT_MOST, 1.5),
    *(
        Goal(
            f"1,000 requests a second, {words}",
            "open-loop",
            metric,
            "file",
            "kafka",
            AT_MOST,
            bound,
        )
        for words, metric, bound in (
            ("p50", "p50_ms", 1.5),
            ("p99", "p99_ms", 1.0),
            ("p99.9", "p999_ms", 1.0),
        )
    ),
    Goal("longest pause of the collector, ms", "pauses", "gc_max_ms", "file", "", AT_MOST, 10.0),
    Goal("longest pause of the loop, ms", "pauses", "loop_max_ms", "file", "", AT_MOST, 10.0),
    Goal("Java's producer", "java", "mb_per_s", "file", "kafka", AT_LEAST, 1.0),
    Goal("aiokafka's producer", "aiokafka", "mb_per_s", "file", "kafka", AT_LEAST, 1.0),
    Goal("batches of 16 KB", "batches-16k", "mb_per_s", "file", "kafka", AT_LEAST, 1.2),
    *_consuming(),
    Goal(
        "batches of 1 MB, of the device", "batches-1m", "mb_per_s", "file", "device", AT_LEAST, 0.6
    ),
    Goal(
        "objects of 1 MB, of plain PUTs", "objects-1m", "mb_per_s", "object", "puts", AT_LEAST, 0.9
    ),
    Goal("idle bucket, p50, of one PUT", "paced", "p50_ms", "object", "one PUT", AT_MOST, 1.3),
    *(
        Goal(
            f"{count} partitions, of one",
            "partitions-file",
            "requests_per_s",
            f"file, {count}",
            "file, 1",
            AT_LEAST,
            bound,
        )
        for count, bound in (("1,000", 0.85), ("10,000", 0.75))
    ),
    Goal(
        "acks beside a reader of lone blocks, p99",
        "lagging",
        "p99_ms",
        "beside a reader",
        "alone",
        AT_MOST,
        2.0,
    ),
    Goal(
        "that reader after a start, records/s",
        "lagging",
        "first_read_records_per_s",
        "beside a reader",
        "",
        AT_LEAST,
        60_000,
    ),
    Goal(
        "three logstores, p50, of bare ones",
        "quorum",
        "p50_ms",
        "quorum",
        "three bare",
        AT_MOST,
        1.5,
    ),
    Goal("three logstores, p50, ms", "quorum", "p50_ms", "quorum", "", AT_MOST, 5.0),
    Goal("three logstores, p99, ms", "quorum", "p99_ms", "quorum", "", AT_MOST, 15.0),
    *(
        Goal(
            f"half of what they take, {words}", "quorum-half", metric, contender, of, AT_MOST, bound
        )
        for words, metric, contender, of, bound in (
            ("p50, of bare ones", "p50_ms", "all logstores", "three bare", 1.5),
            ("p50, ms", "p50_ms", "all logstores", "", 5.0),
            ("p99, ms", "p99_ms", "all logstores", "", 15.0),
            ("p50, one stopped, of all", "p50_ms", "one stopped", "all logstores", 1.2),
        )
    ),
    Goal(
        "three logstores, batches of 60 a second",
        "quorum-batches",
        "requests_per_s",
        "quorum",
        "",
        AT_LEAST,
        2 * UPSTREAM_APPENDS_PER_S / 60,
    ),
    Goal(
        "three logstores, 16 ticks beside a backfill, p99, ms",
        "quorum-ticks",
        "p99_ms",
        "beside 50 MB/s",
        "",
        AT_MOST,
        50.0,
    ),
    Goal("start, ms", "start", "start_ms", "file", "", AT_MOST, 350.0),
    Goal("idle, MB", "start", "idle_mb", "file", "", AT_MOST, 40.0),
)
