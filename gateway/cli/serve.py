"""`serve`: settings in, a running broker out. Flags and help are derived from the options table."""

import os
from typing import Any

import click

from gateway.observe.logger import setup_logging
from gateway.settings.config import default_text
from gateway.settings.load import CONFIG_ENV, load_config
from gateway.settings.options import ESSENTIAL_SECTIONS, OPTIONS
from gateway.settings.values import Option, parse_switch


class SettingsCommand(click.Command):
    """A command whose help shows the settings a newcomer needs; the rest comes on demand."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        everything = bool(ctx.meta.get("help_all"))
        sections: dict[str, list[tuple[str, str]]] = {}
        for option in OPTIONS:
            if everything or option.section in ESSENTIAL_SECTIONS:
                sections.setdefault(option.section, []).append(_help_row(option))
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)
        with formatter.section("More"):
            formatter.write_dl([*self._own_rows(ctx), *_more_rows(len(OPTIONS))])

    def _own_rows(self, ctx: click.Context) -> list[tuple[str, str]]:
        """What the command takes besides the settings, which have no help of click's."""
        own = [p for p in self.params if isinstance(p, click.Option) and p.help]
        return [row for p in own if (row := p.get_help_record(ctx)) is not None]


def _flags(option: Option) -> str:
    if option.parse is parse_switch:
        return f"{option.flag}/--no-{option.flag.removeprefix('--')}"
    return option.flag


def _help_row(option: Option) -> tuple[str, str]:
    flags = _flags(option).replace("/", " / ")
    if option.parse is not parse_switch:
        flags += f" {option.metavar}"
    return flags, f"{option.help} [{default_text(option)}]"


def _more_rows(settings_count: int) -> list[tuple[str, str]]:
    return [
        ("--config FILE", "Read settings from a TOML file; flags and environment outweigh it."),
        ("--help-all", f"Show all {settings_count} settings: limits, storage, consumer groups."),
        ("-h, --help", "Show this."),
    ]


def _show_all(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        ctx.meta["help_all"] = True
        click.echo(ctx.get_help())
        ctx.exit()


def option_parameter(option: Option) -> click.Option:
    """The flag of one setting; None means: not given here, look further."""
    return click.Option([_flags(option), option.key], default=None, help=option.help)


def setting_parameters() -> list[click.Parameter]:
    """An option for every setting, all of them optional."""
    # The key is the parameter's name; None means: not given here, look further.
    parameters: list[click.Parameter] = [
        click.Option([_flags(option), option.key], default=None) for option in OPTIONS
    ]
    parameters.append(click.Option(["--config"], default=None))
    parameters.append(
        click.Option(
            ["--help-all"], is_flag=True, is_eager=True, expose_value=False, callback=_show_all
        )
    )
    return parameters


def _serve(**flags: Any) -> int:
    config = load_config(flags, os.environ)
    setup_logging(config.log_level, config.log_format)

    # A wrong setting is reported without loading these.
    if config.workers_count > 1:
        from gateway.workers.supervisor import supervise  # noqa: PLC0415

        return supervise(config)
    from gateway.serving import run  # noqa: PLC0415

    return run(config)


serve = SettingsCommand(
    "serve",
    callback=_serve,
    params=setting_parameters(),
    context_settings={"help_option_names": ["-h", "--help"]},
    help=f"""Start the broker and serve until Ctrl-C or SIGTERM.

    Without any flag it listens on 127.0.0.1:9092 and keeps its data in ./data. What a client has an
    acknowledgement for is on disk and survives a crash.

    \b
    Listen on all interfaces, and tell clients a name they can reach:
        woodpecker-gateway serve --listen 0.0.0.0:9092 --advertised myhost:9092
    Try things out without touching the disk:
        woodpecker-gateway serve --data memory:
    Keep the data in a bucket (keys from the environment, a profile or the machine's role):
        woodpecker-gateway serve --data s3://my-bucket/broker

    Use four cores (clients find the four brokers behind the one address):
        woodpecker-gateway serve --workers 4

    Sizes are written 64KiB, 16MiB or 10MB, times 500ms, 30s or 5min. Each setting can also come
    from the environment, as WOODPECKER_LISTEN for --listen and so on, or from a TOML file named
    by --config or {CONFIG_ENV}, as listen = "127.0.0.1:9092".
    """,
)
