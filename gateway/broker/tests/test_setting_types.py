import pytest

from gateway.broker.setting_types import (
    BOOLEAN,
    DOUBLE,
    INT,
    LIST,
    LONG,
    STRING,
    VALUE_CHARS_MAX,
    Setting,
    items_of,
)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        (Setting(INT, "5", 1, 9), " 9 "),
        (Setting(BOOLEAN, "true"), " False "),
        (Setting(STRING, "a", choices=("a", "b")), "b"),
        (Setting(STRING, "a"), "anything"),
        (Setting(LIST, "a", choices=("a", "b")), ""),
        (Setting(LIST, "a", choices=("a", "b")), "b, a"),
    ],
)
def test_what_is_taken(setting: Setting, value: str) -> None:
    assert setting.problem(value) is None


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        (Setting(INT, "5", 1, 9), "10", "expected 1 to 9, got 10"),
        (Setting(LONG, "5"), "soon", "expected a number, got 'soon'"),
        (Setting(BOOLEAN, "true"), "yes", "expected true or false"),
        (Setting(STRING, "a", choices=("a", "b")), "c", "expected one of a, b"),
        (Setting(LIST, "a", choices=("a", "b")), "a,c", "expected some of a, b"),
        (Setting(STRING, "a"), "x" * (VALUE_CHARS_MAX + 1), "at most 255 characters, got 256"),
    ],
)
def test_what_is_refused_and_why(setting: Setting, value: str, words: str) -> None:
    assert words in (setting.problem(value) or "")


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        (Setting(INT, "5"), " 05", True),
        (Setting(INT, "5"), "6", False),
        (Setting(BOOLEAN, "false"), "FALSE", True),
        (Setting(STRING, None), "x", False),
    ],
)
def test_the_default_however_it_is_written(setting: Setting, value: str, expected: bool) -> None:
    assert setting.is_default(value) is expected


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        (LONG, " 1 ", "1"),
        (INT, "+05", "5"),
        (DOUBLE, "1", "1.0"),
        (BOOLEAN, " TRUE", "true"),
        (LIST, "delete, compact ,", "delete,compact"),
        (STRING, " LogAppendTime", "LogAppendTime"),
    ],
)
def test_a_value_is_told_as_it_was_understood(kind: int, given: str, told: str) -> None:
    assert Setting(kind, None).understood(given) == told


def test_items_of_a_list() -> None:
    assert items_of(" a , b,,") == ["a", "b"]
