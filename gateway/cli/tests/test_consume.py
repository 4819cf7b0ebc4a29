import json
import subprocess
import sys

import pytest

from gateway.cli.consume import FETCH_WAIT_MS
from gateway.cli.tests.conftest import Cli
from gateway.cli.tests.fake_broker import FakeBroker
from protocol import Record, build_batch
from protocol.messages.fetch import FetchRequest

IDLE = ("--idle", "1ms")


@pytest.fixture
def filled(broker: FakeBroker) -> FakeBroker:
    first = [Record(0, 1000, b"k", b"one", [("h", b"1"), ("n", None)]), Record(0, 2000, None, None)]
    second = [Record(0, 3000, b"\xff", b"\xfe\x00"), Record(0, 4000, None, b"four")]
    broker.topics = {"a": [[build_batch(first), build_batch(second, base_offset=2)]]}
    return broker


def test_values_from_the_beginning(cli: Cli, filled: FakeBroker) -> None:
    done = cli("consume", "a", "--from-beginning", *IDLE)
    assert (done.code, done.out) == (0, "one\nnull\n\\xfe\x00\nfour\n")


def test_only_new_records_unless_told_otherwise(cli: Cli, filled: FakeBroker) -> None:
    assert cli("consume", "a", *IDLE).out == ""
    assert filled.requests[-1].topics[0].partitions[0].fetch_offset == 4  # type: ignore[attr-defined]


def test_an_offset_inside_a_batch(cli: Cli, filled: FakeBroker) -> None:
    assert cli("consume", "a", "--offset", "3", *IDLE).out == "four\n"


def test_enough_is_enough(cli: Cli, filled: FakeBroker) -> None:
    assert cli("consume", "a", "--from-beginning", "--max-messages", "1").out == "one\n"


def test_every_column(cli: Cli, filled: FakeBroker) -> None:
    flags = ("--print-key", "--print-offset", "--print-timestamp", "--print-headers")
    lines = cli("consume", "a", "--from-beginning", *flags, *IDLE).out.splitlines()
    assert lines[0] == "1970-01-01T00:00:01.000Z\t0:0\th=1,n=null\tk\tone"
    assert lines[1] == "1970-01-01T00:00:02.000Z\t0:1\t\tnull\tnull"


def test_json_loses_nothing(cli: Cli, filled: FakeBroker) -> None:
    printed = cli("consume", "a", "--from-beginning", "--json", *IDLE).out
    rows = [json.loads(line) for line in printed.splitlines()]
    assert rows[0] == {
        "topic": "a",
        "partition": 0,
        "offset": 0,
        "timestamp_ms": 1000,
        "key": "k",
        "headers": [{"name": "h", "value": "1"}, {"name": "n", "value": None}],
        "value": "one",
    }
    assert rows[1]["value"] is None
    assert (rows[2]["key_base64"], rows[2]["value_base64"]) == ("/w==", "/gA=")


def test_a_group_goes_on_where_it_stopped(cli: Cli, filled: FakeBroker) -> None:
    group = ("--group", "g", "--from-beginning")
    assert cli("consume", "a", *group, "--max-messages", "1").out == "one\n"
    assert filled.committed == {("g", "a", 0): 1}
    assert cli("consume", "a", *group, *IDLE).out.endswith("four\n")
    assert filled.committed == {("g", "a", 0): 4}
    assert cli("consume", "a", *group, *IDLE).out == ""


def test_a_group_comes_back_to_the_end_it_began_at(cli: Cli, filled: FakeBroker) -> None:
    assert cli("consume", "a", "--group", "g", *IDLE).out == ""
    cli("produce", "a", "--value", "five")
    assert cli("consume", "a", "--group", "g", *IDLE).out == "five\n"


def test_a_group_that_cannot_be_used(cli: Cli, filled: FakeBroker) -> None:
    filled.refuse = {10: [24]}
    refused = cli("consume", "a", "--group", "g", *IDLE)
    assert (refused.code, "INVALID_GROUP_ID" in refused.err) == (1, True)
    filled.refuse = {8: [25]}
    refused = cli("consume", "a", "--group", "g", *IDLE)
    assert (refused.code, "UNKNOWN_MEMBER_ID" in refused.err) == (1, True)


def test_a_missing_topic_is_not_created(cli: Cli, broker: FakeBroker) -> None:
    missing = cli("consume", "nowhere")
    assert missing.code == 1
    assert "topic nowhere: UNKNOWN_TOPIC_OR_PARTITION" in missing.err
    assert "topics list" in missing.err
    assert broker.topics == {}


def test_a_missing_partition(cli: Cli, filled: FakeBroker) -> None:
    missing = cli("consume", "a", "--partition", "1")
    assert (missing.code, missing.out) == (1, "")
    assert "topic a has no partition 1" in missing.err


def test_an_offset_that_does_not_exist(cli: Cli, filled: FakeBroker) -> None:
    filled.refuse = {1: [1]}
    failed = cli("consume", "a", "--offset", "99", *IDLE)
    assert "partition 0, offset 99: OFFSET_OUT_OF_RANGE" in failed.err
    assert "--from-beginning" in failed.err


def test_a_damaged_batch_says_how_to_go_on_behind_it(cli: Cli, broker: FakeBroker) -> None:
    batch = build_batch([Record(0, 0, None, b"x")])
    batch[61] = 0x70  # the length of the first record
    broker.topics = {"a": [[batch]]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.cli.tests.fake_broker.validate_batch", _unchecked)
        failed = cli("consume", "a", "--from-beginning", *IDLE)
    assert failed.code == 1
    assert "--partition 0 --offset 1" in failed.err


def _unchecked(batch: bytearray) -> object:
    from protocol import read_header

    return read_header(batch)


def test_a_fetch_waits_at_the_broker_not_in_a_loop_here(cli: Cli, filled: FakeBroker) -> None:
    cli("consume", "a", "--from-beginning", "--max-messages", "4")
    asked = [r for r in filled.requests if isinstance(r, FetchRequest)]
    assert len(asked) == 1
    assert (asked[0].max_wait_ms, asked[0].min_bytes) == (FETCH_WAIT_MS, 1)


def test_a_reader_that_has_seen_enough(filled: FakeBroker) -> None:
    """A process of its own, as in `... | head -1`: the pipe closes before all is written."""
    command = [sys.executable, "-m", "gateway", "consume", "a", "--from-beginning"]
    command += ["--bootstrap", filled.bootstrap]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"one\n"
    process.stdout.close()
    lines = [Record(0, 0, None, b"more")]
    filled.topics["a"][0].append(build_batch(lines, base_offset=4))
    assert process.stderr is not None
    with process.stderr:
        assert (process.wait(20), process.stderr.read()) == (0, b"")


def test_flags_that_exclude_each_other(cli: Cli) -> None:
    assert cli("consume", "a", "--from-beginning", "--offset", "1").code == 2
