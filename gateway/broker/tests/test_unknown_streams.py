"""Streams that the journal does not name: only a drop that can be read lets them go."""

from __future__ import annotations

import logging

import pytest

from gateway.broker.journal_records import (
    JOURNAL_STREAM_ID,
    RecordsDeleted,
    StreamsDropped,
    encode_journal,
)
from gateway.broker.unknown_streams import drop_those_that_were_dropped
from wal_core import Corrupt, Entry, Unavailable


class FakeLog:
    """A journal of one record an entry; None: it cannot be read."""

    def __init__(self, *journal: StreamsDropped | RecordsDeleted | None) -> None:
        self.journal = journal
        self.dropped: list[int] = []
        self.error: Exception | None = None

    def start_offset(self, stream_id: int) -> int:
        return 0

    def confirmed_offset(self, stream_id: int) -> int:
        return len(self.journal) if stream_id == JOURNAL_STREAM_ID else 5

    async def read(self, stream_id: int, offset: int, bytes_max: int) -> list[Entry]:
        assert stream_id == JOURNAL_STREAM_ID
        if self.error is not None:
            raise self.error
        record = self.journal[offset]
        if record is None:
            raise Corrupt("damaged")
        return [Entry(stream_id, offset, 1, 1, -1, encode_journal(record))]

    def drop_stream(self, stream_id: int) -> None:
        self.dropped.append(stream_id)


def dropped(*stream_ids: int) -> StreamsDropped:
    return StreamsDropped(topic_id=b"t" * 16, stream_ids=list(stream_ids))


async def test_what_the_journal_has_dropped_goes_and_the_rest_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = FakeLog(dropped(4, 9), RecordsDeleted(starts={7: 1}), dropped(8))
    with caplog.at_level(logging.ERROR):
        await drop_those_that_were_dropped(log, {9, 8, 7, 4})  # type: ignore[arg-type]
    assert log.dropped == [4, 8, 9]
    (told,) = caplog.records
    assert "kept, but not served" in told.getMessage()


async def test_a_record_that_cannot_be_read_drops_nothing() -> None:
    log = FakeLog(None, dropped(4), None)
    await drop_those_that_were_dropped(log, {4, 5})  # type: ignore[arg-type]
    assert log.dropped == [4]


async def test_while_the_store_is_away_nothing_is_decided() -> None:
    log = FakeLog(dropped(4))
    log.error = Unavailable("away")
    with pytest.raises(Unavailable):
        await drop_those_that_were_dropped(log, {4})  # type: ignore[arg-type]
    assert log.dropped == []
