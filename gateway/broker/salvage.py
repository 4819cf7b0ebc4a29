"""The state of a log from records alone, for a start that finds what was remembered damaged.

The catalog, the journals and the partitions of __consumer_offsets are never shortened, so what they
say of topics, settings, streams, deletions, groups and committed offsets is all there is to say. Of
producers and leader epochs only the records of each partition tell, and to read those would take
too long: a producer that is not known any more may go on with any sequence, and epochs begin anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from gateway.broker.journal_records import JOURNAL_STREAM_ID
from gateway.broker.state_keys import KeyKind, kind_of

if TYPE_CHECKING:
    from gateway.broker.stream_state import StreamState
    from wal_core import Entry, LogState


class StoredGroups:
    """Group records as they are stored, and what each key means now: no groups live by it."""

    def __init__(self) -> None:
        self._newest: dict[bytes, bytes] = {}
        self._note: Callable[[bytes, int], None] = lambda key, size: None

    def watch(self, note: Callable[[bytes, int], None]) -> None:
        """See GroupRecords."""
        self._note = note

    def replay(self, key: bytes, value: bytes | None, timestamp_ms: int) -> None:
        """See GroupRecords."""
        if value is None:
            self._newest.pop(key, None)
        else:
            self._newest[key] = value
        self._note(key, len(key) + len(value or b""))

    def values(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """See GroupRecords."""
        return {key: self._newest[key] for key in keys if key in self._newest}


class Streams(Protocol):
    """The state of a data log, which knows its streams by its journal."""

    def known(self, stream_id: int) -> StreamState | None: ...


class StateSalvage:
    """Implements wal_core.Salvage. `state` is an empty one that nobody serves from; `streams` is
    the same where it is that of a data log."""

    def __init__(self, state: LogState, streams: Streams | None = None) -> None:
        self._state = state
        self._streams = streams

    def wants(self, stream_id: int, end: int) -> bool:
        """See Salvage. Catalog and journal are the same stream of their logs."""
        if stream_id == JOURNAL_STREAM_ID or self._streams is None:
            return stream_id == JOURNAL_STREAM_ID
        stream = self._streams.known(stream_id)
        return stream is not None and stream.is_group_offsets

    def apply(self, entry: Entry) -> None:
        """See Salvage. Raises Corrupt."""
        self._state.apply(entry)

    def pairs(self, doubtful: Collection[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        """See Salvage. Of a producer, an old sequence is worse than none: the next one that it
        sends would seem to have lost some before it."""
        for key in doubtful:
            if kind_of(key) is KeyKind.PRODUCER:
                yield key, None
        yield from self._state.values(self._state.changes.keys())
