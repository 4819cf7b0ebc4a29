"""Options that several commands share, and how values are read from and shown on a terminal."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from gateway.observe.banner import DEFAULT_BOOTSTRAP
from gateway.settings.values import parse_address, parse_duration

F = TypeVar("F", bound=Callable[..., Any])


class Parsed(click.ParamType[Any]):
    """A parameter that is read by one of the parsers of gateway.settings.values."""

    def __init__(self, name: str, parse: Callable[[object], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as e:
            self.fail(f"{value!r}, expected {e}", param, ctx)


ADDRESS = Parsed("HOST:PORT", parse_address)
DURATION = Parsed("TIME", parse_duration)
HELP = {"help_option_names": ["-h", "--help"]}


def with_timeout(text: str) -> Callable[[F], F]:
    """Add --timeout; `text` says of what."""
    return click.option(
        "--timeout", "timeout_ms", type=DURATION, default="30s", show_default=True, help=text
    )


def connecting(command: F) -> F:
    """Add --bootstrap and --timeout: where the broker is, and how long it may take to answer."""
    command = with_timeout("How long the broker may take to answer.")(command)
    return click.option(
        "--bootstrap",
        type=ADDRESS,
        default=DEFAULT_BOOTSTRAP,
        show_default=True,
        help="Address of the broker.",
    )(command)


def parse_pairs(pairs: tuple[str, ...], what: str) -> list[tuple[str, str]]:
    """NAME=VALUE arguments; raises a usage error."""
    result = []
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{pair!r}, expected NAME=VALUE", param_hint=what)
        result.append((name, value))
    return result


def show_text(data: bytes | None) -> str:
    """Record bytes for standard output: as they are where they are text, else escaped.

    On a terminal control characters are escaped too, so that a record cannot command the terminal.
    """
    if data is None:
        return "null"
    text = data.decode("utf-8", "backslashreplace")
    if sys.stdout.isatty() and not text.isprintable():
        text = "".join(
            c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in text
        )
    return text


def note(text: str) -> None:
    """A remark for a person: to standard error, and only if that is a terminal."""
    if sys.stderr.isatty():
        click.echo(text, err=True)
