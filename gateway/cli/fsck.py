"""`fsck`: is everything there and whole that the log in a folder or bucket consists of?

Takes the very flags of `serve`, reads what is stored and, but for a repair, does nothing else.
Whose records are concerned is told by topic and partition, as far as the newest checkpoint can be
read.
"""

import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from gateway.cli.errors import complain
from gateway.cli.fsck_repair import NOTHING, plan, repair
from gateway.cli.serve import SettingsCommand, setting_parameters
from gateway.settings.config import Config
from gateway.settings.load import load_config

if TYPE_CHECKING:
    from gateway.cli.stream_names import StreamNames
    from wal_core import Finding, LogConfig, LogReport, Mode, Records, SegmentStore

_WIDTH = 10  # of the longest kind, and a space
_SAYS = {
    "missing": "is not there",
    "damaged": "is not what was written",
    "gap": "nothing holds what should be here",
    "overlap": "two places hold the same",
    "doomed": "would be deleted although it is needed",
    "orphan": "costs space and nothing else",
    "straggler": "of a writer that was fenced; never acknowledged, will go",
    "lost": "known to be gone; nothing else is lost by it",
    "leftover": "of a compaction that was cut short; the next start removes it",
}
_RECORDS_SHOWN_COUNT = 5
"""Of one finding; --json has them all."""


def _fsck(quick: bool, as_json: bool, to_repair: bool, yes: bool, **flags: Any) -> int:
    if yes and not to_repair:
        raise click.UsageError("--yes says yes to --repair, which is not there.")
    if to_repair and (quick or as_json):
        raise click.UsageError("--repair reads every block and tells people: no --quick, --json.")
    config = load_config(flags, os.environ)

    from wal_core import WalError  # noqa: PLC0415 - after the help

    # A mode is only asked for where somebody says so: what it is by default, the marker knows.
    mode = flags.get("mode") or os.environ.get("WOODPECKER_MODE", "").strip() or None
    try:
        stored_mode, looks = asyncio.run(_look(config, mode, deep=not quick))
        if yes and not _is_sound(looks):
            return _repaired(config, stored_mode, looks)
    except WalError as error:
        remedy = "the --data and the keys that the broker has"
        complain(str(error), "a copy of the data, if this goes on" if yes else remedy)
        return 2
    if as_json:
        json.dump(_as_json(looks, stored_mode, quick=quick), sys.stdout, indent=2)
        click.echo()
    else:
        for line in _as_text(looks, config.data, quick=quick):
            click.echo(line)
        if stored_mode == "quorum":
            click.echo(UNSEEN)
    if to_repair:
        reports = [look.report for look in looks]
        for line in [NOTHING] if _is_sound(looks) else plan(reports, config.data, stored_mode):
            click.echo(line)
    return 0 if _is_sound(looks) else 1


def _repaired(config: Config, mode: "Mode", looks: Sequence["_Look"]) -> int:
    """Repair, and tell what there is then."""
    bad = [(look.report, look.names.new()) for look in looks if not look.report.sound]
    for line in asyncio.run(repair(config, mode, bad)):
        click.echo(line)
    _, after = asyncio.run(_look(config, mode, deep=True))
    for line in _as_text(after, config.data, quick=False):
        click.echo(line)
    return 0 if _is_sound(after) else 1


UNSEEN = "mode quorum: what is not uploaded yet lies on logstores, and was not looked at"


class _Look(NamedTuple):
    """At one log."""

    report: "LogReport"
    names: "StreamNames"


def _is_sound(looks: Sequence[_Look]) -> bool:
    return all(look.report.sound for look in looks)


async def _look(config: Config, mode: str | None, *, deep: bool) -> tuple["Mode", list[_Look]]:
    """At every log: the catalog, those it names, and those that were ever opened there."""
    from gateway.settings.log_settings import cloud_settings, log_config  # noqa: PLC0415
    from wal_core import (  # noqa: PLC0415
        Invalid,
        SystemRng,
        open_to_look,
        stored_log_ids,
    )

    rng = SystemRng()
    store = await open_to_look(config.data, cloud=cloud_settings(config), rng=rng)
    try:
        if mode is not None and mode != store.mode:
            raise Invalid(f"{store.location} holds data of mode {store.mode}, not {mode}")
        seen = log_config(config, store.mode)
        log_ids = set(await stored_log_ids(store, seen, rng))
        catalog, placed = await _look_at(store, seen, 0, deep=deep)
        looks = [catalog]
        for log_id in sorted((log_ids | placed) - {0}):
            looks.append((await _look_at(store, seen, log_id, deep=deep))[0])
        return store.mode, looks
    finally:
        await store.close()


async def _look_at(
    store: "SegmentStore", config: "LogConfig", log_id: int, *, deep: bool
) -> tuple[_Look, set[int]]:
    """One log, and the logs that it names, if it is the catalog."""
    from gateway.cli.stream_names import StreamNames  # noqa: PLC0415
    from wal_core import SystemRng, check_log  # noqa: PLC0415

    names = StreamNames(log_id)
    config = dataclasses.replace(config, log_id=log_id)
    report = await check_log(store, config, SystemRng(), deep=deep, new_state=names.new)
    report.findings += names.findings(report)
    return _Look(report, names), names.log_ids


def _as_text(looks: Sequence[_Look], data: str, *, quick: bool) -> Iterator[str]:
    for look in looks:
        yield from _findings_text(look)
    reports = [look.report for look in looks]

    def total(count: Callable[["LogReport"], int]) -> int:
        return sum(map(count, reports))

    yield f"{data}: {total(_objects)} objects, {_size(total(_bytes))}"
    for report in reports:
        yield (
            f"log {report.log_id}: segments: {report.sealed_count} sealed, "
            f"{report.completed_count} completed, {report.unfinished_count} unfinished; "
            f"streams: {len(report.streams)}"
        )
    garbage_count = total(lambda report: report.garbage_count)
    garbage_bytes = total(lambda report: report.garbage_bytes)
    yield f"garbage that waits for its deletion: {garbage_count} objects, {_size(garbage_bytes)}"
    if unjudged_count := total(lambda report: report.unjudged_count):
        yield f"not judged, because of what cannot be read: {unjudged_count} objects"
    blocks_count = total(lambda report: report.blocks_read_count)
    looked = "tables and sizes" if quick else f"all {blocks_count} blocks"
    bad_count = sum(not finding.harmless for report in reports for finding in report.findings)
    verdict = "sound" if _is_sound(looks) else f"NOT SOUND, findings: {bad_count}"
    yield f"{verdict} (looked at {looked})"


def _objects(report: "LogReport") -> int:
    return report.objects_count


def _bytes(report: "LogReport") -> int:
    return report.bytes_count


def _findings_text(look: _Look) -> Iterator[str]:
    for finding in look.report.findings:
        kind = finding.kind.value
        yield f"{kind:<{_WIDTH}}{finding.place}: {finding.text} ({_SAYS[kind]})"
        for row in finding.records[:_RECORDS_SHOWN_COUNT]:
            yield f"{'':<{_WIDTH}}{_affected(finding, row, look.names.names)}"
        more_count = len(finding.records) - _RECORDS_SHOWN_COUNT
        if more_count > 0:
            yield f"{'':<{_WIDTH}}and {more_count} more such ranges; --json lists them"


def _affected(finding: "Finding", row: "Records", names: Mapping[int, str]) -> str:
    fate = "are there twice" if finding.kind.value == "overlap" else "cannot be read"
    offsets = f"offsets {row.first_offset} to {row.end_offset - 1}"
    return f"{_name(row.stream_id, names)}: {offsets} {fate}"


def _name(stream_id: int, names: Mapping[int, str]) -> str:
    return names.get(stream_id, f"stream {stream_id}")


def _as_json(looks: Sequence[_Look], mode: "Mode", *, quick: bool) -> dict[str, Any]:
    reports = [look.report for look in looks]
    return {
        "sound": _is_sound(looks),
        "quick": quick,
        "mode": mode,
        "not_looked_at": [UNSEEN] if mode == "quorum" else [],
        "findings": [
            {
                "log": report.log_id,
                "kind": finding.kind.value,
                "place": finding.place,
                "text": finding.text,
                "harmless": finding.harmless,
                "records": [_records_json(row, names.names) for row in finding.records],
            }
            for report, names in looks
            for finding in report.findings
        ],
        "objects": sum(map(_objects, reports)),
        "bytes": sum(map(_bytes, reports)),
        "garbage": {
            "objects": sum(report.garbage_count for report in reports),
            "bytes": sum(report.garbage_bytes for report in reports),
        },
        "unjudged_objects": sum(report.unjudged_count for report in reports),
        "blocks_read": sum(report.blocks_read_count for report in reports),
        "logs": [_log_json(report) for report in reports],
        "streams": [
            {"log": report.log_id} | _records_json(row, names.names)
            for report, names in looks
            for row in report.streams.values()
        ],
    }


def _log_json(report: "LogReport") -> dict[str, Any]:
    return {
        "log": report.log_id,
        "sound": report.sound,
        "manifest": report.manifest_number,
        "segments": {
            "sealed": report.sealed_count,
            "completed": report.completed_count,
            "unfinished": report.unfinished_count,
        },
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
        click.Option(
            ["--repair", "to_repair"], is_flag=True, help="Say what a repair would do; see --yes."
        ),
        click.Option(["--yes"], is_flag=True, help="Do what --repair says."),
        *setting_parameters(),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Check the data of a broker: gaps, overlaps, damage, missing and orphaned objects.

    Give it the flags you give to `serve`, or the same environment. It reads every block that is
    stored there, compares it with the tables that name it, and lists what is wrong with the topic
    partitions and offsets that cannot be read because of it. Nothing is written or locked, but by
    a repair: a broker may run meanwhile. What a killed broker leaves behind is listed, but is
    nothing wrong.

    --repair says what can be done about damage, and with --yes it is done: what can be read is
    sealed anew, what cannot is remembered as lost. Stop the broker before.

    \b
    Exit code: 0 sound, 1 something is wrong, 2 there is nothing to look at, or no repair
    is possible.

    \b
        woodpecker-gateway fsck --data ./data
        woodpecker-gateway fsck --data s3://my-bucket/broker --quick
        woodpecker-gateway fsck --data ./data --repair
    """,
)
