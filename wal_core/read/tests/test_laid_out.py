"""Parts of files instead of their bytes: the same entries, and never anything that is not there."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from wal_core import Payloads
from wal_core.read import laid_out
from wal_core.read.laid_out import LaidOut
from wal_core.read.tests.reopened import forget_blocks, joined, opened, reopened
from wal_core.stores.file_region import FileRegion
from wal_core.tests.harness import Harness

STREAMS = (0, 1)
SIZES = (5_000, 20_000, 70_000)


pytestmark = pytest.mark.usefixtures("never_slow")


async def written(folder: Path, *, seed: int = 0, sizes: tuple[int, ...] = SIZES) -> Harness:
    """Several segments of blocks with some entries of each stream, all of which were read twice."""
    counts = (1, 3, 6)
    h = await reopened(folder, seed, blocks_count=30, streams=STREAMS, sizes=sizes, counts=counts)
    for _ in range(2):
        for stream_id in STREAMS:
            for offset in range(0, end_of(h, stream_id), 2):
                if h.log.read_at_hand(stream_id, offset, 1) is None:
                    await h.log.read(stream_id, offset, 1)
        forget_blocks(h)
    return h


def end_of(h: Harness, stream_id: int) -> int:
    stream = h.log._reader.live(stream_id)
    assert stream is not None
    return stream.confirmed


def notes(h: Harness) -> LaidOut:
    return h.log._reader.blocks._laid_out


def regions_count(found: Payloads | None) -> int:
    return 0 if found is None else sum(isinstance(p, FileRegion) for p in found.pieces)


@pytest.mark.parametrize("seed", range(4))
def test_regions_are_what_a_read_gives(tmp_path: Path, seed: int) -> None:
    async def main() -> None:
        h = await written(tmp_path, seed=seed)
        count = 0
        for stream_id in STREAMS:
            end = end_of(h, stream_id)
            for offset in range(end):
                for bytes_max in (0, 1, 26_000, 400_000):
                    found = h.log.read_at_hand(stream_id, offset, bytes_max)
                    if found is None:
                        continue
                    count += regions_count(found)
                    # How far one look goes is its own affair.
                    entries = await h.log.read(stream_id, offset, found.bytes_count)
                    expected = Payloads.of(entries, offset)
                    assert joined(found) == joined(expected)
                    assert found.end_offset == expected.end_offset
                    assert found.bytes_count == expected.bytes_count
                    assert found.bytes_count <= bytes_max or len(entries) == 1
        assert count > 200
        await h.log.close()

    asyncio.run(main())


def test_what_lies_side_by_side_is_one_region(tmp_path: Path) -> None:
    async def main() -> None:
        h = await opened(tmp_path)
        await asyncio.gather(*(h.add(0, bytes([n]) * 30_000, count=1) for n in range(8)))
        await h.log.close()
        h = await opened(tmp_path)
        for _ in range(3):
            await h.log.read(0, 0, 1)
            forget_blocks(h)
            found = h.log.read_at_hand(0, 2, 100_000)
        assert found is not None and regions_count(found) == len(found.pieces) == 1
        assert found.end_offset == 5
        assert joined(found) == b"".join(bytes([n]) * 30_000 for n in (2, 3, 4))
        await h.log.close()

    asyncio.run(main())


def test_nothing_is_noted_of_small_entries(tmp_path: Path) -> None:
    async def main() -> None:
        h = await written(tmp_path, sizes=(10, 500, 3_000))
        assert notes(h).bytes_count == 0
        await h.log.close()

    asyncio.run(main())


def test_what_the_system_has_not_is_no_region(tmp_path: Path) -> None:
    async def main() -> None:
        h = await written(tmp_path)
        assert regions_count(h.log.read_at_hand(0, 0, 1)) == 1
        for path in (tmp_path / "logs" / "0").glob("*.seg"):
            fd = os.open(path, os.O_RDWR)
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
        assert regions_count(h.log.read_at_hand(0, 0, 1)) == 0
        await h.log.close()

    asyncio.run(main())


def test_what_is_truncated_or_dropped_is_no_region(tmp_path: Path) -> None:
    async def main() -> None:
        h = await written(tmp_path)
        h.log.truncate(0, 4)
        assert h.log.read_at_hand(0, 3, 1) is None
        assert regions_count(h.log.read_at_hand(0, 4, 1)) == 1
        h.log.drop_stream(0)
        assert h.log.read_at_hand(0, 4, 1) is None
        await h.log.close()

    asyncio.run(main())


def test_damage_is_never_noted(tmp_path: Path) -> None:
    async def main() -> None:
        h = await written(tmp_path)
        h.log._reader.blocks._laid_out = LaidOut()  # nothing was read yet
        for path in (tmp_path / "logs" / "0").glob("*.seg"):
            body = bytearray(path.read_bytes())
            for at in range(3_000, len(body) - 2_000, 2_000):
                body[at] ^= 1
            path.write_bytes(body)
        for stream_id in STREAMS:
            for offset in range(0, end_of(h, stream_id), 2):
                assert regions_count(h.log.read_at_hand(stream_id, offset, 1)) == 0
        assert notes(h).bytes_count == 0
        await h.log.close()

    asyncio.run(main())


def test_notes_have_a_bound_and_the_oldest_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        h = await written(tmp_path, sizes=(20_000, 70_000))
        all_bytes = notes(h).bytes_count
        assert all_bytes == sum(laid.note_bytes for laid in notes(h)._laid.values())
        kept = LaidOut(all_bytes // 2)
        monkeypatch.setattr(h.log._reader.blocks, "_laid_out", kept)
        for stream_id in STREAMS:
            for offset in range(0, end_of(h, stream_id), 2):
                for _ in range(2):
                    forget_blocks(h)
                    found = h.log.read_at_hand(stream_id, offset, 1)
                assert regions_count(found) == 1
                assert 0 < kept.bytes_count <= all_bytes // 2
        forget_blocks(h)
        assert regions_count(h.log.read_at_hand(STREAMS[0], 0, 1)) == 0
        assert kept.bytes_count == sum(laid.note_bytes for laid in kept._laid.values())
        assert {key[0] for key in kept._laid} == set(kept._firsts)
        await h.log.close()

    asyncio.run(main())


def test_a_note_costs_little_of_what_it_is_about() -> None:
    assert laid_out._ENTRY_NOTE_BYTES / laid_out.ENTRY_BYTES_MIN <= 0.004
