"""Finds the command lines of documents; says which are ours, and which cannot be run, and why."""

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

import click

from gateway.cli.main import PROGRAM, cli

_FENCE = re.compile(r"^(?:<!-- parsed: ([^\n]*) -->\n)?```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)

# What documents show of the programs that come with Kafka: the options each takes.
FOREIGN = {
    "docker": {"-f", "--build"},
    "etcdctl": {"--prefix"},
    "export": set(),
    "helm": {"--namespace", "--values"},
    "kafka-broker-api-versions.sh": {"--bootstrap-server"},
    "kafka-configs.sh": {
        "--bootstrap-server",
        "--alter",
        "--describe",
        "--entity-type",
        "--entity-name",
        "--add-config",
    },
    "kafka-console-consumer.sh": {"--bootstrap-server", "--topic", "--from-beginning", "--group"},
    "kafka-console-producer.sh": {"--bootstrap-server", "--topic"},
    "kafka-consumer-groups.sh": {
        "--bootstrap-server",
        "--list",
        "--state",
        "--describe",
        "--group",
        "--members",
        "--verbose",
        "--reset-offsets",
        "--to-earliest",
        "--execute",
        "--topic",
        "--delete-offsets",
        "--delete",
    },
    "kafka-delete-records.sh": {"--bootstrap-server", "--offset-json-file"},
    "kafka-get-offsets.sh": {"--bootstrap-server", "--topic"},
    "kafka-log-dirs.sh": {"--bootstrap-server", "--describe", "--topic-list"},
    "kafka-producer-perf-test.sh": {
        "--topic",
        "--num-records",
        "--record-size",
        "--throughput",
        "--producer-props",
    },
    "kafka-topics.sh": {
        "--alter",
        "--bootstrap-server",
        "--create",
        "--list",
        "--describe",
        "--delete",
        "--topic",
        "--partitions",
        "--replication-factor",
    },
}


class ShellLine(NamedTuple):
    """One command of a document, and why it is only parsed; empty: a test runs it."""

    text: str
    reason: str


def shell_lines(markdown: str) -> Iterator[ShellLine]:
    """Every line of every ```sh block. Under `<!-- parsed: REASON -->` it is not to be run."""
    for reason, block in _FENCE.findall(markdown):
        yield from (ShellLine(line, reason) for line in block.splitlines() if line.strip())


def our_arguments(line: str) -> list[str] | None:
    """The arguments of our program in a shell line (behind a pipe too); None without it."""
    words = shlex.split(line.rpartition(" | ")[2])
    if words and words[0].rpartition("/")[2] == PROGRAM:
        return words[1:]
    return None


def check(line: str, make_targets: set[str]) -> None:
    """Raises click.UsageError if no such command could be meant."""
    arguments = our_arguments(line)
    if arguments is not None:
        parse(arguments)
        return
    program, *words = shlex.split(line)
    if program == "make":
        unknown = {word for word in words[:1] if word not in make_targets}
    elif program in FOREIGN:
        unknown = {word for word in words if re.match(r"--?[a-z]", word)} - FOREIGN[program]
    else:
        unknown = {program}
    if unknown:
        raise click.UsageError(f"{line}: {', '.join(sorted(unknown))} is not known")


def parse(arguments: list[str]) -> None:
    """Let the command line read the arguments; raises click.UsageError if it does not know them."""
    command: click.Command = cli
    context = command.make_context(PROGRAM, list(arguments))
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, context._protected_args + context.args)
        assert name is not None and found is not None
        command = found
        context = command.make_context(name, rest, parent=context)
