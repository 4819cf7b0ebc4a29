"""Names of streams, as a start would know them."""

import pytest

from gateway.broker.journal_records import JOURNAL_STREAM_ID, StreamOpened, encode_journal
from gateway.broker.metadata_records import encode_metadata
from gateway.broker.topics import METADATA_STREAM_ID
from gateway.cli.stream_names import StreamNames
from gateway.cli.tests.test_fsck import OPENED, TOPIC, log_state
from wal_core import CHECKPOINT_STREAM_ID, Corrupt, Entry


async def test_names_come_from_the_checkpoint_and_what_follows() -> None:
    state = log_state()
    state.take(OPENED)
    names = StreamNames(1)
    looking = names.new()
    own = {JOURNAL_STREAM_ID: "the journal", CHECKPOINT_STREAM_ID: "the checkpoint"}
    assert names.names == own
    with pytest.raises(Corrupt, match="newer release"):
        looking.restore(b"by somebody else", b"")
    for key, value in state.values(state.changes.keys()):
        looking.restore(key, value)
    looking.restored()
    assert names.names[6] == "orders-1"
    later = StreamOpened(stream_id=9, topic_id=bytes(16), name="later", partition=0, kind="records")
    looking.apply(Entry(JOURNAL_STREAM_ID, 1, 1, 1, -1, encode_journal(later)))
    with pytest.raises(Corrupt, match="cannot be read"):
        looking.apply(Entry(JOURNAL_STREAM_ID, 2, 1, 1, -1, b"of a newer release"))
    assert names.names[9] == "later-0"
    names.new()
    assert 6 not in names.names


async def test_the_catalog_names_the_logs_it_has_placed_something_on() -> None:
    names = StreamNames(0)
    names.new().apply(Entry(METADATA_STREAM_ID, 0, 1, 1, -1, encode_metadata(TOPIC)))
    assert names.log_ids == {1}
    own = {METADATA_STREAM_ID: "the catalog", CHECKPOINT_STREAM_ID: "the checkpoint"}
    assert names.names == own
