import pytest

from gateway.broker.metadata_records import TopicCreated, consecutive
from gateway.broker.topic_rules import OFFSETS_TOPIC, TopicRules, topic_name_problem


def _rules(name: str = "t", **configs: str) -> TopicRules:
    named = {key.replace("_", "."): value for key, value in configs.items()}
    record = TopicCreated(
        name=name, topic_id=b"\1" * 16, placements=consecutive(1, 1, 1), configs=named
    )
    return TopicRules(record, 1_000)


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
