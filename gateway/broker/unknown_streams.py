"""Streams that the journal does not name, found at a start: dropped if it has dropped them.

A dropped stream is in no table from the end of its segment on; a crash before that brings it back.
But a stream is also unknown where damage took the journal's record, and then its own records are
whole and must stay. So only a drop that can be read counts, and to find it costs the journal.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING

from gateway.broker.journal_records import JOURNAL_STREAM_ID, StreamsDropped, decode_journal
from gateway.observe.logger import log_event
from wal_core import Corrupt, Truncated

if TYPE_CHECKING:
    from wal_core import Log

logger = logging.getLogger(__name__)

_READ_BYTES = 1024 * 1024


async def drop_those_that_were_dropped(log: Log, unknown: Collection[int]) -> None:
    """Raises Unavailable; then the next start does it."""
    gone = await _dropped(log)
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


async def _dropped(log: Log) -> set[int]:
    gone: set[int] = set()
    offset = log.start_offset(JOURNAL_STREAM_ID)
    while offset < log.confirmed_offset(JOURNAL_STREAM_ID):
        try:
            entries = await log.read(JOURNAL_STREAM_ID, offset, _READ_BYTES)
        except (Corrupt, Truncated):
            offset += 1  # a record is an entry
            continue
        for entry in entries:
            record = decode_journal(entry.payload)
            if isinstance(record, StreamsDropped):
                gone.update(record.stream_ids)
        offset = entries[-1].end_offset
    return gone
