"""Reads that take no wait give what `read` gives, or leave it to that."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest

from wal_core import Payloads
from wal_core.read.tests.reopened import forget_blocks, joined, reopened
from wal_core.stores.segments import file
from wal_core.tests.harness import Harness

STREAMS = (0, 1, 2)
BLOCKS_COUNT = 40


pytestmark = pytest.mark.usefixtures("never_slow")


async def written(folder: Path, seed: int = 0) -> Harness:
    """Several segments of blocks with some entries of each stream, opened again."""
    sizes, counts = (10, 100, 9_000), (1, 3, 8)
    return await reopened(
        folder, seed, blocks_count=BLOCKS_COUNT, streams=STREAMS, sizes=sizes, counts=counts
    )


@pytest.mark.parametrize("seed", range(3))
def test_it_gives_what_a_read_gives(tmp_path: Path, seed: int) -> None:
    async def main() -> None:
        h = await written(tmp_path, seed)
        log = h.log
        first = log.read_at_hand(0, 0, 1_000)
        assert first is None  # nothing is open yet
        found_count = 0
        for stream_id in STREAMS:
            end = log._reader.live(stream_id).confirmed
            for offset in (*range(0, end, 3), end - 1):
                for bytes_max in (0, 500, 30_000):
                    expected = Payloads.of(await log.read(stream_id, offset, bytes_max), offset)
                    found = log.read_at_hand(stream_id, offset, bytes_max)
                    if found is None:
                        continue
                    found_count += 1
                    assert joined(found) == joined(expected)
                    assert found.end_offset == expected.end_offset
                    assert found.bytes_count == len(joined(found))
            assert log.read_at_hand(stream_id, end, 100) is None
        assert found_count > 50
        assert log.read_at_hand(99, 0, 100) is None
        await log.close()

    asyncio.run(main())


def test_what_is_truncated_or_dropped_is_left_to_a_read(tmp_path: Path) -> None:
    async def main() -> None:
        h = await written(tmp_path)
        log = h.log
        await log.read(0, 0, 1)
        assert log.read_at_hand(0, 0, 1) is not None
        log.truncate(0, 4)
        assert log.read_at_hand(0, 3, 1) is None
        assert log.read_at_hand(0, 4, 1) is not None
        log.drop_stream(0)
        assert log.read_at_hand(0, 4, 1) is None
        await log.close()

    asyncio.run(main())


def test_damage_is_left_to_a_read(tmp_path: Path) -> None:
    async def main() -> None:
        h = await written(tmp_path)
        log = h.log
        end = log._reader.live(0).confirmed
        for _ in range(2):
            for offset in range(0, end, 2):
                await log.read(0, offset, 1)
            forget_blocks(h)
            log.read_at_hand(0, 0, 1)
        for path in (tmp_path / "logs" / "0").glob("*.seg"):
            body = bytearray(path.read_bytes())
            for at in range(200, len(body) - 2_000, 50):
                body[at] ^= 1
            path.write_bytes(body)
        forget_blocks(h)
        found = [log.read_at_hand(0, offset, 1) for offset in range(0, end, 2)]
        assert found.count(None) > len(found) // 2
        await log.close()

    asyncio.run(main())


def test_while_somebody_writes_nothing_is_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "QUIET_S", 60.0)

    async def main() -> None:
        h = await written(tmp_path)
        log = h.log
        for _ in range(2):  # its file stays open once somebody has asked for it here
            await log.read(0, 0, 1)
            forget_blocks(h)
            found = log.read_at_hand(0, 0, 1)
        assert found is not None
        adding = h.add(0, b"now")
        while not h.store._writing:
            await asyncio.sleep(0)
        assert log.read_at_hand(0, 0, 1) is None
        await adding
        while h.store._writing:
            await asyncio.sleep(0)
        assert log.read_at_hand(0, 0, 1) is None  # a moment ago
        h.store._ended_s = -math.inf
        assert log.read_at_hand(0, 0, 1) is not None
        await log.close()

    asyncio.run(main())
