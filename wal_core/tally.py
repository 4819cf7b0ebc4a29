"""What is counted as it happens, for whoever looks: plain numbers, which cost next to nothing.

Written by the one who does the work, on the event loop; read by anybody. Nothing here is ever set
back: a rate is the difference of two looks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

DURATION_BOUNDS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
)
SIZE_BOUNDS_BYTES = tuple(4.0**power for power in range(5, 14))  # 1 KiB .. 64 MiB


class Histogram:
    """How many values were how large."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds  # each belongs to what it bounds
        self.counts = [0] * (len(bounds) + 1)  # the last: above all bounds
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        return sum(self.counts)


class Written:
    """Writes of one kind, each from its beginning until it was durable."""

    __slots__ = ("seconds", "sizes")

    def __init__(self) -> None:
        self.seconds = Histogram(DURATION_BOUNDS_S)
        self.sizes = Histogram(SIZE_BOUNDS_BYTES)

    def add(self, duration_s: float, size_bytes: int) -> None:
        self.seconds.add(duration_s)
        self.sizes.add(size_bytes)


class Requests:
    """To an object store, of one kind."""

    __slots__ = ("bytes_count", "count", "failed_count", "in_flight_count", "seconds")

    def __init__(self) -> None:
        self.count = 0  # as they are billed: those that failed, and each page of a listing
        self.failed_count = 0
        self.in_flight_count = 0
        self.bytes_count = 0
        self.seconds = Histogram(DURATION_BOUNDS_S)  # of those that were answered


class StoreTally:
    """Of one store: requests where it keeps objects, syncs where it keeps files."""

    __slots__ = ("created_count", "delete", "deleted_count", "get", "list", "put", "syncs")

    def __init__(self) -> None:
        self.put = Requests()
        self.get = Requests()
        self.list = Requests()
        self.delete = Requests()
        self.created_count = 0  # objects
        self.deleted_count = 0
        self.syncs = Written()


class ReadTally:
    """How often what a reader looked for was at hand."""

    __slots__ = ("found_count", "missed_count")

    def __init__(self) -> None:
        self.found_count = 0
        self.missed_count = 0


class LogTally(NamedTuple):
    """Of a log, at this moment."""

    flushed: Written  # blocks, from their first entry until they were confirmed
    in_flight_count: int  # blocks that the store has not answered for yet
    waiting_s: float  # how long the oldest entry that is not confirmed has waited; 0: there is none
    upload_lag_s: float  # how old the oldest record is that the bucket does not have; 0: none
    upload_lag_bytes: int  # that it does not have
    logstores_away_count: int  # of those that keep its end
    segments_count: int
    tail_reads: ReadTally
    block_reads: ReadTally
    table_reads: ReadTally
