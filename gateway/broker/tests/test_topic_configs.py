import pytest

from gateway.broker.setting_types import VALUE_CHARS_MAX
from gateway.broker.topic_configs import (
    ACTED_ON,
    DEFAULT_ONLY,
    SETTINGS,
    SO_ANYWAY,
    TOPIC_NAMES,
    TopicDefaults,
    broker_name,
    config_problem,
)


def test_every_default_passes_its_own_check() -> None:
    for name, setting in SETTINGS.items():
        if setting.default:
            assert config_problem({name: setting.default}) is None
    assert list(SETTINGS) == sorted(SETTINGS)


def test_no_setting_is_kept_for_show() -> None:
    """Each is acted on, so whatever its value, or refused unless it is the default."""
    kinds = [*ACTED_ON, *SO_ANYWAY, *DEFAULT_ONLY]
    assert sorted(kinds) == list(SETTINGS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("compression.type", "zstd"),
        ("compression.type", "uncompressed"),
        ("compression.zstd.level", "5"),
        ("file.delete.delay.ms", "1"),
        ("follower.replication.throttled.replicas", "*"),
        ("leader.replication.throttled.replicas", "0:1,1:1"),
        ("local.retention.ms", "5"),
        ("max.compaction.lag.ms", "1000"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("message.downconversion.enable", "true"),
        ("preallocate", "TRUE"),
        ("preallocate", " true "),
        ("remote.storage.enable", "true"),
    ],
)
def test_promises_that_would_not_be_kept_are_refused_with_the_reason(name: str, value: str) -> None:
    problem = config_problem({name: value})
    assert problem is not None
    assert "only the default" in problem
    assert DEFAULT_ONLY[name] in problem


@pytest.mark.parametrize("name", sorted(SETTINGS))
@pytest.mark.parametrize("filler", [" ", "0", "a", ",", "delete,"])
def test_what_a_topics_settings_take_is_bounded(name: str, filler: str) -> None:
    value = (SETTINGS[name].default or "") + filler * 1_000_000
    problem = config_problem({name: value})
    assert problem is not None
    assert len(problem) < 300
    assert sum(len(known) + VALUE_CHARS_MAX for known in SETTINGS) < 12_000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cleanup.policy", "compact"),
        ("cleanup.policy", ""),
        ("cleanup.policy", "compact,delete"),
        ("cleanup.policy", "delete, compact"),
        ("retention.ms", "-1"),
        ("retention.bytes", "-2"),  # no limit
        ("retention.ms", " 5 "),  # Kafka trims
        ("retention.ms", str(2**63 - 1)),
        ("min.cleanable.dirty.ratio", "0.50"),
        ("preallocate", " FALSE "),
        ("message.format.version", "2.8"),
        ("message.format.version", "0.10.0.0"),
        ("leader.replication.throttled.replicas", " "),
        ("compression.type", "producer"),
        ("segment.bytes", "52428800"),
        ("min.insync.replicas", "2"),
        ("unclean.leader.election.enable", "true"),
        ("flush.messages", "1"),
    ],
)
def test_what_is_taken(name: str, value: str) -> None:
    assert config_problem({name: value}) is None


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("no.such", "1", "unknown topic config name"),
        ("message.format.version", "soon", "a version of Kafka"),
        ("message.format.version", "4.0", "a version of Kafka"),
        ("retention.ms", None, "null"),
        ("retention.ms", "", "number"),
        ("retention.ms", "-2", "expected -1 to 9223372036854775807, got -2"),
        ("retention.ms", "1.5", "number"),
        ("retention.ms", "1_000", "number"),
        ("retention.ms", "١٢", "number"),
        ("retention.ms", str(2**63), "expected"),
        ("retention.ms", "9" * 200, "number"),
        ("retention.ms", "9" * 5_000, "at most 255 characters"),
        ("segment.bytes", str(2**31), "expected"),
        ("min.cleanable.dirty.ratio", "nan", "number"),
        ("min.cleanable.dirty.ratio", "1.1", "expected 0 to 1, got 1.1"),
        ("preallocate", "yes", "true or false"),
        ("cleanup.policy", "compact;delete", "some of"),
        ("cleanup.policy", "compact,", "some of"),
        ("compression.type", "brotli", "one of"),
        ("compression.type", "GZIP", "one of"),
    ],
)
def test_what_is_refused_and_why(name: str, value: str | None, part: str) -> None:
    problem = config_problem({"cleanup.policy": "delete", name: value})
    assert problem is not None
    assert name in problem
    assert part in problem
    assert len(problem) < 300


def test_what_holds_for_topics_that_say_nothing() -> None:
    defaults = TopicDefaults(1_000)
    first = defaults.values
    assert (first["max.message.bytes"], first["retention.ms"]) == ("1000", "604800000")
    defaults.change({"retention.ms": "5"})
    assert defaults.values is not first
    assert (defaults.values["max.message.bytes"], defaults.values["retention.ms"]) == ("1000", "5")
    defaults.change({})
    assert defaults.values["retention.ms"] == "604800000"


def test_a_setting_of_topics_has_one_of_brokers_and_back() -> None:
    assert broker_name("retention.ms") == "log.retention.ms"
    assert broker_name("remote.storage.enable") is None
    assert all(broker_name(topic) == of_broker for of_broker, topic in TOPIC_NAMES.items())


def test_every_setting_is_explained_in_one_line() -> None:
    for setting in SETTINGS.values():
        assert setting.doc.endswith(".")
        assert "\n" not in setting.doc
