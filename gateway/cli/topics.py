"""`topics`: list, create, describe, alter and delete, and delete records."""

import json
import sys

import click

from gateway.cli.client import EARLIEST, LATEST, KafkaClient
from gateway.cli.errors import KafkaError, complain
from gateway.cli.options import HELP, connecting, parse_pairs
from gateway.cli.tables import show_table

Address = tuple[str, int]
_UNKNOWN, _INVALID_CONFIG = 3, 40  # UNKNOWN_TOPIC_OR_PARTITION, INVALID_CONFIG
_SET_ON_TOPIC = 1  # config source in DescribeConfigs: not a default


@click.group(context_settings=HELP)
def topics() -> None:
    """List, create, describe, alter or delete topics, or delete records."""


@topics.command("list", context_settings=HELP)
@click.option("--internal", is_flag=True, help="Also the broker's own topics.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per topic.")
@connecting
def list_topics(bootstrap: Address, timeout_ms: int, internal: bool, as_json: bool) -> None:
    """Show every topic and its number of partitions."""
    with KafkaClient(bootstrap, timeout_ms) as client:
        rows = [row for row in client.topics() if internal or not row.is_internal]
    rows.sort(key=lambda row: row.name or "")
    if as_json:
        for row in rows:
            fact = {"topic": row.name, "partitions": len(row.partitions)}
            click.echo(json.dumps(fact))
    elif rows:
        show_table([("TOPIC", "PARTITIONS"), *((row.name, len(row.partitions)) for row in rows)])
    else:
        click.echo("No topics yet. Make one: woodpecker-gateway topics create NAME", err=True)


@topics.command(context_settings=HELP)
@click.argument("name")
@click.option(
    "--partitions",
    type=click.IntRange(1, 1_000_000),
    default=None,
    help="How many. Default: the broker's --default-partitions-count.",
)
@click.option(
    "--config",
    "configs",
    multiple=True,
    metavar="NAME=VALUE",
    help="A topic configuration by Kafka's name, such as retention.ms=86400000. Repeatable.",
)
@connecting
def create(
    bootstrap: Address,
    timeout_ms: int,
    name: str,
    partitions: int | None,
    configs: tuple[str, ...],
) -> None:
    """Create the topic NAME."""
    settings = dict(parse_pairs(configs, "--config"))
    if len(settings) < len(configs):
        raise click.UsageError("a configuration is named twice")
    with KafkaClient(bootstrap, timeout_ms) as client:
        count = client.create_topic(name, partitions or -1, settings)
    what = "" if count < 1 else f" with {count} partition{'s' if count > 1 else ''}"
    click.echo(f"created {name}{what}")


@topics.command(context_settings=HELP)
@click.argument("name")
@click.option("--configs", "all_configs", is_flag=True, help="Show defaults too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@connecting
def describe(
    bootstrap: Address, timeout_ms: int, name: str, all_configs: bool, as_json: bool
) -> None:
    """Show the partitions of NAME, their offsets and its configuration."""
    with KafkaClient(bootstrap, timeout_ms) as client:
        partitions = client.partitions(name)
        first = client.offsets(name, partitions, EARLIEST)
        end = client.offsets(name, partitions, LATEST)
        configs = {
            row.name: row.value
            for row in client.topic_configs(name)
            if all_configs or row.config_source == _SET_ON_TOPIC
        }
    if as_json:
        facts = [
            {"partition": i, "leader": node, "start_offset": first[i], "end_offset": end[i]}
            for i, node in partitions
        ]
        click.echo(json.dumps({"topic": name, "partitions": facts, "configs": configs}))
        return
    head = ("PARTITION", "LEADER", "START OFFSET", "END OFFSET", "RECORDS")
    show_table(
        [head, *((i, node, first[i], end[i], end[i] - first[i]) for i, node in partitions)],
    )
    for key, value in configs.items():
        click.echo(f"{key}={value}")


@topics.command(context_settings=HELP)
@click.argument("names", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@connecting
def delete(bootstrap: Address, timeout_ms: int, names: tuple[str, ...], yes: bool) -> int:
    """Delete the topics NAMES and all their records, for good."""
    if not yes and sys.stdin.isatty():
        click.confirm(f"Delete {', '.join(names)} and all records in it?", abort=True)
    failed = 0
    with KafkaClient(bootstrap, timeout_ms) as client:
        for name in names:
            try:
                client.delete_topic(name)
                click.echo(f"deleted {name}")
            except KafkaError as e:  # the other names still have their turn
                complain(str(e), e.remedy)
                failed += 1
    return 1 if failed else 0


@topics.command(context_settings=HELP)
@click.argument("name")
@click.option(
    "--set",
    "set_",
    multiple=True,
    metavar="NAME=VALUE",
    help="A topic configuration by Kafka's name, such as retention.ms=86400000. Repeatable.",
)
@click.option("--unset", multiple=True, metavar="NAME", help="Back to its default. Repeatable.")
@connecting
def alter(
    bootstrap: Address,
    timeout_ms: int,
    name: str,
    set_: tuple[str, ...],
    unset: tuple[str, ...],
) -> None:
    """Change the configuration of NAME, in force at once."""
    configs: dict[str, str | None] = dict(parse_pairs(set_, "--set"))
    configs |= dict.fromkeys(unset)
    if not configs:
        raise click.UsageError("nothing to change: give --set NAME=VALUE or --unset NAME")
    if len(configs) < len(set_) + len(unset):
        raise click.UsageError("a configuration is named twice")
    with KafkaClient(bootstrap, timeout_ms) as client:
        if unset:  # a broker unsets what nobody knows, and a misspelt name would seem to be done
            known = {row.name for row in client.topic_configs(name)}
            for unknown in (key for key in unset if key not in known):
                raise KafkaError(_INVALID_CONFIG, f"topic {name}", f"nothing is called {unknown}")
        client.alter_topic(name, configs)
    click.echo(f"altered {name}")


@topics.command("delete-records", context_settings=HELP)
@click.argument("name")
@click.option("--partition", "number", type=click.IntRange(0), required=True, help="Which one.")
@click.option(
    "--before",
    type=click.IntRange(0),
    required=True,
    metavar="OFFSET",
    help="The first offset that stays; `topics describe NAME` shows which there are.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@connecting
def delete_records(
    bootstrap: Address, timeout_ms: int, name: str, *, number: int, before: int, yes: bool
) -> None:
    """Delete the records below an offset of one partition of NAME, for good."""
    if not yes and sys.stdin.isatty():
        click.confirm(f"Delete all records of {name}-{number} before {before}?", abort=True)
    with KafkaClient(bootstrap, timeout_ms) as client:
        found = [p for p in client.partitions(name) if p.number == number]
        if not found:
            raise KafkaError(_UNKNOWN, f"topic {name}, partition {number}")
        start = client.delete_records(name, found[0], before)
    click.echo(f"{name}-{number} starts at offset {start}")
