"""Checking batches before they are appended: at once where that is quick, else beside other work.

What a check costs is not what a batch weighs: eleven kilobytes may decompress to gigabytes. So each
batch is tried where it would be cheapest and goes on to where there is more room: in the step that
received it (up to half a megabyte decompressed), in one of the quick lanes (some megabytes), in the
one lane for the largest. Decompression in a lane is done in a thread, without the interpreter's
lock; records are looked at on the loop, less than a millisecond at a time. So lanes bound the
memory, and however much is sent, a turn of the loop has one slice of each lane at most.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from protocol import (
    BatchError,
    BatchHeader,
    Buffer,
    ErrorCode,
    RecordCheck,
    RecordRules,
    plain_records,
)

NO_CODEC = 0
UNITS_AT_ONCE = 2_000  # of one request in the step that received it; a unit is about a microsecond
UNITS_A_SLICE = 300
PLAIN_BYTES_A_UNIT = 256  # what the slowest codec decompresses
COMPRESSED_RECORDS_MAX_COUNT = 1_000_000
"""Of a compressed batch: a second's work. Clients that fill batches by bytes stay far below it."""

LANE_PATIENCE_S = 30.0  # to get into one; then the client may try again
QUICK_LANES_COUNT = 2
QUICK_BYTES_MAX = 4 << 20
QUICK_RECORDS_MAX_COUNT = 20_000


class Allowance:
    """What one request may still use of the step it is in."""

    __slots__ = ("units",)

    def __init__(self) -> None:
        self.units = UNITS_AT_ONCE


class BatchCheck:
    """A batch under check."""

    __slots__ = ("_batch", "_records", "_rules", "header")

    def __init__(self, batch: Buffer, header: BatchHeader, rules: RecordRules) -> None:
        """`batch` is what validate_batch took. Raises BatchError for too many records."""
        if header.codec != NO_CODEC and header.record_count > COMPRESSED_RECORDS_MAX_COUNT:
            raise BatchError(
                ErrorCode.MESSAGE_TOO_LARGE,
                f"{header.record_count} records in a compressed batch, the most is "
                f"{COMPRESSED_RECORDS_MAX_COUNT}",
            )
        self._batch = batch
        self._rules = rules
        self._records: RecordCheck | None = None
        self.header = header

    @property
    def is_open(self) -> bool:
        """Whether its records lie there, decompressed if they had to be."""
        return self._records is not None

    @property
    def is_done(self) -> bool:
        return self._records is not None and self._records.is_done

    @property
    def max_timestamp_ms(self) -> int:
        """Of the records; final once all of them have been looked at."""
        assert self._records is not None
        return self._records.max_timestamp_ms

    def at_once(self, allowance: Allowance) -> bool:
        """Whether it is done within what is allowed. Raises BatchError."""
        if self._records is None:
            bytes_max = allowance.units * PLAIN_BYTES_A_UNIT
            if self.header.codec != NO_CODEC and self.header.total_bytes > bytes_max:
                return False
            plain = self.plain_within(bytes_max)
            if plain is None:
                allowance.units = 0
                return False
            if self.header.codec != NO_CODEC:
                allowance.units -= len(plain) // PLAIN_BYTES_A_UNIT
            self.look_at(plain)
        allowance.units -= self.step(allowance.units)
        return self.is_done

    def plain_within(self, bytes_max: int) -> Buffer | None:
        """Its records, decompressed to at most that; None if they are larger. Raises BatchError for
        what does not decompress.
        """
        try:
            return plain_records(self._batch, self.header, bytes_max)
        except BatchError as error:
            if error.code is not ErrorCode.MESSAGE_TOO_LARGE:
                raise
            return None

    def look_at(self, plain: Buffer) -> None:
        self._records = RecordCheck(self.header, plain, self._rules)

    def step(self, units: int) -> int:
        """Returns what it took. Raises BatchError."""
        assert self._records is not None
        return self._records.step(units)


class _Lane(NamedTuple):
    bytes_max: int
    records_max_count: int
    places: asyncio.Semaphore

    def takes(self, header: BatchHeader) -> bool:
        return (
            header.total_bytes <= self.bytes_max or header.codec == NO_CODEC
        ) and header.record_count <= self.records_max_count


class CheckLanes:
    """Of the whole process."""

    def __init__(self, plain_bytes_max: int) -> None:
        """`plain_bytes_max` is the most that a compressed batch may decompress to."""
        self._plain_bytes_max = plain_bytes_max
        self._lanes = (
            _Lane(
                min(QUICK_BYTES_MAX, plain_bytes_max),
                QUICK_RECORDS_MAX_COUNT,
                asyncio.Semaphore(QUICK_LANES_COUNT),
            ),
            _Lane(plain_bytes_max, 1 << 31, asyncio.Semaphore(1)),
        )
        # One for each that may be in a lane: none waits for a thread.
        self._threads = ThreadPoolExecutor(QUICK_LANES_COUNT + 1, "unpack")

    async def finish(self, check: BatchCheck) -> None:
        """See a check through that was not done at once.

        Raises BatchError, and TimeoutError when the lanes stay taken.
        """
        for lane in self._lanes:
            if lane.takes(check.header):
                async with asyncio.timeout(LANE_PATIENCE_S):
                    await lane.places.acquire()
                try:
                    if await self._through(check, lane.bytes_max):
                        return
                finally:
                    lane.places.release()
        raise BatchError(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"a compressed batch may decompress to {self._plain_bytes_max} bytes, this one is "
            "larger (decompressed_bytes_max)",
        )

    async def _through(self, check: BatchCheck, bytes_max: int) -> bool:
        if not check.is_open:
            loop = asyncio.get_running_loop()
            plain = await loop.run_in_executor(self._threads, check.plain_within, bytes_max)
            if plain is None:
                return False
            check.look_at(plain)
        while not check.is_done:
            check.step(UNITS_A_SLICE)
            await asyncio.sleep(0)
        return True

    def close(self) -> None:
        self._threads.shutdown(wait=False)
