"""What the tests of the log share: a state that remembers everything, and a log with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence

from wal_core import Budgets, Changes, Entry, Log, LogConfig, SegmentStore, SystemClock
from wal_core.clock import Clock, Rng
from wal_core.testing.no_salvage import NoSalvage
from wal_core.types import Buffer


def row_of(entry: Entry) -> tuple[int, int, int, int, bytes]:
    """Stream, base offset, offset span, greatest timestamp, payload."""
    stream_id, base_offset, offset_span, _, timestamp_ms, payload = entry
    return stream_id, base_offset, offset_span, timestamp_ms, bytes(payload)


class Recorder:
    """A LogState that remembers everything: entries in order, confirmations.

    What it remembers takes no room by its own account, so that nothing but footers speaks of it.
    """

    def __init__(self) -> None:
        self.changes = Changes()
        self.entries: list[tuple[int, int, int, int, bytes]] = []
        self.ends: dict[int, int] = {}
        self.confirmed_calls: list[dict[int, int]] = []
        self.restored_count = 0
        self.restored_rows: dict[int, tuple[int, int, int, int, bytes]] = {}
        self.applied_count = 0

    def restore(self, key: bytes, value: Buffer | None) -> None:
        assert not self.entries
        assert not self.restored_count
        if value is None:
            self.restored_rows.pop(int(key))
            return
        row = json.loads(bytes(value))
        self.restored_rows[int(key)] = (*row[:4], bytes.fromhex(row[4]))

    def restored(self) -> None:
        assert not self.restored_count
        self.restored_count += 1
        self.entries = [row for _, row in sorted(self.restored_rows.items())]

    def apply(self, entry: Entry) -> None:
        self.applied_count += 1
        self.add(row_of(entry))

    def add(self, row: tuple[int, int, int, int, bytes]) -> None:
        """An entry was appended."""
        self.changes.note(b"%d" % len(self.entries), 0)
        self.entries.append(row)

    def values(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        for key in keys:
            if int(key) < len(self.entries):
                *row, payload = self.entries[int(key)]
                yield key, json.dumps([*row, payload.hex()]).encode()
            else:
                yield key, None

    def confirmed(self, ends: Mapping[int, int]) -> None:
        for stream_id, end in ends.items():
            assert end > self.ends.get(stream_id, 0)
            self.ends[stream_id] = end
        self.confirmed_calls.append(dict(ends))

    def salvage(self) -> NoSalvage:
        return NoSalvage()


class CountingRng:
    """Distinct nonces without randomness; jitter of one half."""

    count = 0

    def random_bytes(self, count: int) -> bytes:
        CountingRng.count += 1
        return CountingRng.count.to_bytes(count, "big")

    def random(self) -> float:
        return 0.5


class Harness:
    """A log and its state, appended to together as a user would."""

    def __init__(self, log: Log, state: Recorder, store: SegmentStore) -> None:
        self.log = log
        self.state = state
        self.store = store

    @classmethod
    async def open(
        cls,
        store: SegmentStore,
        config: LogConfig | None = None,
        rng: Rng | None = None,
        clock: Clock | None = None,
        budgets: Budgets | None = None,
    ) -> Harness:
        state = Recorder()
        log = await Log.open(
            store,
            state,
            config or LogConfig.preset(store.mode),
            clock=clock or SystemClock(),
            rng=rng or CountingRng(),
            budgets=budgets,
        )
        await log.until_quiet()  # what an opening still does behind our back is not measured
        return cls(log, state, store)

    def add(
        self,
        stream: int,
        payload: bytes,
        count: int = 1,
        ts: int = -1,
        *,
        span: int | None = None,
    ) -> asyncio.Future[None]:
        base = self.log.end_offset(stream)
        future = self.log.append(stream, base, count, ts, memoryview(payload), offset_span=span)
        self.state.add((stream, base, span or count, ts, payload))
        return future

    async def read_all(self, stream: int, bytes_max: int = 1 << 20) -> list[tuple[int, bytes]]:
        """(base offset, payload) of every confirmed entry; checks that offsets are dense."""
        found, at = [], self.log.start_offset(stream)
        while entries := await self.log.read(stream, at, bytes_max):
            for entry in entries:
                assert entry.stream_id == stream
                assert entry.base_offset == at
                at = entry.end_offset
                found.append((entry.base_offset, bytes(entry.payload)))
        assert at == self.log.confirmed_offset(stream)
        return found

    async def stored(self) -> list[tuple[int, int, int, int, bytes]]:
        """Everything readable, in the order of (stream, offset)."""
        rows = []
        for stream in sorted(self.log.stream_ids()):
            at = self.log.start_offset(stream)
            while entries := await self.log.read(stream, at, 1 << 20):
                rows += [row_of(entry) for entry in entries]
                at = entries[-1].end_offset
        return rows

    async def crash(self) -> None:
        """The process dies: no drain, no footer. The lock goes with it."""
        await self.log._maintenance.stop()
        await self.log._writer.stop()
        await self.log._reader.close()
        await self.store.unlock(0)
