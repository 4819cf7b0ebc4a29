import pytest

from gateway.broker.group_configs import GROUP_SETTINGS, group_problem


def test_every_default_passes_its_own_check() -> None:
    defaults = {name: row.default for name, row in GROUP_SETTINGS.items() if row.default}
    assert list(defaults) == sorted(GROUP_SETTINGS)
    assert group_problem(defaults) is None


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("consumer.session.timeout.ms", "1", "45000 to 60000"),
        ("consumer.session.timeout.ms", "x", "number"),
        ("consumer.heartbeat.interval.ms", "60000", "5000 to 15000"),
        ("share.auto.offset.reset", "earliest", "no share groups"),
        ("no.such", "1", "unknown group config name"),
    ],
)
def test_what_is_refused_and_why(name: str, value: str, words: str) -> None:
    assert words in (group_problem({name: value}) or "")
