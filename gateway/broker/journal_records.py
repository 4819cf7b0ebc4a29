"""What the journal of a data log holds, its stream 0: one JSON object per entry (METADATA.md).

With it a log can be understood without the catalog: whose each of its streams is, where streams
start, and which are gone.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gateway.broker.metadata_records import (
    ID_MAX,
    PARTITIONS_MAX_COUNT,
    Record,
    StreamId,
    TopicId,
    decode_record,
)

JOURNAL_STREAM_ID = 0

StreamKind = Literal["records", "group_offsets"]
_Offset = Annotated[int, msgspec.Meta(ge=0, le=ID_MAX)]
_Index = Annotated[int, msgspec.Meta(ge=0, lt=PARTITIONS_MAX_COUNT)]


class StreamOpened(Record, tag="stream_opened", frozen=True, kw_only=True):
    """A stream begins: it is a partition of this topic, and of no other, for all its life.

    The first entry of a stream's life: before the first of its records, mostly in one block with
    it. A partition without records has none.
    """

    stream_id: StreamId
    topic_id: TopicId  # base64 in the JSON
    name: str  # of the topic
    partition: _Index
    kind: StreamKind
    term: Annotated[int, msgspec.Meta(ge=0)] = 0  # of the log when it began; epochs count from it


class StreamsDropped(Record, tag="streams_dropped", frozen=True, kw_only=True):
    """These streams are gone, since their topic is; their ids are never used again.

    Written only when the catalog has a tombstone of the topic.
    """

    topic_id: TopicId
    stream_ids: list[StreamId]


class RecordsDeleted(Record, tag="records_deleted", frozen=True, kw_only=True):
    """Partitions start further on: stream id -> first offset that may still be read.

    Written before any of it shows, with offsets that were durable by then (so no stream ends before
    its new start). The greatest offset a stream was ever given holds.
    """

    starts: dict[StreamId, _Offset]


JournalRecord = StreamOpened | StreamsDropped | RecordsDeleted

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(JournalRecord)


def encode_journal(record: JournalRecord) -> bytes:
    return _encoder.encode(record)


def decode_journal(payload: bytes | memoryview) -> JournalRecord:
    """Raises Corrupt, and Invalid for a version that is not read here."""
    record: JournalRecord = decode_record(_decoder, payload, "journal")
    return record
