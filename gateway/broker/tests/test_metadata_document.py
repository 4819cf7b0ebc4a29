"""METADATA.md is the contract: its examples are decoded out of the document itself."""

import re
from pathlib import Path

from gateway.broker.metadata_records import (
    RecordsDeleted,
    TopicCreated,
    decode_metadata,
    encode_metadata,
)
from gateway.broker.state import BrokerState
from gateway.broker.topics import TopicRegistry
from wal_core import Corrupt

DOCUMENT = (Path(__file__).parents[1] / "METADATA.md").read_text()


class FixedClock:
    def now_ms(self) -> int:
        return 1_700_000_000_000


class NoGroups:
    def replay(self, key: bytes, value: bytes | None, timestamp_ms: int) -> None:
        raise AssertionError("there are no group records")

    def snapshot(self) -> list[tuple[bytes, bytes]]:
        return []


def example(kind: str) -> str:
    found = re.search(rf"```\w+ {kind}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found, kind
    return found[1].strip()


def test_the_metadata_record_is_read_and_written_as_documented() -> None:
    text = example("metadata").encode()
    record = decode_metadata(text)
    assert record == TopicCreated(
        name="orders",
        topic_id=bytes.fromhex("0102030405064708890a0b0c0d0e0f10"),
        first_stream_id=51,
        partitions_count=3,
        configs={"retention.ms": "3600000"},
    )
    assert encode_metadata(record) == text


def test_a_deletion_of_records_is_read_and_written_as_documented() -> None:
    text = example("starts").encode()
    record = decode_metadata(text)
    assert record == RecordsDeleted(starts={51: 120, 53: 7})
    assert encode_metadata(record) == text


def test_every_record_type_is_in_the_table() -> None:
    from gateway.broker.metadata_records import MetadataRecord

    for kind in MetadataRecord.__args__:
        assert f"| `{kind.__struct_config__.tag}` |" in DOCUMENT
        for field in kind.__struct_fields__:
            assert f"`{field}`" in DOCUMENT, (kind, field)


async def test_the_checkpoint_is_read_and_written_as_documented() -> None:
    raw = bytes.fromhex(example("checkpoint"))
    topics = TopicRegistry(1)
    state = BrokerState(topics, NoGroups(), FixedClock())
    state.restore(raw)
    assert topics.cluster_id == "abc"
    assert state.checkpoint() == raw


def test_a_checkpoint_of_a_newer_release_is_refused() -> None:
    raw = bytes.fromhex(example("checkpoint")).replace(b"\x95\x01", b"\x95\x02", 1)
    state = BrokerState(TopicRegistry(1), NoGroups(), FixedClock())
    try:
        state.restore(raw)
    except Corrupt as error:
        assert "newer release" in str(error)
    else:
        raise AssertionError("accepted")


def test_an_unknown_record_is_refused() -> None:
    try:
        decode_metadata(b'{"type":"from_the_future"}')
    except Corrupt as error:
        assert "from_the_future" in str(error)
    else:
        raise AssertionError("accepted")
