"""The state of a data log as the log sees it: what is remembered under which key, and replay.

The log gives back what was remembered (`restore`), then every later entry (`apply`), so that a
start costs what is remembered and one unfinished segment however old the log is. Everything that
changes by an entry is noted in `changes`, in the step of the loop in which that is appended; when
the log asks for `values`, they are the effect of every entry so far, durable or not (METADATA.md,
wal_core.LogState).

It knows nothing of the catalog: every stream that the journal has opened and not dropped is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import msgspec

from gateway.broker import state_keys as keys_of
from gateway.broker.journal_records import (
    JOURNAL_STREAM_ID,
    JournalRecord,
    RecordsDeleted,
    StreamKind,
    StreamOpened,
    StreamsDropped,
    decode_journal,
)
from gateway.broker.metadata_records import FIRST_PARTITION_STREAM_ID, UNREADABLE
from gateway.broker.producer_state import ProducerMemory, SavedProducer
from gateway.broker.salvage import StateSalvage, StoredGroups
from gateway.broker.state_keys import KeyKind
from gateway.broker.stream_state import StreamState
from protocol import BatchError, ProtocolError, iter_records
from wal_core import Changes, Corrupt, SteadyClock

if TYPE_CHECKING:
    from wal_core import Clock, Entry

logger = logging.getLogger(__name__)

T = TypeVar("T")
_SMALL_BYTES = 24  # about what the next stream id takes


class SavedStream(NamedTuple):
    """What is remembered of a stream besides its producers; offsets are the log's business."""

    epochs: list[tuple[int, int]]
    deleted_below: int


class _SavedOpened(NamedTuple):
    """What is remembered of `stream_opened`."""

    topic_id: bytes
    name: str
    partition: int
    kind: StreamKind
    term: int = 0


_encoder = msgspec.msgpack.Encoder()
_opened = msgspec.msgpack.Decoder(_SavedOpened)
_streams = msgspec.msgpack.Decoder(SavedStream)
_producers = msgspec.msgpack.Decoder(SavedProducer)


class GroupRecords(Protocol):
    """Who keeps what the records of __consumer_offsets on this log say: its group coordinator."""

    def watch(self, note: Callable[[bytes, int], None]) -> None:
        """Call this with the key of every record that is new, and about how many bytes it has."""
        ...

    def replay(self, key: bytes, value: bytes | None, timestamp_ms: int) -> None: ...

    def values(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """The newest value of each key that has one, appended ones not yet durable included."""
        ...


class DataLogState:
    """Implements wal_core.LogState over the streams of a log and the group records on it."""

    def __init__(
        self,
        log_id: int,
        groups: GroupRecords,
        clock: Clock,
        producer_memory: ProducerMemory | None = None,
        steady: SteadyClock | None = None,
    ) -> None:
        self._log_id = log_id
        self._groups = groups
        self._clock = clock
        self._producer_memory = producer_memory or ProducerMemory()
        self._steady = steady or SteadyClock(clock)
        """Producers are forgotten by their age, which a jump of the wall clock must not change."""
        self.changes = Changes()
        """See LogState."""
        self.next_stream_id = FIRST_PARTITION_STREAM_ID
        """Streams below it were opened at some time; what is not here of them was dropped."""
        self._by_id: dict[int, StreamState] = {}
        self._of_streams: dict[bytes, bytes] = {}  # until all are restored
        groups.watch(lambda key, size: self.changes.note(keys_of.group_record(key), size))

    # -- streams ---------------------------------------------------------------------------

    def streams(self) -> Iterable[StreamState]:
        """Those that have begun, and those that a partition was given."""
        return self._by_id.values()

    def known(self, stream_id: int) -> StreamState | None:
        return self._by_id.get(stream_id)

    def stream(self, stream_id: int) -> StreamState:
        """The stream, as one that has not begun if nothing is known of it."""
        found = self._by_id.get(stream_id)
        if found is None:
            found = StreamState(stream_id, self.changes, self._producer_memory)
            self._by_id[stream_id] = found
        return found

    def forget(self, stream_id: int) -> None:
        """A partition without records is gone, and the state it was given."""
        self._by_id.pop(stream_id, None)

    def take(self, record: JournalRecord) -> None:
        """An entry of the journal, appended or replayed."""
        match record:
            case StreamOpened(stream_id=stream_id):
                self.stream(stream_id).open(record)
                if stream_id >= self.next_stream_id:
                    self.next_stream_id = stream_id + 1
                    self.changes.note(keys_of.next_stream(self._log_id), _SMALL_BYTES)
            case StreamsDropped(stream_ids=stream_ids):
                for stream_id in stream_ids:
                    stream = self._by_id.pop(stream_id, None)
                    if stream is not None:
                        stream.forget()
            case RecordsDeleted(starts=starts):
                for stream_id, offset in starts.items():
                    if (stream := self._by_id.get(stream_id)) is not None:
                        stream.delete_below(offset)

    # -- the log's side --------------------------------------------------------------------

    def restore(self, key: bytes, value: bytes | bytearray | memoryview | None) -> None:
        """See LogState. Raises Corrupt, also for what a newer release has written."""
        kind = keys_of.kind_of(key)
        if kind is KeyKind.GROUP_RECORD:
            stored = None if value is None else bytes(value)
            self._groups.replay(key[1:], stored, self._clock.now_ms())
        elif kind is KeyKind.NEXT_STREAM:
            self.next_stream_id = max(self.next_stream_id, keys_of.decode_stream_id(value))
        elif kind in (KeyKind.OPENED, KeyKind.PARTITION, KeyKind.PRODUCER):
            if value is None:
                self._of_streams.pop(key, None)
            else:
                self._of_streams[key] = bytes(value)
        else:
            raise keys_of.newer(key)

    def restored(self) -> None:
        """See LogState. Raises Corrupt."""
        saved, self._of_streams = self._of_streams, {}
        for key, value in saved.items():
            if keys_of.kind_of(key) is KeyKind.OPENED:
                self._reopen(keys_of.number_of(key), _decode(_opened, value))
        producers: dict[int, dict[int, SavedProducer]] = {}
        for key, value in saved.items():
            kind = keys_of.kind_of(key)
            stream = None if kind is KeyKind.OPENED else self._by_id.get(keys_of.number_of(key))
            if stream is None:
                continue  # dropped since
            if kind is KeyKind.PARTITION:
                stream.load(*_decode(_streams, value))
            else:
                row = _decode(_producers, value)
                producers.setdefault(stream.stream_id, {})[keys_of.producer_of(key)] = row
        for stream_id, of_stream in producers.items():
            self._by_id[stream_id].producers.load(of_stream)

    def _reopen(self, stream_id: int, saved: _SavedOpened) -> None:
        self.take(StreamOpened(stream_id=stream_id, **saved._asdict()))

    def apply(self, entry: Entry) -> None:
        """See LogState. Raises Corrupt."""
        try:
            self._apply(entry)
        except (ProtocolError, BatchError) as error:
            raise Corrupt(
                f"stream {entry.stream_id} cannot be read at offset {entry.base_offset}: {error}"
            ) from None

    def _apply(self, entry: Entry) -> None:
        if entry.stream_id == JOURNAL_STREAM_ID:
            self.take(decode_journal(entry.payload))
            return
        stream = self._by_id.get(entry.stream_id)
        if stream is None:
            return  # nobody opened it: what that means is for the owner of the log to say
        stream.apply(entry, self._steady.now_ms())
        if stream.is_group_offsets:
            for record in iter_records(entry.payload):
                if record.key is not None:
                    self._groups.replay(record.key, record.value, record.timestamp_ms)

    def values(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        """See LogState."""
        group_keys = [key[1:] for key in keys if keys_of.kind_of(key) is KeyKind.GROUP_RECORD]
        of_groups = self._groups.values(group_keys) if group_keys else {}
        for key in keys:
            if keys_of.kind_of(key) is KeyKind.GROUP_RECORD:
                yield key, of_groups.get(key[1:])
            else:
                yield key, self._value(key)

    def _value(self, key: bytes) -> bytes | None:
        kind = keys_of.kind_of(key)
        if kind is KeyKind.NEXT_STREAM:
            return keys_of.encode_stream_id(self.next_stream_id)
        stream = self._by_id.get(keys_of.number_of(key))
        if stream is None or stream.opened is None:
            return None
        if kind is KeyKind.OPENED:
            opened = stream.opened
            return _encoder.encode(
                (opened.topic_id, opened.name, opened.partition, opened.kind, opened.term)
            )
        if kind is KeyKind.PARTITION:
            return _encoder.encode(SavedStream(stream.epochs, stream.deleted_below))
        saved = stream.producers.save(keys_of.producer_of(key), self._steady.now_ms())
        return None if saved is None else _encoder.encode(saved)

    def confirmed(self, ends: Mapping[int, int]) -> None:
        for stream_id in ends:
            stream = self._by_id.get(stream_id)
            if stream is not None and stream.partition is not None and stream.partition.waiters:
                stream.partition.wake()

    def salvage(self) -> StateSalvage:
        """See LogState."""
        state = DataLogState(self._log_id, StoredGroups(), self._clock)
        return StateSalvage(state, state)


def _decode(decoder: msgspec.msgpack.Decoder[T], value: bytes) -> T:
    try:
        return decoder.decode(value)
    except UNREADABLE as error:
        raise Corrupt(f"what is remembered of a stream cannot be read: {error}") from None
