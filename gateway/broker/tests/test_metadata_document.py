"""METADATA.md is the contract: its examples are decoded out of the document itself."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from gateway.broker import state_keys
from gateway.broker.catalog_state import CatalogState
from gateway.broker.journal_records import (
    RecordsDeleted,
    StreamOpened,
    decode_journal,
    encode_journal,
)
from gateway.broker.log_state import DataLogState
from gateway.broker.metadata_records import (
    RECORD,
    ConfigsChanged,
    PartitionsAdded,
    Placement,
    TopicCreated,
    decode_metadata,
    encode_metadata,
)
from gateway.broker.producer_state import ProducerStates
from gateway.broker.quota_entities import encode_entity
from gateway.broker.state_keys import KeyKind
from gateway.broker.topics import TopicRegistry
from wal_core import Corrupt, Invalid

TOPIC_KEY = state_keys.topic(bytes.fromhex("0102030405064708890a0b0c0d0e0f10"))
DOCUMENT = (Path(__file__).parents[1] / "METADATA.md").read_text()


class FixedClock:
    def now_ms(self) -> int:
        return 1_700_000_000_000


class NoGroups:
    def replay(self, key: bytes, value: bytes | None, timestamp_ms: int) -> None:
        raise AssertionError("there are no group records")

    def watch(self, note: Callable[[bytes, int], None]) -> None: ...

    def values(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        raise AssertionError("there are no group records")


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
        placements=[Placement(1, 51), Placement(1, 52), Placement(2, 17)],
        configs={"retention.ms": "3600000"},
    )
    assert encode_metadata(record) == text


def test_more_partitions_are_read_and_written_as_documented() -> None:
    text = example("grown").encode()
    grown, topic = decode_metadata(text), decode_metadata(example("metadata").encode())
    assert isinstance(grown, PartitionsAdded) and isinstance(topic, TopicCreated)
    assert encode_metadata(grown) == text
    assert grown == PartitionsAdded(
        topic_id=topic.topic_id, placements=[*topic.placements, Placement(1, 60)]
    )


def test_settings_of_brokers_and_groups_are_read_and_written_as_documented() -> None:
    text = example("configured").encode()
    record = decode_metadata(text)
    assert record == ConfigsChanged(
        kind="broker", name="", configs={"log.retention.ms": "86400000"}
    )
    assert encode_metadata(record) == text
    state = CatalogState(TopicRegistry(1))
    key = bytes.fromhex(example("configured key"))
    state.restore(key, text)
    assert dict(state.values([key])) == {key: text}
    state.restore(key, None)
    assert dict(state.values([key])) == {key: None}


def test_quotas_are_read_and_written_as_documented() -> None:
    text = example("limited").encode()
    record = decode_metadata(text)
    assert record == ConfigsChanged(
        kind="client_quota",
        name=encode_entity((("client-id", None), ("user", "alice"))),
        configs={"producer_byte_rate": "1000000.0"},
    )
    assert encode_metadata(record) == text
    state = CatalogState(TopicRegistry(1))
    key = state_keys.configs("client_quota", record.name)
    state.restore(key, text)
    assert dict(state.values([key])) == {key: text}


def test_a_deletion_of_records_is_read_and_written_as_documented() -> None:
    text = example("starts").encode()
    record = decode_journal(text)
    assert record == RecordsDeleted(starts={51: 120, 53: 7})
    assert encode_journal(record) == text


def test_the_beginning_of_a_stream_is_read_and_written_as_documented() -> None:
    text = example("opened").encode()
    record = decode_journal(text)
    assert record == StreamOpened(
        stream_id=51,
        topic_id=bytes.fromhex("0102030405064708890a0b0c0d0e0f10"),
        name="orders",
        partition=0,
        kind="records",
        term=3,
    )
    assert encode_journal(record) == text


def test_every_record_type_is_in_the_table() -> None:
    from gateway.broker.journal_records import JournalRecord
    from gateway.broker.metadata_records import MetadataRecord

    for kind in (*MetadataRecord.__args__, *JournalRecord.__args__):
        assert f"| `{kind.__struct_config__.tag}` |" in DOCUMENT
        for field in kind.__struct_fields__:
            assert f"`{field}`" in DOCUMENT, (kind, field)


def pair(kind: str) -> tuple[bytes, bytes]:
    key, value = example(kind).split("\n")
    return bytes.fromhex(key), bytes.fromhex(value)


async def test_what_is_remembered_is_read_and_written_as_documented() -> None:
    state = DataLogState(1, NoGroups(), FixedClock())
    pairs = dict(pair(kind) for kind in ("producer", "partition", "stream"))
    for key, value in pairs.items():
        state.restore(key, value)
    state.restored()
    # But for the producer, who is forgotten in time.
    assert dict(state.values([*pairs])) | {pair("producer")[0]: pair("producer")[1]} == pairs
    opened = [stream.opened for stream in state.streams()]
    assert opened == [decode_journal(example("opened").encode())]


def test_a_topic_is_remembered_as_documented() -> None:
    state = CatalogState(TopicRegistry(1))
    value = example("metadata").encode()
    state.restore(TOPIC_KEY, value)
    pairs = dict([(TOPIC_KEY, value), pair("tombstone"), pair("next")])
    for key, stored in pairs.items():
        state.restore(key, stored)
    assert dict(state.values([*pairs])) == pairs


def test_a_producer_is_written_as_documented() -> None:
    states = ProducerStates()
    saved = (0, FixedClock().now_ms(), [(0, 2, 1_024)])
    states.load({4_000: saved})
    assert states.save(4_000, saved[1]) == saved
    key = state_keys.producer(51, 4_000)
    assert (key, msgspec.msgpack.encode(saved)) == pair("producer")


def test_every_kind_of_key_is_in_the_table() -> None:
    for kind in KeyKind:
        assert f"| `{kind.value.decode()}`" in DOCUMENT


@pytest.mark.parametrize(
    ("version", "remedy"),
    [(0, "run the older version of it"), (2, "run the newer version of it")],
)
def test_a_record_of_another_version_is_refused_by_name(version: int, remedy: str) -> None:
    """Also where the type, or a field of it, is one that this program does not know."""
    for rest in ('"type":"topic_deleted","topic_id":"AQIDBAUGRwiJCgsMDQ4PEA=="', '"type":"else"'):
        said = f"a metadata record is of version {version}, this program reads version 1: {remedy}"
        with pytest.raises(Invalid, match=said):
            decode_metadata(b'{"version":%d,%s}' % (version, rest.encode()))


def test_the_table_of_versions_is_what_the_program_does() -> None:
    assert f"| {RECORD.what} | `version` | {RECORD.version} | {RECORD.oldest} |" in DOCUMENT


def test_an_unknown_record_is_refused() -> None:
    try:
        decode_metadata(b'{"type":"from_the_future"}')
    except Corrupt as error:
        assert "from_the_future" in str(error)
    else:
        raise AssertionError("accepted")
