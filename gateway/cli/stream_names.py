"""What the streams of a log are called, from the checkpoint that rides on it."""

from gateway.broker.metadata_records import decode_metadata
from gateway.broker.state import topics_of
from gateway.broker.topics import METADATA_STREAM_ID, TopicRegistry
from wal_core import Corrupt, Entry


class StreamNames:
    """Makes states for looks at a log; `names` are those of the last one."""

    def __init__(self) -> None:
        self._state = _TopicState()

    def new(self) -> "_TopicState":
        self._state = _TopicState()
        return self._state

    @property
    def names(self) -> dict[int, str]:
        """topic-partition by stream."""
        found = {
            partition.stream_id: f"{partition.topic.name}-{partition.index}"
            for partition in self._state.topics.partitions()
        }
        return {METADATA_STREAM_ID: "the broker's metadata", **found}


class _TopicState:
    """A wal_core.LogState that knows topics alone. What cannot be read leaves names unknown."""

    def __init__(self) -> None:
        self.topics = TopicRegistry(message_bytes_max=0)

    def restore(self, checkpoint: bytes) -> None:
        try:
            for record in topics_of(checkpoint):
                self.topics.apply(record)
        except Corrupt:
            pass

    def apply(self, entry: Entry) -> None:
        if entry.stream_id != METADATA_STREAM_ID:
            return
        try:
            self.topics.apply(decode_metadata(entry.payload))
        except Corrupt:
            pass

    def checkpoint(self) -> bytes:
        raise NotImplementedError("nothing is written")

    def confirmed(self, ends: object) -> None:
        """Nobody waits."""
