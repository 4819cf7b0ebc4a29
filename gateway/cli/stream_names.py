"""What the gateway keeps in its logs beside records, as a start would restore it: the names of
streams, and whether a start could go on from there.
"""

from collections.abc import Iterator

from gateway.broker.catalog_state import CatalogState
from gateway.broker.journal_records import JOURNAL_STREAM_ID
from gateway.broker.log_state import DataLogState
from gateway.broker.salvage import StoredGroups
from gateway.broker.topic_rules import OFFSETS_TOPIC
from gateway.broker.topics import METADATA_STREAM_ID, TopicRegistry
from gateway.cluster.view import CATALOG_LOG_ID
from gateway.groups.records import (
    GroupKey,
    OffsetKey,
    decode_group_value,
    decode_key,
    decode_offset_value,
)
from protocol import DecodeError
from wal_core import (
    CHECKPOINT_STREAM_ID,
    Finding,
    FindingKind,
    LogReport,
    LogState,
    Records,
    SystemClock,
)


class StreamNames:
    """Makes states for looks at one log; the rest is of the last one."""

    def __init__(self, log_id: int) -> None:
        self._log_id = log_id
        self._groups = _CheckedGroups()
        self._topics = TopicRegistry(message_bytes_max=0)
        self._state: DataLogState | None = None

    def new(self) -> LogState:
        """Raises Corrupt from what a start could not restore either."""
        self._groups = _CheckedGroups()
        if self._log_id == CATALOG_LOG_ID:
            self._topics = TopicRegistry(message_bytes_max=0)
            return CatalogState(self._topics)
        self._state = DataLogState(self._log_id, self._groups, SystemClock())
        return self._state

    @property
    def log_ids(self) -> set[int]:
        """The logs that the catalog names, if this is the catalog."""
        return self._topics.log_ids()

    @property
    def names(self) -> dict[int, str]:
        """topic-partition by stream."""
        found = {CHECKPOINT_STREAM_ID: "the checkpoint"}
        if self._log_id == CATALOG_LOG_ID:
            return found | {METADATA_STREAM_ID: "the catalog"}
        found[JOURNAL_STREAM_ID] = "the journal"
        for stream in self._state.streams() if self._state else ():
            if stream.opened is not None:
                found[stream.stream_id] = f"{stream.opened.name}-{stream.opened.partition}"
        return found

    def findings(self, report: LogReport) -> Iterator[Finding]:
        """What only the gateway can tell."""
        unreadable = self._groups.unreadable
        if unreadable:
            text = f"{len(unreadable)} records cannot be read, a start skips them: {unreadable[0]}"
            yield Finding(FindingKind.DAMAGED, OFFSETS_TOPIC, text)
        if not report.sound or self._state is None:
            return  # where records are missing, the ends of partitions may be
        names = self.names
        for stream in self._state.streams():
            stream_id, start = stream.stream_id, stream.deleted_below
            end = report.streams.get(stream_id, Records(stream_id, 0, 0)).end_offset
            if start > end:
                text = f"starts at {start}, but ends at {end}: no start accepts that"
                missing = [Records(stream_id, end, start)]
                yield Finding(FindingKind.GAP, names[stream_id], text, missing)


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
