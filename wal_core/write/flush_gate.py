"""When the next block may go, by all who have a say in it: an opener that asks for a moment's
silence, the flush policy, and who pays for writes.
"""

from __future__ import annotations

from wal_core.budgets import WriteBucket
from wal_core.config import LogConfig
from wal_core.write.flights import Waiting
from wal_core.write.flush_policy import should_flush
from wal_core.write.handover import Listener


class FlushGate:
    """Of one writer."""

    def __init__(
        self, config: LogConfig, listener: Listener | None, bucket: WriteBucket | None
    ) -> None:
        self._config = config
        self._listener = listener
        self._bucket = bucket

    def closed_until_s(self, waiting: Waiting, in_flight_count: int, now_s: float) -> float | None:
        """None: the first that waits goes now, and is paid for. Else when to ask again at the
        latest, by the loop's clock; infinity: once something is durable."""
        block, config = waiting.first, self._config
        assert block is not None
        if self._listener is not None and now_s < self._listener.held_until_s:
            return self._listener.held_until_s
        if in_flight_count:
            age_ms = (now_s - block.since_s) * 1000
            ready_bytes = config.block_bytes_max if waiting.has_full else block.bytes_count
            if not should_flush(ready_bytes, age_ms, in_flight_count, config):
                if in_flight_count >= config.flushes_in_flight_max_count:
                    return float("inf")
                return block.since_s + config.gather_ms / 1000
        if self._bucket is not None:
            wait_s = self._bucket.take(self, now_s)
            # A full block does not wait: holding it back would save nothing, only slow down.
            if wait_s > 0 and not waiting.has_full:
                return now_s + wait_s
            self._bucket.leave(self)
        return None

    def leave(self) -> None:
        """Nothing more goes: whoever waits for the same budget need not wait for us."""
        if self._bucket is not None:
            self._bucket.leave(self)
