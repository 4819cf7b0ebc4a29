"""`fsck --repair`: first what it would do, and with --yes, it."""

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from gateway.settings.config import Config

if TYPE_CHECKING:
    from wal_core import LogReport, LogState, Mode, Repaired

NOTHING = "nothing to repair"
_LINES_MAX_COUNT = 50


def plan(reports: Sequence["LogReport"], data: str, mode: str) -> Iterator[str]:
    """Lines for people, behind those of the check."""
    found = [finding for report in reports for finding in report.findings]
    bad = [finding for finding in found if not finding.harmless]
    kinds = {finding.place: finding.kind.value for finding in bad}
    beyond = {place for place in kinds if "/" not in place}  # what only the gateway can tell
    manifests = {place for place in kinds if place.startswith("manifests/")}
    orphans = {place for place, kind in kinds.items() if kind == "orphan"} - manifests
    doomed = {place for place, kind in kinds.items() if kind == "doomed"} - manifests
    rest = kinds.keys() - beyond - manifests - orphans - doomed
    yield ""
    yield f"to repair {data}:"
    yield from _lines("seal anew, from all blocks that can be read", {_whole(p) for p in rest})
    yield from _lines("take off the list of what is deleted", doomed)
    yield from _lines("put a new manifest in the place of", manifests)
    yield from _lines("list as garbage, if it still seems so when the rest is done", orphans)
    yield from _lines("leave alone, for nothing can be done about it:", beyond)
    if any(finding.records for finding in bad):
        yield "  remember as lost what of the offsets above cannot be read; it stays refused"
    yield "What is replaced is deleted later: what was damaged as late as fences are"
    yield "(--fence-grace-ms), the rest like the garbage of any compaction."
    if mode == "file":
        yield "No broker may run there meanwhile: the repair takes the lock, or gives up."
    else:
        yield "Stop the broker first: the repair takes the log over, as another broker would."
    yield "Nothing was written. Repeat with --yes to do it; better with a copy of the data at hand."


def _lines(what: str, places: Collection[str]) -> Iterator[str]:
    for place in sorted(places)[:_LINES_MAX_COUNT]:
        yield f"  {what} {place}"
    if len(places) > _LINES_MAX_COUNT:
        yield f"  {what} {len(places) - _LINES_MAX_COUNT} more"


def _whole(place: str) -> str:
    """The segment, or the sealed folder, that a key is of."""
    return "/".join(place.split("/")[:3])


async def repair(
    config: Config, mode: "Mode", bad: Iterable[tuple["LogReport", "LogState"]]
) -> list[str]:
    """Repair logs, each as its report and an empty state say; what was done, for people. Raises
    WalError."""
    from gateway.settings.log_settings import (  # noqa: PLC0415 - after the help
        cloud_settings,
        log_config,
    )
    from wal_core import SystemClock, SystemRng, open_store, repair_log  # noqa: PLC0415

    clock, rng = SystemClock(), SystemRng()
    seen = log_config(config, mode)
    store = await open_store(config.data, mode, cloud=cloud_settings(config))
    lines: list[str] = []
    try:
        for report, state in bad:
            own = dataclasses.replace(seen, log_id=report.log_id)
            done = await repair_log(store, state, own, report, clock=clock, rng=rng)
            lines += (f"log {report.log_id}: {line}" for line in told(done))
    finally:
        await store.close()
    return lines


def told(done: "Repaired") -> Iterator[str]:
    """What was done, for people."""
    for sealed in done.sealed:
        yield f"sealed anew: segments {sealed.first} to {sealed.last}"
    if done.added:
        yield f"added behind the others, with nothing in them: segments {done.added[0]} and on"
    if done.spared_count:
        yield f"not to be deleted any more: {done.spared_count} objects"
    if done.garbage_count:
        yield f"listed as garbage: {done.garbage_count} objects that nothing names"
