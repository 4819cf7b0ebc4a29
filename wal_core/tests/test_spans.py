"""An entry that covers more offsets than it has records: offsets go by the span, everywhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from wal_core import Invalid, SegmentStore, open_store, open_to_look
from wal_core.copy import copy_log, open_to_copy
from wal_core.format.block import parse_block
from wal_core.format.chain import Sealed
from wal_core.fsck import check_log
from wal_core.tests.compaction_load import SMALL
from wal_core.tests.harness import CountingRng, Harness

CONFIG = dataclasses.replace(SMALL, seal_segments_min_count=2, garbage_grace_ms=0)
SPARSE = [(7, 2), (1, 1), (30, 1), (2, 2), (4, 0)]
"""Span and record count of an entry; the last records of a span may be the ones missing."""
ROUNDS_COUNT = 12
SPAN = sum(span for span, _ in SPARSE)

each_mode = pytest.mark.parametrize("mode", ["file", "object"])


async def written(h: Harness) -> None:
    """Segments of one round each; a second stream has none of it missing."""
    for number in range(ROUNDS_COUNT):
        for span, count in SPARSE:
            h.add(1, b"sparse", count, 1_000 * number + span, span=span)
        await h.add(2, b"dense", 3, number)
        h.log.complete_segment()
    await h.log.until_quiet()


async def check(h: Harness) -> None:
    """Every offset is found, in a gap or not, and the ends are those of the spans."""
    assert h.log.confirmed_offset(1) == h.log.end_offset(1) == ROUNDS_COUNT * SPAN
    assert h.log.confirmed_offset(2) == ROUNDS_COUNT * 3
    assert [(row[0], row[2]) for row in await h.stored()] == [
        *((1, span) for span, _ in SPARSE * ROUNDS_COUNT),
        *((2, 3) for _ in range(ROUNDS_COUNT)),
    ]
    base = 0
    for number in range(ROUNDS_COUNT):
        for span, count in SPARSE:
            for offset in {base, base + span - 1}:
                (entry, *_) = await h.log.read(1, offset, 1)
                assert entry[:4] == (1, base, span, count)
            found = await h.log.find_timestamp(1, 1_000 * number + 30)
            assert found is not None
            assert found.base_offset == number * SPAN + 8
            base += span


@each_mode
async def test_spans_are_kept_through_everything_that_happens_to_a_log(mode, tmp_path: Path):
    store = await open_store(str(tmp_path / "log"), mode)
    h = await Harness.open(store, CONFIG)
    await written(h)
    assert any(isinstance(link, Sealed) for link in h.log._contents.chain.links)
    await check(h)
    # Entries of the unfinished segment, by replay alone.
    await h.add(1, b"behind", 1, span=5)
    await h.crash()
    h = await Harness.open(store, CONFIG)
    assert h.log.confirmed_offset(1) == ROUNDS_COUNT * SPAN + 5
    assert h.state.entries[-1] == (1, ROUNDS_COUNT * SPAN, 5, -1, b"behind")
    with pytest.raises(Invalid, match="ends at"):
        h.log.append(1, ROUNDS_COUNT * SPAN + 1, 1, -1, b"inside of a span")
    await h.log.close()
    for looked_at in (store, await _copied(tmp_path, mode)):
        report = await check_log(looked_at, CONFIG, CountingRng())
        assert report.findings == []
        assert report.streams[1].end_offset == ROUNDS_COUNT * SPAN + 5
    await store.close()


async def _copied(tmp_path: Path, mode: str) -> SegmentStore:
    source = await open_to_look(str(tmp_path / "log"))
    other = "object" if mode == "file" else "file"
    target = await open_to_copy(str(tmp_path / "to"), other, "log", cloud=None, rng=CountingRng())
    await copy_log(source, target, CONFIG, CountingRng())
    await target.close()
    return await open_to_look(str(tmp_path / "to"))


@each_mode
async def test_readers_at_the_end_get_them_from_memory(mode, tmp_path: Path):
    store = await open_store(str(tmp_path), mode)
    h = await Harness.open(store, dataclasses.replace(CONFIG, tail_bytes_max=1 << 20))
    await written(h)
    await check(h)
    await h.log.close()
    await store.close()


async def test_a_table_made_anew_knows_them(tmp_path: Path):
    """The newest footer is damaged: the start goes through the blocks."""
    store = await open_store(str(tmp_path), "object")
    h = await Harness.open(store, dataclasses.replace(CONFIG, seal_segments_min_count=100))
    await written(h)
    await h.crash()
    footers = [
        path
        for path in sorted((tmp_path / "logs" / "0").glob("*/*"))
        if parse_block(path.read_bytes()).is_footer
    ]
    for path in (footers[3], footers[-1]):
        path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    h = await Harness.open(store, CONFIG)
    await check(h)
    await h.log.close()
    await store.close()


@pytest.mark.parametrize(("count", "span"), [(1, 0), (3, 2), (-1, 1), (1, 1 << 32), (0, None)])
async def test_spans_that_cannot_be(count, span, tmp_path: Path):
    store = await open_store(str(tmp_path), "object")
    h = await Harness.open(store, CONFIG)
    with pytest.raises(Invalid, match="offsets"):
        h.log.append(1, 0, count, -1, b"x", offset_span=span)
    await h.log.close()
    await store.close()
