"""Every object and table of a log, one at a time, deleted, cut and flipped: the log opens, serves
every record whose own block is whole, and refuses the others. After a repair it is sound, serves
what it served before, and goes on so."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Sequence
from itertools import cycle

import pytest

from wal_core.format.block import parse_block
from wal_core.fsck.findings import Kind
from wal_core.testing.seeds import Random
from wal_core.testing.sim_loop import run
from wal_core.tests.left_log import (
    CONFIG,
    ENTRIES_COUNT,
    LOG_FOLDERS,
    LeftLog,
    Numbers,
    append,
    crash,
    damaged,
    held,
    opened,
    readable,
    served,
)

HOWS = ("deleted", "cut", "flipped")
SAMPLED_COUNT = 2
"""Objects of each kind, where nobody asks for all of them (`make damage`)."""
ADDED_COUNT = 30
"""Entries behind a repair: enough for several segments, which are compacted with the others."""


@pytest.mark.parametrize("mode", ["file", "object"])
def test_damage_stays_local_and_can_be_repaired(mode, tmp_path):
    async def main() -> None:
        left = await LeftLog(mode, tmp_path).fill()
        whole = dict(left.files)
        assert await served(left) == set(range(ENTRIES_COUNT))
        for key, how in _cases([key for key in sorted(whole) if key.startswith(LOG_FOLDERS)]):
            left.files = dict(whole)
            left.damage(key, how)
            content = whole[key]
            gone = held(content, content) - held(content, damaged(content, how) or b"")
            found = await served(left)
            assert found >= set(range(ENTRIES_COUNT)) - gone, (key, how)
            await _repaired(left, found, f"{key} {how}")

    run(main, virtual_s_max=1e7)


def _cases(keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What to damage, and how: all in every way, or some."""
    if os.environ.get("DAMAGE_WHOLE"):
        yield from ((key, how) for key in keys for how in HOWS)
        return
    rng, hows = Random(int(os.environ.get("DAMAGE_SEED", "1"))), cycle(HOWS)
    by_kind: dict[tuple[str, bool], list[str]] = {}
    for key in keys:
        by_kind.setdefault((key.split("/")[0], key.endswith("/index")), []).append(key)
    assert len(by_kind) == 4
    for some in by_kind.values():
        yield from zip(rng.sample(some, SAMPLED_COUNT), hows, strict=False)


async def _repaired(left: LeftLog, found: set[int], what: str) -> None:
    """Sound after a repair, and after all that a broker does with it."""
    report = await left.check()
    if report.sound:  # it was garbage, or a torn tail
        return
    await left.repair(report)
    report = await left.check()
    assert report.sound, (what, report.findings)
    assert {finding.kind for finding in report.findings} <= {Kind.LOST, Kind.STRAGGLER}, what
    assert await served(left) == found, what
    store = await left.store()
    log = await opened(store, state := Numbers())
    ends = [log.confirmed_offset(stream) for stream in range(3)]
    added = {
        (ends[stream] + step) * 3 + stream
        for stream in range(3)
        for step in range(ADDED_COUNT // 3)
    }
    for number in sorted(added):
        await append(log, state, number)
        await log.until_quiet()
    for grace_ms in (CONFIG.garbage_grace_ms, CONFIG.fence_grace_ms):
        await asyncio.sleep(grace_ms / 1000 + 1)
        await log.until_quiet()
    assert await readable(log) == found | added, what
    await crash(log)
    left.keep(store)
    await store.close()
    report = await left.check()
    assert report.sound, (what, report.findings)
    assert report.garbage_count == 0
    assert await served(left) == found | added, what


@pytest.mark.parametrize("how", ["deleted", "cut"])
def test_a_lost_unfinished_file_is_told(how, tmp_path, caplog):
    """A torn tail and a file that never was are no loss: what proves that there was more is noted
    beside it."""

    async def main() -> None:
        left = await LeftLog("file", tmp_path).fill()
        assert await served(left) == set(range(ENTRIES_COUNT))
        assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
        key = max(key for key in left.files if key.endswith(".seg"))
        content = left.files.pop(key)
        if how == "cut":  # behind its first block, half of the second
            left.files[key] = content[: parse_block(content).header.total_bytes * 3 // 2]
        await served(left)
        told = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
        assert len(told) == 1
        assert ("it is gone" if how == "deleted" else "it was durable up to") in told[0]

    run(main)
