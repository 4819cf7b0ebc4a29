import pytest

from gateway.broker.metadata_records import TopicCreated, consecutive
from gateway.broker.setting_types import LONG_MAX
from gateway.broker.topic_configs import TopicDefaults
from gateway.broker.topic_rules import OFFSETS_TOPIC, TopicRules, topic_name_problem


def _rules(name: str = "t", **configs: str) -> TopicRules:
    named = {key.replace("_", "."): value for key, value in configs.items()}
    record = TopicCreated(
        name=name, topic_id=b"\1" * 16, placements=consecutive(1, 1, 1), configs=named
    )
    return TopicRules(record, TopicDefaults(1_000))


@pytest.mark.parametrize("name", ["a", "A-b_c.9", "x" * 249, "...", "-", "__consumer_offsets"])
def test_legal_names(name: str) -> None:
    assert topic_name_problem(name) is None


@pytest.mark.parametrize(
    "name", ["", ".", "..", "x" * 250, "a b", "a/b", "é", "a\n", "\x00", "a:b"]
)
def test_illegal_names(name: str) -> None:
    assert topic_name_problem(name)


def test_what_is_not_set_is_the_default() -> None:
    rules = _rules()
    assert (rules.message_bytes_max, rules.deletes_old, rules.is_compacted) == (1_000, True, False)
    assert _rules(max_message_bytes="77").message_bytes_max == 77


def test_a_policy_may_have_both_parts() -> None:
    rules = _rules(cleanup_policy="compact, delete")
    assert rules.deletes_old and rules.is_compacted
    assert rules.record_rules(now_ms=5).needs_keys


def test_only_the_topic_of_committed_offsets_is_internal() -> None:
    assert _rules(OFFSETS_TOPIC).is_internal
    assert not _rules("offsets").is_internal


def test_other_defaults_hold_at_once_for_what_is_not_set() -> None:
    defaults = TopicDefaults(1_000)
    record = TopicCreated(
        name="t",
        topic_id=b"\1" * 16,
        placements=consecutive(1, 1, 1),
        configs={"retention.bytes": "7"},
    )
    rules = TopicRules(record, defaults)
    defaults.change({"retention.ms": "5", "retention.bytes": "9", "max.message.bytes": "50"})
    assert (rules.retention_ms, rules.retention_bytes, rules.message_bytes_max) == (5, 7, 50)
    assert (rules.config("retention.ms"), rules.config("retention.bytes")) == ("5", "7")


@pytest.mark.parametrize(
    ("configs", "behind_ms", "ahead_ms"),
    [
        ({}, None, None),
        ({"difference": 5}, 5, 5),
        ({"difference": 5, "before": 7}, 7, 5),
        ({"difference": 5, "after": 7}, 5, 7),
        ({"after": 7}, None, 7),
    ],
)
def test_how_far_times_may_be_from_the_clock(
    configs: dict[str, int], behind_ms: int | None, ahead_ms: int | None
) -> None:
    rules = _rules(**{f"message_timestamp_{k}_max_ms": str(v) for k, v in configs.items()})
    found = rules.record_rules(now_ms=1_000)
    assert found.timestamp_min_ms == (-LONG_MAX - 1 if behind_ms is None else 1_000 - behind_ms)
    assert found.timestamp_max_ms == (LONG_MAX if ahead_ms is None else 1_000 + ahead_ms)
