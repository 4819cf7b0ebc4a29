"""What must hold for any bytes that claim to be frames or state of the gateway.

`decode_x` may refuse, with the errors its docstring names; `check_x` takes what was accepted and
may not fail.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from struct import Struct
from typing import Generic, TypeVar

from gateway.broker.catalog_state import CatalogState
from gateway.broker.journal_records import (
    JOURNAL_STREAM_ID,
    JournalRecord,
    RecordsDeleted,
    StreamKind,
    StreamOpened,
    StreamsDropped,
    decode_journal,
    encode_journal,
)
from gateway.broker.log_state import DataLogState
from gateway.broker.metadata_records import (
    FIRST_PARTITION_STREAM_ID,
    ClusterCreated,
    ConfigsChanged,
    MetadataRecord,
    PartitionsAdded,
    TopicConfigsChanged,
    TopicCreated,
    TopicDeleted,
    TopicForgotten,
    consecutive,
    decode_metadata,
    encode_metadata,
)
from gateway.broker.topic_rules import OFFSETS_TOPIC
from gateway.broker.topics import TopicRegistry
from gateway.groups import GroupCoordinator, group_config, records
from gateway.groups.committed import CommittedOffset
from gateway.groups.journal import Record
from gateway.net.buffers import BlockPool
from gateway.net.frame_reader import FrameReader
from gateway.settings.config import Config
from protocol import Record as KafkaRecord
from protocol import build_batch
from protocol.messages.group_records import GroupMetadataValue, MemberMetadata
from protocol.primitives import Writer
from wal_core import Entry, SteadyClock

_NOW_MS = 1_700_000_000_000
_MESSAGE_BYTES_MAX = 1 << 20
_GROUP_VALUE_VERSION = 3


S = TypeVar("S", bound=CatalogState | DataLogState)


class _Now(SteadyClock):
    """A clock that stands still, and asks no event loop."""

    def __init__(self) -> None:
        super().__init__(self)

    def now_ms(self) -> int:
        return _NOW_MS


class _NoChance:
    """Nothing here may depend on it."""

    def random_bytes(self, count: int) -> bytes:
        return bytes(count)

    def random(self) -> float:
        return 0.5


class _NoJournal:
    def append(self, group_id: str, records: Sequence[Record]) -> Awaitable[None]:
        raise AssertionError("reading writes nothing")


class Scratch(Generic[S]):
    """The state of a log with nothing behind it."""

    def __init__(self, state: S) -> None:
        self.state = state
        self._restored: dict[bytes, None] = {}

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Raises Corrupt."""
        self.state.restore(key, value)
        self._restored[key] = None

    def remembered(self) -> dict[bytes, bytes]:
        """Every key that has a value now."""
        keys = dict.fromkeys((*self._restored, *self.state.changes.keys()))
        return {key: value for key, value in self.state.values([*keys]) if value is not None}


class CatalogScratch(Scratch[CatalogState]):
    """That of the catalog."""

    def __init__(self) -> None:
        self.topics = TopicRegistry(_MESSAGE_BYTES_MAX)
        super().__init__(CatalogState(self.topics))


class DataScratch(Scratch[DataLogState]):
    """That of a data log."""

    def __init__(self) -> None:
        clock = _Now()
        self.groups = GroupCoordinator(
            _NoJournal(), group_config(Config()), clock=clock, rng=_NoChance()
        )
        super().__init__(DataLogState(1, self.groups, clock, None, clock))


# --- frames --------------------------------------------------------------------------------------

_FRAME_BYTES_MAX = 100_000
_LENGTH = Struct(">i")


def frames_seeds() -> Iterator[tuple[str, bytes]]:
    frames = b"".join(_LENGTH.pack(len(body)) + body for body in (b"one", b"", b"three" * 9))
    yield "in-one-read", b"\xff" + frames
    yield "byte-by-byte", b"\x01" + frames
    yield "large-begins", b"\x50" + frames + _LENGTH.pack(90_000) + bytes(200)


def decode_frames(data: bytes) -> tuple[bytes, list[bytes]]:
    """A byte for the size of a read, then what a socket brings. Raises FrameTooLarge."""
    stream = data[1:]
    return stream, _cut(stream, max(data[0] if data else 0, 1))


def check_frames(decoded: tuple[bytes, list[bytes]]) -> None:
    """However the stream was cut up on its way, the frames are the same."""
    stream, frames = decoded
    assert _cut(stream, len(stream) or 1) == frames
    whole = b"".join(_LENGTH.pack(len(frame)) + frame for frame in frames)
    assert stream.startswith(whole)


def _cut(stream: bytes, read_bytes: int) -> list[bytes]:
    reader = FrameReader(BlockPool(0), _FRAME_BYTES_MAX)
    frames: list[bytes] = []
    at = 0
    while at < len(stream):
        room = reader.buffer()
        count = min(read_bytes, len(room), len(stream) - at)
        room[:count] = stream[at : at + count]
        at += count
        reader.received(count)
        frames += map(bytes, iter(reader.next_frame, None))
    return frames


# --- catalog and journal -------------------------------------------------------------------------

_TOPIC = TopicCreated(
    name="orders",
    topic_id=bytes(range(16)),
    placements=consecutive(1, 51, 3),
    configs={"retention.ms": "3600000", "max.message.bytes": "1000"},
)
_CHANGED = TopicConfigsChanged(topic_id=_TOPIC.topic_id, configs={"retention.bytes": "9"})
_GROWN = PartitionsAdded(topic_id=_TOPIC.topic_id, placements=consecutive(1, 51, 5))
_CONFIGURED = ConfigsChanged(kind="broker", name="", configs={"log.retention.ms": "9"})
_LIMITED = ConfigsChanged(
    kind="client_quota", name='{"client-id":null}', configs={"producer_byte_rate": "9.0"}
)
_INTERNAL = TopicCreated(
    name=OFFSETS_TOPIC,
    topic_id=bytes(range(1, 17)),
    placements=consecutive(1, FIRST_PARTITION_STREAM_ID, 2),
)
_STARTS = RecordsDeleted(starts={51: 1, 53: 7})
_PARTITIONS_MAX_COUNT = 1_000


def _opened(topic: TopicCreated, index: int, kind: StreamKind) -> StreamOpened:
    return StreamOpened(
        stream_id=topic.placements[index].stream_id,
        topic_id=topic.topic_id,
        name=topic.name,
        partition=index,
        kind=kind,
    )


_OPENED = (_opened(_TOPIC, 0, "records"), _opened(_INTERNAL, 0, "group_offsets"))
_DROPPED = StreamsDropped(topic_id=_TOPIC.topic_id, stream_ids=[51, 53])


def metadata_seeds() -> Iterator[tuple[str, bytes]]:
    yield "cluster", encode_metadata(ClusterCreated(cluster_id="AAAAAAAAAAAAAAAAAAAAAA"))
    yield "topic", encode_metadata(_TOPIC)
    yield "deleted", encode_metadata(TopicDeleted(topic_id=_TOPIC.topic_id))
    yield "forgotten", encode_metadata(TopicForgotten(topic_id=_TOPIC.topic_id))
    yield "configs", encode_metadata(_CHANGED)
    yield "configured", encode_metadata(_CONFIGURED)
    yield "limited", encode_metadata(_LIMITED)
    yield "grown", encode_metadata(_GROWN)


def decode_metadata_record(data: bytes) -> MetadataRecord:
    """Raises Corrupt."""
    return decode_metadata(data)


def check_metadata_record(record: MetadataRecord) -> None:
    """It can be written again, and taken in by a catalog with topics, with one and without."""
    assert decode_metadata(encode_metadata(record)) == record
    if (
        isinstance(record, TopicCreated | PartitionsAdded)
        and len(record.placements) > _PARTITIONS_MAX_COUNT
    ):
        return  # they cost what they cost
    deleted = TopicDeleted(topic_id=_TOPIC.topic_id)
    for known in ((), (_TOPIC,), (_TOPIC, _INTERNAL), (_TOPIC, deleted)):
        scratch = CatalogScratch()
        for each in known:
            scratch.state.take(each)
        scratch.state.take(record)
        _check_same(scratch, CatalogScratch())


def journal_seeds() -> Iterator[tuple[str, bytes]]:
    yield "opened", encode_journal(_OPENED[0])
    yield "opened-offsets", encode_journal(_OPENED[1])
    yield "dropped", encode_journal(_DROPPED)
    yield "records-deleted", encode_journal(_STARTS)


def decode_journal_record(data: bytes) -> JournalRecord:
    """Raises Corrupt."""
    return decode_journal(data)


def check_journal_record(record: JournalRecord) -> None:
    """It can be written again, and taken in by a log with streams and without."""
    payload = encode_journal(record)
    assert decode_journal(payload) == record
    for known in ((), _OPENED, (*_OPENED, _DROPPED)):
        scratch = DataScratch()
        for each in known:
            scratch.state.take(each)
        scratch.state.apply(Entry(JOURNAL_STREAM_ID, 0, 1, 1, -1, payload))
        _check_same(scratch, DataScratch())


# --- what is remembered --------------------------------------------------------------------------

_PAIR = Struct(">BH")


def remembered_seeds() -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    scratch = DataScratch()
    for record in (*_OPENED, _STARTS):
        scratch.state.take(record)
    batch = build_batch(
        [KafkaRecord(value=b"v", timestamp_ms=_NOW_MS)],
        producer_id=4,
        producer_epoch=0,
        base_sequence=0,
        leader_epoch=2,
    )
    scratch.state.apply(Entry(_OPENED[0].stream_id, 0, 1, 1, _NOW_MS, bytes(batch)))
    for key, value in _group_records():
        scratch.groups.replay(key, value, _NOW_MS)
    yield "full", _pairs(scratch)


def catalog_seeds() -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    scratch = CatalogScratch()
    cluster = ClusterCreated(cluster_id="AAAAAAAAAAAAAAAAAAAAAA")
    for record in (cluster, _INTERNAL, _TOPIC, TopicDeleted(topic_id=_TOPIC.topic_id)):
        scratch.state.take(record)
    yield "full", _pairs(scratch)


def _pairs(scratch: Scratch[S]) -> bytes:
    pairs = scratch.remembered().items()
    return b"".join(_PAIR.pack(len(k), len(v)) + k + v for k, v in pairs)


def decode_remembered(data: bytes) -> DataScratch:
    """Lengths of key and value, key, value, and so on; no value means: forgotten.

    Raises Corrupt.
    """
    scratch = DataScratch()
    _restore(scratch, data)
    return scratch


def decode_catalog(data: bytes) -> CatalogScratch:
    """The same, of the catalog. Raises Corrupt."""
    scratch = CatalogScratch()
    _restore(scratch, data)
    return scratch


def _restore(scratch: Scratch[S], data: bytes) -> None:
    at = 0
    while at + _PAIR.size <= len(data):
        key_bytes, value_bytes = _PAIR.unpack_from(data, at)
        key_end = at + _PAIR.size + key_bytes
        at = key_end + value_bytes
        scratch.restore(data[key_end - key_bytes : key_end], data[key_end:at] or None)
    scratch.state.restored()


def check_remembered(scratch: DataScratch) -> None:
    _check_same(scratch, DataScratch())


def check_catalog(scratch: CatalogScratch) -> None:
    _check_same(scratch, CatalogScratch())


def _check_same(scratch: Scratch[S], again: Scratch[S]) -> None:
    """What is remembered now stands for this very state."""
    remembered = scratch.remembered()
    for key, value in remembered.items():
        again.restore(key, value)
    again.state.restored()
    assert again.remembered() == remembered


# --- entries of partitions -----------------------------------------------------------------------


def entry_seeds() -> Iterator[tuple[str, bytes]]:
    pairs = [KafkaRecord(key=key, value=value) for key, value in _group_records()]
    yield (
        "records",
        b"\x00"
        + bytes(
            build_batch([KafkaRecord(value=b"v")], producer_id=1, producer_epoch=0, base_sequence=0)
        ),
    )
    yield "group-records", b"\x01" + bytes(build_batch(pairs))


def decode_entry(data: bytes) -> DataScratch:
    """A byte for the partition (1: of the groups' topic), then a batch as it lies in the log.

    Raises Corrupt.
    """
    scratch = DataScratch()
    for record in _OPENED:
        scratch.state.take(record)
    stream_id = _OPENED[data[:1] == b"\x01"].stream_id
    scratch.state.apply(Entry(stream_id, 0, 1, 1, -1, data[1:]))
    return scratch


def check_entry(scratch: DataScratch) -> None:
    _check_same(scratch, DataScratch())


# --- group records -------------------------------------------------------------------------------


def _group_records() -> list[tuple[bytes, bytes]]:
    member = MemberMetadata(
        member_id="m-1",
        group_instance_id="i",
        client_id="c",
        client_host="h",
        rebalance_timeout=1_000,
        session_timeout=6_000,
        subscription=b"s",
        assignment=b"a",
    )
    group = GroupMetadataValue(
        protocol_type="consumer",
        generation=3,
        protocol="range",
        leader="m-1",
        current_state_timestamp=_NOW_MS,
        members=[member],
    )
    out = Writer(bytearray(_GROUP_VALUE_VERSION.to_bytes(2, "big")))
    group.encode(out, _GROUP_VALUE_VERSION)
    offset = CommittedOffset(17, 2, "metadata", _NOW_MS)
    return [
        (records.encode_offset_key("g", "orders", 1), records.encode_offset_value(offset)),
        (records.encode_group_key("g"), out.to_bytes()),
    ]


def group_record_seeds() -> Iterator[tuple[str, bytes]]:
    for name, (key, value) in zip(("offset", "group"), _group_records(), strict=True):
        yield name, bytes((len(key),)) + key + value
        yield f"{name}-deleted", bytes((len(key),)) + key


def decode_group_record(data: bytes) -> tuple[bytes, bytes | None]:
    """A byte for the key's length, then key and value; no value deletes. Raises DecodeError."""
    end = 1 + (data[0] if data else 0)
    key, value = data[1:end], data[end:] or None
    found = records.decode_key(key)
    if value is None:
        return key, None
    if isinstance(found, records.OffsetKey):
        offset = records.decode_offset_value(value)
        assert records.decode_offset_value(records.encode_offset_value(offset)) == offset
    elif isinstance(found, records.GroupKey):
        records.restored_members(records.decode_group_value(value))
    return key, value


def check_group_record(decoded: tuple[bytes, bytes | None]) -> None:
    """A coordinator takes it, keeps it byte for byte, and forgets it when told."""
    key, value = decoded
    scratch = DataScratch()
    scratch.groups.replay(key, value, _NOW_MS)
    assert scratch.groups.snapshot() == ([] if value is None else [(key, value)])
    scratch.groups.replay(key, None, _NOW_MS)
    assert scratch.groups.snapshot() == []
