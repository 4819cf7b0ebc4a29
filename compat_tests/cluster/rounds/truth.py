"""What is stored, read from each partition's leader on the wire, and what must be so.

Incremental: each look reads what has come since the last one, and compares everything that clients
were told meanwhile. A last look reads all of it again.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from compat_tests.chaos.load import Place, key_of, name_of
from compat_tests.chaos.recorder import Recorder
from compat_tests.support.deadline import POLL_INTERVAL_S, Deadline, pause
from compat_tests.wire.batches import parse, values_of
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import FETCH_VERSION, fetch_request

READ_BYTES_MAX = 8 << 20
READ_TIMEOUT_S = 60.0
STALL_TIMEOUT_S = 60.0
"""For so long nothing more may come of what is there."""
Leaders = Callable[[], dict[Place, int] | None]
"""Who has which partition at this moment; None while nodes do not agree."""


class Truth:
    """`noted` from any thread; the looks from one."""

    def __init__(self, recorder: Recorder, places: Sequence[Place]) -> None:
        self.stored: dict[Place, list[str]] = {place: [] for place in places}
        """By offset."""
        self._recorder = recorder
        self._lock = threading.Lock()
        self._noted: dict[Place, list[tuple[int, str, str]]] = defaultdict(list)

    def noted(self, place: Place, offset: int, name: str, who: str) -> None:
        """A client was told that it is there: by an acknowledgement, or by a record."""
        with self._lock:
            self._noted[place].append((offset, name, who))

    def count(self) -> int:
        return sum(map(len, self.stored.values()))

    def look(self, leaders: Leaders, addresses: Mapping[int, str]) -> None:
        """Read on to the ends, then compare. Raises AssertionError."""
        with self._lock:
            noted, self._noted = self._noted, defaultdict(list)
        Reading(self._recorder, "look", self.stored).go_on(leaders, addresses)
        for place, told in noted.items():
            stored = self.stored[place]
            for offset, name, who in told:
                assert offset < len(stored), (
                    f"{place} offset {offset}, of which {who} was told {name!r}, is not there: "
                    f"it ends at {len(stored)}"
                )
                assert stored[offset] == name, (
                    f"{place} offset {offset} is {stored[offset]!r}; {who} was told {name!r}"
                )


class Reading:
    """One who reads from the leaders, and goes on where it stopped."""

    def __init__(
        self,
        recorder: Recorder,
        name: str,
        stored: dict[Place, list[str]],
        *,
        final: bool = False,
        is_recorded: bool = True,
    ) -> None:
        self.stored = stored
        self._recorder = recorder
        self._name = name
        self._final = final
        self._is_recorded = is_recorded
        self._refusals: dict[Place, int] = {}

    def go_on(self, leaders: Leaders, addresses: Mapping[int, str]) -> None:
        """Append to `stored` what each leader has behind it, up to its high watermark."""
        left = set(self.stored)
        self._refusals.clear()

        def is_read() -> bool:
            told = leaders()
            if told is None:
                return False
            rows: dict[tuple[int, str], list[int]] = defaultdict(list)
            for topic, index in sorted(left & told.keys()):
                rows[told[topic, index], topic].append(index)
            for (node_id, topic), indices in rows.items():
                try:
                    left.difference_update(self._read(addresses[node_id], topic, indices))
                except OSError:
                    pass  # it has gone; asked again until the time is over
            return not left

        deadline, count = Deadline(STALL_TIMEOUT_S), self._count()
        while not is_read():
            if (now_count := self._count()) > count:
                deadline, count = Deadline(STALL_TIMEOUT_S), now_count
            refused = {place: self._refusals.get(place) for place in sorted(left)}
            assert not deadline.expired, f"not read to their ends, with these codes: {refused}"
            pause(POLL_INTERVAL_S)

    def _count(self) -> int:
        return sum(map(len, self.stored.values()))

    def _read(self, address: str, topic: str, indices: list[int]) -> set[Place]:
        """One fetch; those that are read to their ends."""
        operation = (
            self._recorder.begin(self._name, "poll", [["poll"]], fresh=True, final=self._final)
            if self._is_recorded
            else None
        )
        offsets = {index: len(self.stored[topic, index]) for index in indices}
        with Connection(address, timeout_s=READ_TIMEOUT_S) as connection:
            request = fetch_request(topic, offsets, max_bytes=READ_BYTES_MAX)
            answer = connection.call(request, FETCH_VERSION)
        found, observed, ended = {}, {}, set()
        for row in answer.responses[0].partitions:
            if row.error_code:
                self._refusals[topic, row.partition_index] = row.error_code  # it may just move
                continue
            place, key = (topic, row.partition_index), key_of(row.partition_index, topic)
            records = _records(row, len(self.stored[place]), key)
            self.stored[place] += [name for _, name in records]
            if records:
                found[key] = records
            observed[key] = {"high_watermark": row.high_watermark}
            if len(self.stored[place]) == row.high_watermark:
                ended.add(place)
        if operation is not None:
            operation.ok([["poll", found]], observed=observed)
        return ended


def _records(row: Any, at: int, key: str) -> list[tuple[int, str]]:
    """From that offset on, and dense."""
    batches = [batch for batch in parse(bytes(row.records or b"")) if batch.whole]
    assert all(batch.crc_right for batch in batches), key
    records = [
        (offset, name_of(value))
        for batch in batches
        for offset, value in values_of(batch)
        if offset >= at
    ]
    offsets = [offset for offset, _ in records]
    assert offsets == list(range(at, at + len(records))), f"a gap in {key}: {offsets[:5]} at {at}"
    assert row.log_start_offset == 0, key
    assert at + len(records) <= row.high_watermark, f"{key} is read beyond its high watermark"
    return records
