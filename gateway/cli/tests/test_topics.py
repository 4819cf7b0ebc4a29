import json

from gateway.cli.tests.conftest import Cli
from gateway.cli.tests.fake_broker import FakeBroker
from protocol.messages.create_topics import CreateTopicsRequest
from protocol.messages.delete_records import DeleteRecordsRequest
from protocol.messages.incremental_alter_configs import IncrementalAlterConfigsRequest


def test_a_topic_from_creation_to_deletion(cli: Cli, broker: FakeBroker) -> None:
    assert cli("topics", "create", "a", "--partitions", "3").out == "created a with 3 partitions\n"
    assert cli("topics", "list").out == "TOPIC  PARTITIONS\na               3\n"
    assert cli("topics", "delete", "a").out == "deleted a\n"
    assert broker.topics == {}
    listed = cli("topics", "list")
    assert (listed.code, listed.out) == (0, "")
    assert "topics create NAME" in listed.err


def test_configurations_are_sent_and_the_default_count_is_the_brokers(
    cli: Cli, broker: FakeBroker
) -> None:
    done = cli("topics", "create", "a", "--config", "retention.ms=1", "--config", "x=a=b")
    assert done.out == "created a with 1 partition\n"
    (request,) = (r for r in broker.requests if isinstance(r, CreateTopicsRequest))
    (topic,) = request.topics
    assert (topic.num_partitions, topic.replication_factor) == (-1, -1)
    assert [(c.name, c.value) for c in topic.configs] == [("retention.ms", "1"), ("x", "a=b")]


def test_internal_topics_are_listed_on_demand(cli: Cli, broker: FakeBroker) -> None:
    broker.topics = {"b": [[]], "__consumer_offsets": [[]], "a": [[], []]}
    assert "__consumer_offsets" not in cli("topics", "list").out
    lines = cli("topics", "list", "--internal", "--json").out.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"topic": "__consumer_offsets", "partitions": 1},
        {"topic": "a", "partitions": 2},
        {"topic": "b", "partitions": 1},
    ]


def test_describe_shows_offsets_and_what_was_set(cli: Cli, broker: FakeBroker) -> None:
    broker.topics = {"a": [[], []]}
    cli("produce", "a", "--value", "x", "--count", "2", "--partition", "1")
    shown = cli("topics", "describe", "a").out.splitlines()
    assert shown[1].split() == ["0", "7", "0", "0", "0"]
    assert shown[2].split() == ["1", "7", "0", "2", "2"]
    assert shown[3:] == ["retention.ms=1"]
    assert "cleanup.policy=delete" in cli("topics", "describe", "a", "--configs").out
    facts = json.loads(cli("topics", "describe", "a", "--json").out)
    assert facts["configs"] == {"retention.ms": "1"}
    assert facts["partitions"][1] == {
        "partition": 1,
        "leader": 7,
        "start_offset": 0,
        "end_offset": 2,
    }


def test_a_refusal_names_kafkas_code_and_a_remedy(cli: Cli, broker: FakeBroker) -> None:
    broker.topics = {"a": [[]]}
    refused = cli("topics", "create", "a")
    assert refused.code == 1
    assert "topic a: TOPIC_ALREADY_EXISTS" in refused.err
    assert "try: another name" in refused.err


def test_one_name_that_is_missing_does_not_save_the_others(cli: Cli, broker: FakeBroker) -> None:
    broker.topics = {"a": [[]], "b": [[]]}
    deleted = cli("topics", "delete", "a", "missing", "b")
    assert deleted.code == 1
    assert deleted.out == "deleted a\ndeleted b\n"
    assert "missing: UNKNOWN_TOPIC_OR_PARTITION" in deleted.err
    assert broker.topics == {}


def test_configurations_are_set_and_unset(cli: Cli, broker: FakeBroker) -> None:
    unset = ("--unset", "retention.ms", "--unset", "cleanup.policy")
    done = cli("topics", "alter", "a", "--set", "x=1", *unset)
    assert (done.code, done.out) == (0, "altered a\n")
    (request,) = (r for r in broker.requests if isinstance(r, IncrementalAlterConfigsRequest))
    (resource,) = request.resources
    assert (resource.resource_type, resource.resource_name) == (2, "a")
    steps = [(c.name, c.config_operation, c.value) for c in resource.configs]
    assert steps == [("x", 0, "1"), ("retention.ms", 1, None), ("cleanup.policy", 1, None)]
    broker.refuse = {44: [40]}
    refused = cli("topics", "alter", "a", "--set", "x=1")
    assert refused.code == 1
    assert "topic a: INVALID_CONFIG: no" in refused.err


def test_what_nobody_knows_is_not_unset(cli: Cli, broker: FakeBroker) -> None:
    refused = cli("topics", "alter", "a", "--set", "x=1", "--unset", "retention.mss")
    assert refused.code == 1
    assert "topic a: INVALID_CONFIG: nothing is called retention.mss" in refused.err
    assert not [r for r in broker.requests if isinstance(r, IncrementalAlterConfigsRequest)]


def test_records_are_deleted(cli: Cli, broker: FakeBroker) -> None:
    broker.topics = {"a": [[], []]}
    done = cli("topics", "delete-records", "a", "--partition", "1", "--before", "7")
    assert (done.code, done.out) == (0, "a-1 starts at offset 7\n")
    (request,) = (r for r in broker.requests if isinstance(r, DeleteRecordsRequest))
    (topic,) = request.topics
    assert [(p.partition_index, p.offset) for p in topic.partitions] == [(1, 7)]
    broker.refuse = {21: [1]}
    refused = cli("topics", "delete-records", "a", "--partition", "0", "--before", "7")
    assert refused.code == 1
    assert "a-0: OFFSET_OUT_OF_RANGE\n   try: --before with an offset" in refused.err
    broker.refuse = {21: [44]}
    refused = cli("topics", "delete-records", "a", "--partition", "0", "--before", "7")
    assert "a-0: POLICY_VIOLATION\n   try: `topics alter NAME --set cleanup" in refused.err
    missing = cli("topics", "delete-records", "a", "--partition", "2", "--before", "7")
    assert "partition 2: UNKNOWN_TOPIC_OR_PARTITION" in missing.err


def test_wrong_use_is_exit_code_two(cli: Cli) -> None:
    for args in (
        ("topics", "create"),
        ("topics", "create", "a", "--partitions", "0"),
        ("topics", "create", "a", "--config", "no-equals-sign"),
        ("topics", "create", "a", "--config", "x=1", "--config", "x=2"),
        ("topics", "describe", "a", "--timeout", "soon"),
        ("topics", "alter", "a"),
        ("topics", "alter", "a", "--set", "x"),
        ("topics", "alter", "a", "--set", "x=1", "--unset", "x"),
        ("topics", "delete-records", "a", "--partition", "0"),
        ("topics", "delete-records", "a", "--partition", "0", "--before", "-1"),
        ("topics", "nonsense"),
    ):
        assert cli(*args).code == 2, args
