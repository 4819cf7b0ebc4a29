"""`fsck`: is everything there and whole that the log in a folder or bucket consists of?

Takes the very flags of `serve`, reads what is stored and nothing else. Whose records are concerned
is told by topic and partition, as far as the newest checkpoint can be read.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.errors import complain
from gateway.cli.serve import SettingsCommand, setting_parameters
from gateway.settings.config import Config
from gateway.settings.load import load_config

if TYPE_CHECKING:
    from gateway.cli.stream_names import StreamNames
    from wal_core import Finding, LogReport, Records

_WIDTH = 10  # of the longest kind, and a space
_SAYS = {
    "missing": "is not there",
    "damaged": "is not what was written",
    "gap": "nothing holds what should be here",
    "overlap": "two places hold the same",
    "doomed": "would be deleted although it is needed",
    "orphan": "costs space and nothing else",
    "straggler": "of a writer that was fenced; never acknowledged, will go",
    "leftover": "of a compaction that was cut short; the next start removes it",
}
_RECORDS_SHOWN_COUNT = 5
"""Of one finding; --json has them all."""


def _fsck(quick: bool, as_json: bool, **flags: Any) -> int:
    config = load_config(flags, os.environ)

    from gateway.cli.stream_names import StreamNames  # noqa: PLC0415 - after the help
    from wal_core import WalError  # noqa: PLC0415

    names = StreamNames()
    # A mode is only asked for where somebody says so: what it is by default, the marker knows.
    mode = flags.get("mode") or os.environ.get("WOODPECKER_MODE", "").strip() or None
    try:
        report = asyncio.run(_look(config, mode, names, deep=not quick))
        report.findings += names.findings(report)
    except WalError as error:
        complain(str(error), "the --data and the keys that the broker has")
        return 2
    if as_json:
        json.dump(_as_json(report, names.names, quick=quick), sys.stdout, indent=2)
        click.echo()
    else:
        for line in _as_text(report, config.data, names.names, quick=quick):
            click.echo(line)
    return 0 if report.sound else 1


async def _look(
    config: Config, mode: str | None, names: "StreamNames", *, deep: bool
) -> "LogReport":
    from gateway.settings.log_settings import cloud_settings, log_config  # noqa: PLC0415
    from wal_core import Invalid, SystemRng, check_log, open_to_look  # noqa: PLC0415

    rng = SystemRng()
    store = await open_to_look(config.data, cloud=cloud_settings(config), rng=rng)
    try:
        if mode is not None and mode != store.mode:
            raise Invalid(f"{store.location} holds data of mode {store.mode}, not {mode}")
        seen = log_config(config, store.mode)
        return await check_log(store, seen, rng, deep=deep, new_state=names.new)
    finally:
        await store.close()


def _as_text(
    report: "LogReport", data: str, names: Mapping[int, str], *, quick: bool
) -> Iterator[str]:
    for finding in report.findings:
        kind = finding.kind.value
        yield f"{kind:<{_WIDTH}}{finding.place}: {finding.text} ({_SAYS[kind]})"
        for row in finding.records[:_RECORDS_SHOWN_COUNT]:
            yield f"{'':<{_WIDTH}}{_affected(finding, row, names)}"
        more_count = len(finding.records) - _RECORDS_SHOWN_COUNT
        if more_count > 0:
            yield f"{'':<{_WIDTH}}and {more_count} more such ranges; --json lists them"
    yield f"{data}: {report.objects_count} objects, {_size(report.bytes_count)}"
    yield (
        f"segments: {report.sealed_count} sealed, {report.completed_count} completed, "
        f"{report.unfinished_count} unfinished; streams: {len(report.streams)}"
    )
    yield (
        f"garbage that waits for its deletion: {report.garbage_count} objects, "
        f"{_size(report.garbage_bytes)}"
    )
    if report.unjudged_count:
        yield f"not judged, because of what cannot be read: {report.unjudged_count} objects"
    looked = "tables and sizes" if quick else f"all {report.blocks_read_count} blocks"
    bad_count = sum(not finding.harmless for finding in report.findings)
    verdict = "sound" if report.sound else f"NOT SOUND, findings: {bad_count}"
    yield f"{verdict} (looked at {looked})"


def _affected(finding: "Finding", row: "Records", names: Mapping[int, str]) -> str:
    fate = "are there twice" if finding.kind.value == "overlap" else "cannot be read"
    offsets = f"offsets {row.first_offset} to {row.end_offset - 1}"
    return f"{_name(row.stream_id, names)}: {offsets} {fate}"


def _name(stream_id: int, names: Mapping[int, str]) -> str:
    return names.get(stream_id, f"stream {stream_id}")


def _as_json(report: "LogReport", names: Mapping[int, str], *, quick: bool) -> dict[str, Any]:
    return {
        "sound": report.sound,
        "quick": quick,
        "findings": [
            {
                "kind": finding.kind.value,
                "place": finding.place,
                "text": finding.text,
                "harmless": finding.harmless,
                "records": [_records_json(row, names) for row in finding.records],
            }
            for finding in report.findings
        ],
        "objects": report.objects_count,
        "bytes": report.bytes_count,
        "manifest": report.manifest_number,
        "segments": {
            "sealed": report.sealed_count,
            "completed": report.completed_count,
            "unfinished": report.unfinished_count,
        },
        "garbage": {"objects": report.garbage_count, "bytes": report.garbage_bytes},
        "unjudged_objects": report.unjudged_count,
        "blocks_read": report.blocks_read_count,
        "streams": [_records_json(row, names) for row in report.streams.values()],
    }


def _records_json(row: "Records", names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "stream": row.stream_id,
        "name": names.get(row.stream_id),
        "first_offset": row.first_offset,
        "end_offset": row.end_offset,
    }


def _size(bytes_count: int) -> str:
    if bytes_count < 10_000:
        return f"{bytes_count} bytes"
    return f"{bytes_count / 1e6:,.2f} MB"


fsck = SettingsCommand(
    "fsck",
    callback=_fsck,
    params=[
        click.Option(
            ["--quick"], is_flag=True, help="Read tables and compare sizes; leave blocks unread."
        ),
        click.Option(
            ["--json", "as_json"], is_flag=True, help="Print the report as one JSON object."
        ),
        *setting_parameters(),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Check the data of a broker: gaps, overlaps, damage, missing and orphaned objects.

    Give it the flags you give to `serve`, or the same environment. It reads every block that is
    stored there, compares it with the tables that name it, and lists what is wrong with the topic
    partitions and offsets that cannot be read because of it. Nothing is written or locked: a broker
    may run meanwhile. What a killed broker leaves behind is listed, but is nothing wrong.

    \b
    Exit code: 0 sound, 1 something is wrong, 2 there is nothing to look at.

    \b
        woodpecker-gateway fsck --data ./data
        woodpecker-gateway fsck --data s3://my-bucket/broker --quick
    """,
)
