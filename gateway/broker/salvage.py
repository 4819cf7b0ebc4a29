"""The broker's state from records alone, for a start that finds what was remembered damaged.

The metadata stream and the partitions of __consumer_offsets are never shortened, so what they say
of topics, settings, deletions, groups and committed offsets is all there is to say. Of producers
and leader epochs only the records of each partition tell, and to read those would take too long:
a producer that is not known any more may go on with any sequence, and epochs begin anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gateway.broker.metadata_records import PRODUCER_IDS_BLOCK_COUNT, ProducerIdsReserved
from gateway.broker.state_keys import KeyKind, kind_of
from gateway.broker.topics import METADATA_STREAM_ID, TopicRegistry

if TYPE_CHECKING:
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


class BrokerSalvage:
    """Implements wal_core.Salvage. `state` is an empty one that nobody serves from."""

    def __init__(self, topics: TopicRegistry, state: LogState) -> None:
        self._topics = topics
        self._state = state
        self._found_count = self._wanted_count = 0  # metadata records

    def wants(self, stream_id: int, end: int) -> bool:
        """See Salvage."""
        if stream_id == METADATA_STREAM_ID:
            self._wanted_count = end
            return True
        partition = self._topics.of_stream(stream_id)
        return partition is not None and partition.topic.is_internal

    def apply(self, entry: Entry) -> None:
        """See Salvage. Raises Corrupt."""
        if entry.stream_id == METADATA_STREAM_ID:
            self._found_count += 1
        self._state.apply(entry)

    def pairs(self, doubtful: Collection[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        """See Salvage. Of a producer, an old sequence is worse than none: the next one that it
        sends would seem to have lost some before it."""
        for key in doubtful:
            if kind_of(key) is KeyKind.PRODUCER:
                yield key, None
        missing_count = self._wanted_count - self._found_count
        if missing_count:
            # No producer id is given out twice: each may have reserved some.
            end = self._topics.producer_ids_end + missing_count * PRODUCER_IDS_BLOCK_COUNT
            self._topics.apply(ProducerIdsReserved(end=end))
        yield from self._state.values(self._state.changes.keys())
