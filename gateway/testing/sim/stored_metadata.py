"""What the durable records of catalog and journals say: which topics there are, where their
partitions lie, where these start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from gateway.broker.journal_records import (
    RecordsDeleted,
    StreamOpened,
    StreamsDropped,
    decode_journal,
)
from gateway.broker.metadata_records import (
    PartitionsAdded,
    Placement,
    TopicConfigsChanged,
    TopicCreated,
    TopicDeleted,
    TopicForgotten,
    decode_metadata,
)
from gateway.testing.sim.history import Partition
from gateway.testing.sim.trace import Trace


class StoredMetadata:
    """Follows the catalog and the journals. `deleted` is told of each log start that moved: place,
    partition, offset.
    """

    def __init__(self, trace: Trace) -> None:
        self.starts: dict[Placement, int] = {}  # 0 where a place is not named
        self.deleted: Callable[[Placement, Partition, int], None] = lambda place, where, at: None
        self._trace = trace
        self._topics: dict[bytes, TopicCreated] = {}
        self._tombstones: dict[bytes, None] = {}
        self._opened: dict[Placement, StreamOpened] = {}

    def has_topic(self, name: str) -> bool:
        return any(topic.name == name for topic in self._topics.values())

    def partitions_count(self, name: str) -> int:
        """0: there is no such topic."""
        topics = self._topics.values()
        return max((len(topic.placements) for topic in topics if topic.name == name), default=0)

    def take(self, payload: memoryview | bytes) -> None:
        """The next record of the catalog."""
        match decode_metadata(payload):
            case TopicCreated() as topic:
                self._topics[topic.topic_id] = topic
            case PartitionsAdded(topic_id=topic_id, placements=placements):
                self._grow(topic_id, placements)
            case TopicDeleted(topic_id=topic_id):
                if self._topics.pop(topic_id, None) is None:
                    self._violation("a topic is deleted once", f"{topic_id.hex()} is not there")
                self._tombstones[topic_id] = None
            case TopicForgotten(topic_id=topic_id):
                left = [p for p, o in self._opened.items() if o.topic_id == topic_id]
                if left or self._tombstones.pop(topic_id, 0) == 0:
                    self._violation("a tombstone waits for all logs", f"{topic_id.hex()}: {left}")
            case TopicConfigsChanged():
                raise AssertionError("no simulated client changes settings")
            case _:
                pass

    def _grow(self, topic_id: bytes, placements: list[Placement]) -> None:
        topic = self._topics.get(topic_id)
        before = topic.placements if topic is not None else []
        if topic is None or placements[: len(before)] != before or len(placements) <= len(before):
            self._violation("a partition stays where it lies", f"{before} became {placements}")
            return
        self._topics[topic_id] = msgspec.structs.replace(topic, placements=placements)

    def take_journal(
        self, log_id: int, payload: memoryview | bytes, ends: Mapping[Placement, int]
    ) -> None:
        """The next record of a log's journal; `ends` is what was durable before it."""
        match decode_journal(payload):
            case StreamOpened() as opened:
                self._open(Placement(log_id, opened.stream_id), opened)
            case StreamsDropped(topic_id=topic_id, stream_ids=stream_ids):
                if topic_id not in self._tombstones:
                    self._violation("only what is deleted is dropped", f"{topic_id.hex()}")
                for stream_id in stream_ids:
                    place = Placement(log_id, stream_id)
                    known = self._opened.get(place)
                    self._opened.pop(place, None)
                    if known is None or known.topic_id != topic_id:
                        self._violation("a stream is dropped once", f"{log_id}, {stream_id}")
            case RecordsDeleted(starts=starts):
                for stream_id, offset in starts.items():
                    place = Placement(log_id, stream_id)
                    self._delete_below(place, offset, ends.get(place, 0))

    def check_opened(self, place: Placement) -> None:
        """An entry is there."""
        if place not in self._opened:
            self._violation("a stream is opened first", f"{place} has records")

    def _open(self, place: Placement, opened: StreamOpened) -> None:
        """What is opened is in the catalog, or was."""
        topic = self._topics.get(opened.topic_id)
        if place in self._opened or (
            opened.topic_id not in self._tombstones
            if topic is None
            else topic.placements[opened.partition] != place
        ):
            self._violation("a stream is one topic's", f"{place} of {opened}")
        self._opened[place] = opened

    def _delete_below(self, place: Placement, offset: int, end: int) -> None:
        opened = self._opened.get(place)
        where = (opened.name, opened.partition) if opened else None
        if offset > end:
            self._violation(
                "what is deleted is durable", f"{where} is to start at {offset} and ends at {end}"
            )
        if where is not None and offset > self.starts.get(place, 0):
            self._trace.note("stored", f"{where[0]}-{where[1]} starts at {offset}")
            self.deleted(place, where, offset)
        self.starts[place] = max(offset, self.starts.get(place, 0))

    def _violation(self, what: str, text: str) -> None:
        self._trace.violation(what, text)
