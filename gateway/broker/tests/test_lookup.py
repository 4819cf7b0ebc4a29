"""Records by their time among those that are left, over batches that are a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest

from gateway.broker.lookup import NOT_FOUND, find_latest, find_timestamp
from gateway.tests.harness import batch_of
from protocol import read_header
from wal_core import Entry

T = TypeVar("T")


class Partition:
    """Its index knows the greatest time of each batch, as the log's does."""

    def __init__(self, *batches: Sequence[int], start: int = 0) -> None:
        self.log_start_offset = start
        self.entries: list[Entry] = []
        base = 0
        for times in batches:
            batch = batch_of(*[b"x"] * len(times), times=times)
            header = read_header(memoryview(batch))
            batch[:8] = base.to_bytes(8, "big")
            latest = header.max_timestamp_ms
            self.entries.append(Entry(1, base, len(times), len(times), latest, bytes(batch)))
            base += len(times)

    def left(self, offset: int) -> list[Entry]:
        return [e for e in self.entries if e.end_offset > max(offset, self.log_start_offset)]

    async def find_timestamp(self, timestamp_ms: int, offset: int = 0) -> Entry | None:
        return next((e for e in self.left(offset) if e.max_timestamp_ms >= timestamp_ms), None)

    async def find_latest(self, offset: int = 0) -> Entry | None:
        return max(self.left(offset), key=lambda e: e.max_timestamp_ms, default=None)

    async def read(self, offset: int, bytes_max: int) -> list[Entry]:
        return self.left(offset)[:1]


class Here:
    """Threads that are none."""

    async def run(self, work: Callable[[], T]) -> T:
        return work()


HERE: Any = Here()


@pytest.mark.parametrize(
    ("timestamp_ms", "start", "expected"),
    [
        (0, 0, (0, 10)),
        (11, 0, (1, 30)),
        (31, 0, (3, 40)),
        (41, 0, NOT_FOUND),
        (11, 2, (2, 20)),  # the late record of that batch was deleted
        (25, 2, (3, 40)),  # and so nothing in it is left that late
    ],
)
async def test_the_first_at_or_after_a_time(
    timestamp_ms: int, start: int, expected: tuple[int, int]
) -> None:
    partition: Any = Partition((10, 30, 20), (40,), start=start)
    assert await find_timestamp(partition, timestamp_ms, HERE) == expected


@pytest.mark.parametrize(
    ("batches", "start", "expected"),
    [
        ([(10, 30, 20), (25,)], 0, (1, 30)),
        ([(10, 30, 20), (25,)], 2, (3, 25)),  # the latest was deleted
        ([(10, 30, 28), (25,)], 2, (2, 28)),  # of its batch there is still a later one
        ([(30, 30), (30,)], 0, (0, 30)),  # the first of several
        ([], 0, NOT_FOUND),
    ],
)
async def test_the_latest_of_what_is_left(
    batches: list[tuple[int, ...]], start: int, expected: tuple[int, int]
) -> None:
    partition: Any = Partition(*batches, start=start)
    assert await find_latest(partition, HERE) == expected
