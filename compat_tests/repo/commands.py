"""Finds our command lines in documents; checks that the program takes them, runs none of them."""

import re
import shlex
from collections.abc import Iterator

import click

from gateway.cli.main import PROGRAM, cli

_FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def shell_lines(markdown: str) -> Iterator[str]:
    """Every line of every ```sh block."""
    for block in _FENCE.findall(markdown):
        yield from (line for line in block.splitlines() if line.strip())


def our_arguments(line: str) -> list[str] | None:
    """The arguments of our program in a shell line (behind a pipe too); None without it."""
    words = shlex.split(line.rpartition(" | ")[2])
    if words and words[0].rpartition("/")[2] == PROGRAM:
        return words[1:]
    return None


def parse(arguments: list[str]) -> None:
    """Let the command line read the arguments; raises click.UsageError if it does not know them."""
    command: click.Command = cli
    context = command.make_context(PROGRAM, list(arguments))
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, context._protected_args + context.args)
        assert name is not None and found is not None
        command = found
        context = command.make_context(name, rest, parent=context)
