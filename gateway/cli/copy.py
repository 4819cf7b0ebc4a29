"""`copy`: the data of a broker to another folder or bucket, while it runs if need be.

A backup, its restoring, and the way from a laptop's folder into a bucket are all this one command.
"""

import asyncio
import dataclasses
import os
from typing import TYPE_CHECKING, Any, Literal

import click

from gateway.cli.errors import complain
from gateway.cli.serve import option_parameter
from gateway.settings.config import Config
from gateway.settings.load import load_config
from gateway.settings.options import OPTIONS

if TYPE_CHECKING:
    from wal_core import CopyReport

_SETTINGS = frozenset(
    {
        "s3_endpoint",
        "s3_region",
        "s3_path_style",
        "gs_endpoint",
        "az_endpoint",
        "az_account",
        "store_timeout_ms",
    }
)


def _copy(source: str, target: str, to_mode: Literal["file", "object"] | None, **flags: Any) -> int:
    config = load_config(flags, os.environ)

    from wal_core import Corrupt, Invalid, WalError  # noqa: PLC0415 - after the help

    try:
        reports = asyncio.run(_run(config, source, target, to_mode))
    except WalError as error:
        remedy = "again later: it goes on where it was cut short"
        if isinstance(error, Corrupt):
            remedy = f"`woodpecker-gateway fsck --data {source}`, which lists what is damaged there"
        elif isinstance(error, Invalid):
            remedy = "`woodpecker-gateway copy --help`"
        complain(str(error), remedy)
        return 1
    sealed_count = sum(report.sealed_count for report in reports)
    segments_count = sum(report.segments_count for report in reports)
    copied_bytes = sum(report.copied_bytes for report in reports)
    click.echo(
        f"{target}: {sealed_count} sealed and {segments_count} other segments, "
        f"{copied_bytes / 1e6:,.2f} MB copied"
    )
    return 0


async def _run(
    config: Config, source: str, target: str, to_mode: Literal["file", "object"] | None
) -> "list[CopyReport]":
    from gateway.settings.log_settings import cloud_settings, log_config  # noqa: PLC0415
    from wal_core import (  # noqa: PLC0415
        SystemRng,
        copy_log,
        is_cloud,
        open_to_copy,
        open_to_look,
        stored_log_ids,
    )

    rng = SystemRng()
    cloud = cloud_settings(config)
    original = await open_to_look(source, cloud=cloud, rng=rng)
    try:
        mode = to_mode or ("object" if is_cloud(target) else original.mode)
        if mode == "quorum":
            mode = "object"  # a copy has no logstores
        name = source if is_cloud(source) else str(original.objects.location)
        copy = await open_to_copy(target, mode, name, cloud=cloud, rng=rng)
        try:
            seen = log_config(config, original.mode)
            # The catalog last: it then knows every topic of which there are records.
            log_ids = sorted(await stored_log_ids(original, seen, rng), reverse=True)
            reports = []
            for log_id in log_ids or [0]:
                click.echo(f"log {log_id}", err=True)
                report = await copy_log(
                    original,
                    copy,
                    dataclasses.replace(seen, log_id=log_id),
                    rng,
                    told=lambda text: click.echo(text, err=True),
                    is_last=log_id == 0,
                )
                reports.append(report)
            return reports
        finally:
            await copy.close()
    finally:
        await original.close()


copy = click.Command(
    "copy",
    callback=_copy,
    params=[
        click.Option(["--from", "source"], required=True, help="Folder or bucket of a broker."),
        click.Option(["--to", "target"], required=True, help="Empty folder or bucket prefix."),
        click.Option(
            ["--to-mode"],
            type=click.Choice(["file", "object"]),
            help="How the copy is kept in a folder. [as it was; object in a bucket]",
        ),
        *(option_parameter(option) for option in OPTIONS if option.key in _SETTINGS),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Copy the data of a broker, also of one that runs, to an empty folder or bucket.

    The copy holds every record that was acknowledged before the command began, and opens like the
    original: topics, settings, committed offsets and all. Nothing is locked or written at the
    source. A copy that was cut short goes on when the command is repeated, and is no broker's data
    before it is whole.

    \b
    Back up a bucket, and restore it elsewhere:
        woodpecker-gateway copy --from s3://my-bucket/broker --to s3://my-backups/monday
        woodpecker-gateway copy --from s3://my-backups/monday --to s3://my-bucket/restored
    Move from a laptop's folder into a bucket:
        woodpecker-gateway copy --from ./data --to s3://my-bucket/broker
    """,
)
