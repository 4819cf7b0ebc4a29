"""What the gateway keeps in a log beside records, as a start would restore it: the names of its
streams, and whether a start could go on from there.
"""

from collections.abc import Iterator

from gateway.broker.log_state import BrokerState
from gateway.broker.salvage import StoredGroups
from gateway.broker.topic_rules import OFFSETS_TOPIC
from gateway.broker.topics import METADATA_STREAM_ID, TopicRegistry
from gateway.groups.records import (
    GroupKey,
    OffsetKey,
    decode_group_value,
    decode_key,
    decode_offset_value,
)
from protocol import DecodeError
from wal_core import CHECKPOINT_STREAM_ID, Finding, FindingKind, LogReport, Records, SystemClock


class StreamNames:
    """Makes states for looks at a log; the rest is of the last one."""

    def __init__(self) -> None:
        self.new()

    def new(self) -> BrokerState:
        """Raises Corrupt from what a start could not restore either."""
        self._topics = TopicRegistry(message_bytes_max=0)
        self._groups = _CheckedGroups()
        return BrokerState(self._topics, self._groups, SystemClock())

    @property
    def names(self) -> dict[int, str]:
        """topic-partition by stream."""
        found = {
            partition.stream_id: f"{partition.topic.name}-{partition.index}"
            for partition in self._topics.partitions()
        }
        own = {METADATA_STREAM_ID: "the broker's metadata", CHECKPOINT_STREAM_ID: "the checkpoint"}
        return own | found

    def findings(self, report: LogReport) -> Iterator[Finding]:
        """What only the gateway can tell."""
        unreadable = self._groups.unreadable
        if unreadable:
            text = f"{len(unreadable)} records cannot be read, a start skips them: {unreadable[0]}"
            yield Finding(FindingKind.DAMAGED, OFFSETS_TOPIC, text)
        if not report.sound:
            return  # where records are missing, the ends of partitions may be
        for partition in self._topics.partitions():
            stream_id, start = partition.stream_id, partition.deleted_below
            end = report.streams.get(stream_id, Records(stream_id, 0, 0)).end_offset
            if start > end:
                text = f"starts at {start}, but ends at {end}: no start accepts that"
                yield Finding(
                    FindingKind.GAP,
                    f"{partition.topic.name}-{partition.index}",
                    text,
                    [Records(stream_id, end, start)],
                )


class _CheckedGroups(StoredGroups):
    """One that is broken a start would skip, here it is noted."""

    def __init__(self) -> None:
        super().__init__()
        self.unreadable: list[str] = []

    def replay(self, key: bytes, value: bytes | None, timestamp_ms: int) -> None:
        try:
            match decode_key(key):
                case OffsetKey() if value is not None:
                    decode_offset_value(value)
                case GroupKey() if value is not None:
                    decode_group_value(value)
        except DecodeError as error:
            self.unreadable.append(str(error))
        super().replay(key, value, timestamp_ms)
