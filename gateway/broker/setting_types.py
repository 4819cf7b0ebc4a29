"""Types of settings as Kafka's ConfigDef has them: which values one takes, and why not another."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

# ConfigDef.Type as DescribeConfigs v3+ numbers it; persistent on the wire, never renumber.
UNKNOWN, BOOLEAN, STRING, INT, SHORT, LONG, DOUBLE, LIST = 0, 1, 2, 3, 4, 5, 6, 7

INT_MAX = 2**31 - 1
LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1
VALUE_CHARS_MAX = 255
"""With as many settings as there are this bounds what a topic's settings take: 12 KB."""
VALUE_CHARS_SHOWN = 60  # of a refused value, in the reason for it


class Setting(NamedTuple):
    """One setting: its type, its default as a string, the values it takes, what it is for."""

    type: int
    default: str | None
    low: float = 0
    high: float = LONG_MAX
    choices: tuple[str, ...] = ()
    doc: str = ""

    def problem(self, value: str) -> str | None:
        """What is wrong with `value`, or None."""
        if len(value) > VALUE_CHARS_MAX:
            return f"expected at most {VALUE_CHARS_MAX} characters, got {len(value)}"
        return _CHECKS[self.type](self, value)

    def is_default(self, value: str) -> bool:
        """Whether a value that is none of its problems is the default, however it is written."""
        if self.default is None:
            return False
        if self.type in (INT, LONG, DOUBLE):
            return float(value) == float(self.default)
        return value.strip().lower() == self.default

    def understood(self, value: str) -> str:
        """A value that is none of its problems, as Kafka writes it whatever way it was given."""
        if self.type in (INT, SHORT, LONG):
            return str(int(value))
        if self.type == DOUBLE:
            return str(float(value))
        if self.type == LIST:
            return ",".join(items_of(value))
        return value.strip().lower() if self.type == BOOLEAN else value.strip()


# Python takes more for a number than Kafka does: "1_000", other scripts' digits, "nan".
_NUMBER = re.compile(r"\s*[+-]?[0-9.]{1,30}([eE][+-]?[0-9]{1,3})?\s*\Z")


def shown(value: str) -> str:
    """A value that a client gave, in a reason for it."""
    return repr(value[:VALUE_CHARS_SHOWN])


def items_of(text: str) -> list[str]:
    """What stands in a list."""
    return [item.strip() for item in text.split(",") if item.strip()]


def _check_number(cast: Callable[[str], float]) -> Callable[[Setting, str], str | None]:
    def check(setting: Setting, value: str) -> str | None:
        try:
            number = cast(value) if _NUMBER.match(value) else None
        except ValueError:
            number = None
        if number is None:
            return f"expected a number, got {shown(value)}"
        if setting.low <= number <= setting.high:
            return None
        return f"expected {setting.low} to {setting.high}, got {value}"

    return check


def _check_choice(setting: Setting, value: str) -> str | None:
    if not setting.choices or value in setting.choices:
        return None
    return f"expected one of {', '.join(setting.choices)}, got {shown(value)}"


def _check_list(setting: Setting, value: str) -> str | None:
    if not setting.choices or not value.strip():  # Kafka takes an empty list of anything
        return None
    unknown = [v for v in value.split(",") if v.strip() not in setting.choices]
    if not unknown:
        return None
    return f"expected some of {', '.join(setting.choices)}, got {shown(value)}"


def _check_boolean(setting: Setting, value: str) -> str | None:
    if value.strip().lower() in ("true", "false"):
        return None
    return f"expected true or false, got {shown(value)}"


_CHECKS: dict[int, Callable[[Setting, str], str | None]] = {
    BOOLEAN: _check_boolean,
    STRING: _check_choice,
    INT: _check_number(int),
    SHORT: _check_number(int),
    LONG: _check_number(int),
    DOUBLE: _check_number(float),
    LIST: _check_list,
}
