"""The top of the command line: which commands there are, and how errors reach people.

Rules: a command's module is imported when the command is named, so that `serve` starts fast and
does not load the client. Exit codes: 0 done, 1 it failed, 2 used wrongly, 130 interrupted.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import click

from gateway.cli.errors import ClientError, complain
from gateway.settings.config import ConfigError

PROGRAM = "woodpecker-gateway"


class _Row(NamedTuple):
    module: str
    function: str
    help: str


# The order is that of a first visit.
COMMANDS: dict[str, _Row] = {
    "serve": _Row("serve", "serve", "Start the broker."),
    "logstore": _Row(
        "logstore", "logstore", "Start a logstore: it keeps the tails of logs of quorum mode."
    ),
    "doctor": _Row(
        "doctor", "doctor", "Check storage, addresses and limits before or while serving."
    ),
    "fsck": _Row(
        "fsck", "fsck", "Check the stored data: damage, gaps, missing and orphaned objects."
    ),
    "recover": _Row(
        "recover", "recover", "Recover from a replica that lacks some of the newest objects."
    ),
    "copy": _Row("copy", "copy", "Copy the data, also of a running broker: backup, restore, move."),
    "cluster": _Row(
        "cluster", "cluster", "Show brokers and owners of a cluster, move logs, spare a broker."
    ),
    "topics": _Row("topics", "topics", "List, create, describe or delete topics."),
    "produce": _Row("produce", "produce", "Write records to a topic."),
    "consume": _Row("consume", "consume", "Read records from a topic."),
    "verify": _Row("verify", "verify", "Check a recorded history for lost or reordered records."),
}


class LazyGroup(click.Group):
    """Knows the names and one-line helps of its commands; imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        row = COMMANDS.get(cmd_name)
        if row is None:
            return None
        command = getattr(import_module(f"gateway.cli.{row.module}"), row.function)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.help) for name, row in COMMANDS.items()])


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version  # noqa: PLC0415 - 20 ms that no other command needs

        click.echo(f"{PROGRAM} {version(PROGRAM)}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version.",
)
def cli() -> None:
    """Woodpecker Gateway: a Kafka broker in one command.

    \b
    Start it, with its data in ./data:
        woodpecker-gateway serve
    Try it from another terminal:
        echo hello | woodpecker-gateway produce greetings
        woodpecker-gateway consume greetings --from-beginning

    Any Kafka client can connect to it: bootstrap.servers=127.0.0.1:9092
    """


def run(args: Sequence[str]) -> int:
    """Run one command; returns the exit code. Errors go to standard error as a sentence."""
    try:
        result: Any = cli.main(list(args), prog_name=PROGRAM, standalone_mode=False)
    except click.exceptions.Abort:
        return 130
    except click.ClickException as e:
        e.show()
        return e.exit_code
    except ConfigError as e:
        complain(str(e), "`woodpecker-gateway serve --help-all` lists every setting")
        return 2
    except ClientError as e:
        complain(str(e), e.remedy)
        return 1
    return result if isinstance(result, int) else 0
