import io
import sys

import click
import pytest

from gateway.cli.main import run
from gateway.cli.options import parse_pairs, show_text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (None, "null"),
        (b"", ""),
        (b"plain \xc3\xa4", "plain ä"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"a\tb", "a\tb"),
        (b"\x1b[2Jgone", "\x1b[2Jgone"),
    ],
)
def test_bytes_go_into_a_pipe_as_they_are(data: bytes | None, shown: str) -> None:
    assert show_text(data) == shown


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\x1b[2Jgone", "\\x1b[2Jgone"),
        (b"one\ntwo", "one\\ntwo"),
        (b"a\tb", "a\tb"),
        ("ä\u202e".encode(), "ä\\u202e"),
    ],
)
def test_a_record_cannot_command_the_terminal(
    data: bytes, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert show_text(data) == shown


def test_pairs() -> None:
    assert parse_pairs(("a=1", "b=", "c=d=e"), "--x") == [("a", "1"), ("b", ""), ("c", "d=e")]
    for wrong in ("a", "=1", ""):
        with pytest.raises(click.BadParameter, match="NAME=VALUE"):
            parse_pairs((wrong,), "--x")


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [("--bootstrap", "9092", "HOST:PORT"), ("--timeout", "soon", "a duration")],
)
def test_a_wrong_value_says_what_was_expected(
    flag: str, value: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["topics", "list", flag, value]) == 2
    said = capsys.readouterr().err
    assert repr(value) in said
    assert expected in said
