import json
import zlib

import pytest

from gateway.cli.produce import BATCH_BYTES_MAX, BATCH_RECORDS_MAX_COUNT, choose_partition
from gateway.cli.tests.conftest import Cli
from gateway.cli.tests.fake_broker import FakeBroker
from protocol import Record, iter_records, read_header
from protocol.messages.metadata import MetadataRequest
from protocol.messages.produce import ProduceRequest


def records(broker: FakeBroker, topic: str, partition: int = 0) -> list[Record]:
    return [r for batch in broker.topics[topic][partition] for r in iter_records(batch)]


def test_lines_become_records_and_offsets_are_printed(cli: Cli, broker: FakeBroker) -> None:
    assert cli("produce", "a", stdin=b"one\ntwo\r\n\xff\n").out == "a partition 0 offsets 0 to 2\n"
    assert cli("produce", "a", stdin=b"four").out == "a partition 0 offset 3\n"
    assert [r.value for r in records(broker, "a")] == [b"one", b"two", b"\xff", b"four"]
    assert all(r.key is None and r.timestamp_ms > 0 for r in records(broker, "a"))


def test_nothing_in_is_nothing_out(cli: Cli, broker: FakeBroker) -> None:
    done = cli("produce", "a", stdin=b"")
    assert (done.code, done.out) == (0, "")
    assert not any(isinstance(r, ProduceRequest) for r in broker.requests)


def test_a_value_with_everything(cli: Cli, broker: FakeBroker) -> None:
    args = ("--key", "k", "--value", "v", "--header", "h=1", "--header", "h=", "--count", "3")
    assert cli("produce", "a", *args).out == "a partition 0 offsets 0 to 2\n"
    first, _, third = records(broker, "a")
    assert (first.key, first.value, first.headers) == (b"k", b"v", [("h", b"1"), ("h", b"")])
    assert third.value == b"v"


def test_a_null_value(cli: Cli, broker: FakeBroker) -> None:
    cli("produce", "a", "--key", "k", "--null")
    assert records(broker, "a")[0].value is None
    assert cli("produce", "a", "--null", "--value", "v").code == 2


def test_a_count_of_nothing_is_refused(cli: Cli) -> None:
    assert cli("produce", "a", "--count", "2").code == 2


def test_keys_out_of_lines(cli: Cli, broker: FakeBroker) -> None:
    cli("produce", "a", "--key-separator", "=>", "--key", "other", stdin=b"k=>v=>w\nplain\n=>x\n")
    assert [(r.key, r.value) for r in records(broker, "a")] == [
        (b"k", b"v=>w"),
        (b"other", b"plain"),
        (b"", b"x"),
    ]


def test_equal_keys_meet_in_one_partition(cli: Cli, broker: FakeBroker) -> None:
    broker.topics = {"a": [[] for _ in range(5)]}
    cli("produce", "a", "--key-separator", ":", stdin=b"k:1\nother:2\nk:3\n")
    home = zlib.crc32(b"k") % 5
    assert [r.value for r in records(broker, "a", home)] == [b"1", b"3"]


def test_records_without_a_key_take_turns_batch_by_batch() -> None:
    assert [choose_partition(None, 3, batch) for batch in range(4)] == [0, 1, 2, 0]


def test_a_partition_can_be_chosen(cli: Cli, broker: FakeBroker) -> None:
    broker.topics = {"a": [[], []]}
    printed = cli("produce", "a", "--partition", "1", "--value", "x", "--json").out
    assert json.loads(printed) == {"topic": "a", "partition": 1, "offset": 0, "count": 1}
    refused = cli("produce", "a", "--partition", "2", "--value", "x")
    assert refused.code == 1
    assert "partition 2: UNKNOWN_TOPIC_OR_PARTITION" in refused.err


@pytest.mark.parametrize(("name", "codec"), [("none", 0), ("gzip", 1), ("zstd", 4)])
def test_compression(cli: Cli, broker: FakeBroker, name: str, codec: int) -> None:
    cli("produce", "a", "--value", "x" * 1000, "--compression", name)
    assert read_header(broker.topics["a"][0][0]).codec == codec
    assert records(broker, "a")[0].value == b"x" * 1000


def test_batches_have_bounds(cli: Cli, broker: FakeBroker) -> None:
    cli("produce", "a", "--value", "x", "--count", str(BATCH_RECORDS_MAX_COUNT + 1))
    assert len(broker.topics["a"][0]) == 2
    line = b"y" * (BATCH_BYTES_MAX - 10) + b"\n"
    cli("produce", "b", stdin=line + line)
    assert len(broker.topics["b"][0]) == 2


def test_the_broker_decides_on_auto_creation_and_may_take_a_moment(
    cli: Cli, broker: FakeBroker
) -> None:
    broker.refuse = {3: [5, 3, 5]}
    assert cli("produce", "a", "--value", "x").code == 0
    asked = [r for r in broker.requests if isinstance(r, MetadataRequest)]
    assert len(asked) == 4
    assert all(r.allow_auto_topic_creation for r in asked)


def test_what_was_not_done_is_tried_again(cli: Cli, broker: FakeBroker) -> None:
    broker.refuse = {0: [6, 5]}
    assert cli("produce", "a", "--value", "x").out == "a partition 0 offset 0\n"


def test_what_may_have_been_done_is_not(cli: Cli, broker: FakeBroker) -> None:
    broker.refuse = {0: [7]}
    failed = cli("produce", "a", "--value", "x")
    assert failed.code == 1
    assert "REQUEST_TIMED_OUT: no" in failed.err
    assert len([r for r in broker.requests if isinstance(r, ProduceRequest)]) == 1


def test_a_record_that_is_too_large(cli: Cli, broker: FakeBroker) -> None:
    broker.refuse = {0: [10]}
    failed = cli("produce", "a", "--value", "x")
    assert "MESSAGE_TOO_LARGE" in failed.err
    assert "--message-bytes-max" in failed.err
