"""What the durable metadata records say: which topics there are, and where partitions start."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.broker.metadata_records import (
    RecordsDeleted,
    TopicConfigsChanged,
    TopicCreated,
    TopicDeleted,
    decode_metadata,
)
from gateway.testing.sim.history import Partition
from gateway.testing.sim.trace import Trace


class StoredMetadata:
    """Follows the metadata stream. `deleted` is told of each log start that moved: stream,
    partition, offset.
    """

    def __init__(self, trace: Trace) -> None:
        self.starts: dict[int, int] = {}  # per stream; 0 where it is not named
        self.deleted: Callable[[int, Partition, int], None] = lambda stream_id, where, offset: None
        self._trace = trace
        self._topics: dict[bytes, TopicCreated] = {}
        self._partitions: dict[int, Partition] = {}

    def has_topic(self, name: str) -> bool:
        return any(topic.name == name for topic in self._topics.values())

    def take(self, payload: memoryview | bytes, ends: Mapping[int, int]) -> None:
        """The next record; `ends` is what was durable before it."""
        match decode_metadata(payload):
            case TopicCreated() as topic:
                self._topics[topic.topic_id] = topic
                for index, placement in enumerate(topic.placements):
                    self._partitions[placement.stream_id] = (topic.name, index)
            case TopicDeleted(topic_id=topic_id):
                self._remove(topic_id)
            case RecordsDeleted(starts=starts):
                for stream_id, offset in starts.items():
                    self._delete_below(stream_id, offset, ends.get(stream_id, 0))
            case TopicConfigsChanged():
                raise AssertionError("no simulated client changes settings")
            case _:
                pass

    def _remove(self, topic_id: bytes) -> None:
        topic = self._topics.pop(topic_id, None)
        if topic is None:
            self._trace.violation("a topic is deleted once", f"{topic_id.hex()} is not there")
            return
        for placement in topic.placements:
            del self._partitions[placement.stream_id]

    def _delete_below(self, stream_id: int, offset: int, end: int) -> None:
        where = self._partitions.get(stream_id)
        if offset > end:
            self._trace.violation(
                "what is deleted is durable", f"{where} is to start at {offset} and ends at {end}"
            )
        if where is not None and offset > self.starts.get(stream_id, 0):
            self._trace.note("stored", f"{where[0]}-{where[1]} starts at {offset}")
            self.deleted(stream_id, where, offset)
        self.starts[stream_id] = max(offset, self.starts.get(stream_id, 0))
