import pytest

from gateway.broker.topic_configs import ACTED_ON, SETTINGS, config_problem


def test_every_default_passes_its_own_check() -> None:
    for name, setting in SETTINGS.items():
        if setting.default:
            assert config_problem({name: setting.default}) is None
    assert set(SETTINGS) >= ACTED_ON
    assert list(SETTINGS) == sorted(SETTINGS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cleanup.policy", "compact"),
        ("cleanup.policy", ""),
        ("cleanup.policy", "compact,delete"),
        ("cleanup.policy", "delete, compact"),
        ("retention.ms", "-1"),
        ("retention.ms", " 5 "),  # Kafka trims
        ("retention.ms", str(2**63 - 1)),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("preallocate", "TRUE"),
        ("leader.replication.throttled.replicas", "*"),
        ("compression.type", "zstd"),
    ],
)
def test_what_is_taken(name: str, value: str) -> None:
    assert config_problem({name: value}) is None


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("no.such", "1", "unknown topic config name"),
        ("retention.ms", None, "null"),
        ("retention.ms", "", "number"),
        ("retention.ms", "-2", "expected -1 to 9223372036854775807, got -2"),
        ("retention.ms", "1.5", "number"),
        ("retention.ms", "1_000", "number"),
        ("retention.ms", "١٢", "number"),
        ("retention.ms", str(2**63), "expected"),
        ("retention.ms", "9" * 5_000, "number"),
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
