"""Streams that no topic is known for, found at a start: dropped if they were a deleted topic's.

A dropped stream is in no table from the end of its segment on; a crash before that brings it back.
But a topic is also unknown where damage took its record, and then its records are whole and must
stay. So only a deletion that can be read counts, and to find it costs the metadata stream.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING

from gateway.broker.metadata_records import TopicCreated, TopicDeleted, decode_metadata
from gateway.broker.topics import METADATA_STREAM_ID
from gateway.observe.logger import log_event
from wal_core import Corrupt, Truncated

if TYPE_CHECKING:
    from wal_core import Log

logger = logging.getLogger(__name__)

_READ_BYTES = 1024 * 1024


async def drop_those_of_deleted_topics(log: Log, unknown: Collection[int]) -> None:
    """Raises Unavailable; then the next start does it."""
    gone = await _of_deleted_topics(log, frozenset(unknown))
    for stream_id in sorted(unknown):
        if stream_id in gone:
            log.drop_stream(stream_id)
        else:
            log_event(
                logger,
                logging.ERROR,
                "records of a topic that nothing tells of any more: kept, but not served",
                stream=stream_id,
                records_count=log.confirmed_offset(stream_id) - log.start_offset(stream_id),
                remedy="`woodpecker-gateway fsck` tells what is lost; a copy may have it",
            )


async def _of_deleted_topics(log: Log, unknown: frozenset[int]) -> set[int]:
    streams: dict[bytes, frozenset[int]] = {}
    gone: set[int] = set()
    offset = log.start_offset(METADATA_STREAM_ID)
    while offset < log.confirmed_offset(METADATA_STREAM_ID):
        try:
            entries = await log.read(METADATA_STREAM_ID, offset, _READ_BYTES)
        except (Corrupt, Truncated):
            offset += 1  # a record is an entry
            continue
        for entry in entries:
            record = decode_metadata(entry.payload)
            if isinstance(record, TopicCreated):
                own = unknown.intersection(place.stream_id for place in record.placements)
                if own:
                    streams[record.topic_id] = own
            elif isinstance(record, TopicDeleted):
                gone |= streams.get(record.topic_id, frozenset())
        offset = entries[-1].end_offset
    return gone
