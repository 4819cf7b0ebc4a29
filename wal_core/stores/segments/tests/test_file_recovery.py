"""Files after a crash: torn at every byte, damaged in the middle, failing device."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from wal_core import Corrupt, LogConfig, open_store
from wal_core.format.block import HEADER_BYTES, parse_header
from wal_core.stores.segments.file import FileSegmentStore
from wal_core.stores.segments.file_recovery import read_footer_block
from wal_core.testing.faulty_files import ExecutorFileWriter, FaultyFileOps
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import Harness


async def file_store(root: Path, ops: FaultyFileOps | None = None) -> FileSegmentStore:
    await (await open_store(str(root), "file")).close()
    ops = ops or FaultyFileOps()
    return FileSegmentStore(root, ops=ops, writer=ExecutorFileWriter(ops))


def segment_files(root: Path) -> list[Path]:
    return sorted((root / "logs" / "0").glob("*.seg"))


def block_positions(content: bytes) -> list[int]:
    positions, at = [], 0
    while at + HEADER_BYTES <= len(content):
        try:
            header = parse_header(content[at:])
        except Corrupt:
            break
        positions.append(at)
        at += header.total_bytes
    return positions


def without_padding(path: Path) -> bytes:
    """An unfinished file's blocks; direct writes leave zeros behind them up to a whole page."""
    content = path.read_bytes()
    last = block_positions(content)[-1]
    return content[: last + parse_header(content[last:]).total_bytes]


async def written(root: Path, blocks: int, *, close: bool) -> Harness:
    h = await Harness.open(await file_store(root))
    for n in range(blocks):
        h.add(n % 2, b"%d" % n * 3, ts=n)
        await h.add(5, b"!" * (n + 1), count=2, ts=n)
    await (h.log.close() if close else h.crash())
    return h


@pytest.mark.parametrize("tail", ["cut", "zeros", "garbage"])
def test_a_last_block_torn_at_every_byte(tmp_path, tail):
    async def main() -> None:
        h = await written(tmp_path / "origin", 3, close=False)
        (path,) = segment_files(tmp_path / "origin")
        content = without_padding(path)
        last = block_positions(content)[-1]
        for at in range(last, len(content)):
            root = tmp_path / "copy"
            shutil.copytree(tmp_path / "origin", root)
            rest = {"cut": b"", "zeros": bytes(100), "garbage": b"\xa5WPB1" * 30}[tail]
            segment_files(root)[0].write_bytes(content[:at] + rest)
            again = await Harness.open(await file_store(root))
            assert again.state.entries == h.state.entries[:4]
            assert again.log.term > h.log.term
            await again.add(0, b"after")
            assert (await again.read_all(0))[-1][1] == b"after"
            await again.log.close()
            shutil.rmtree(root)

    run(main)


def test_a_footer_torn_at_every_byte_is_written_again(tmp_path):
    async def main() -> None:
        h = await written(tmp_path / "origin", 3, close=True)
        content = segment_files(tmp_path / "origin")[0].read_bytes()
        for at in range(block_positions(content)[3], len(content)):
            root = tmp_path / "copy"
            shutil.copytree(tmp_path / "origin", root)
            segment_files(root)[0].write_bytes(content[:at])
            again = await Harness.open(await file_store(root))
            assert again.state.entries == h.state.entries
            assert again.state.applied_count == 6
            assert read_footer_block(segment_files(root)[0]) is not None
            assert await again.stored() == sorted(h.state.entries)
            await again.log.close()
            shutil.rmtree(root)

    run(main)


def test_a_torn_first_block_leaves_no_segment(tmp_path):
    async def main() -> None:
        await written(tmp_path, 1, close=False)
        path = segment_files(tmp_path)[0]
        content = without_padding(path)
        for length in (0, 10, len(content) - 1):
            path.write_bytes(content[:length])
            (tmp_path / "logs" / "0" / "lock").unlink()  # where it is noted that it was whole
            h = await Harness.open(await file_store(tmp_path))
            assert h.state.entries == []
            assert segment_files(tmp_path) == []
            await h.log.close()
            path.write_bytes(content)

    run(main)


def test_damage_to_a_confirmed_block_costs_that_block_alone(tmp_path):
    """Also to what tells the blocks of its writer from impostors, in the first one: that was noted
    elsewhere."""

    async def main() -> None:
        h = await written(tmp_path / "origin", 4, close=False)
        await h.store.close()
        content = segment_files(tmp_path / "origin")[0].read_bytes()
        positions = block_positions(content)
        for at in range(positions[0], positions[2], 7):
            number = 0 if at < positions[1] else 1
            root = tmp_path / "copy"
            shutil.copytree(tmp_path / "origin", root)
            damaged = bytearray(content)
            damaged[at] ^= 0x40
            segment_files(root)[0].write_bytes(damaged)
            again = await Harness.open(await file_store(root))
            lost = h.state.entries[2 * number : 2 * number + 2]
            assert again.state.entries == [e for e in h.state.entries if e not in lost]
            for stream, base, *_ in h.state.entries:
                assert again.log.end_offset(stream) == h.log.end_offset(stream)
                if (stream, base) in {entry[:2] for entry in lost}:
                    with pytest.raises(Corrupt, match="lost"):
                        await again.log.read(stream, base, 1)
                else:
                    assert (await again.log.read(stream, base, 1))[0].base_offset == base
            await again.log.close()
            await again.store.close()
            shutil.rmtree(root)

    run(main)


def test_damage_in_a_finished_segment_is_reported_when_read(tmp_path):
    async def main() -> None:
        h = await written(tmp_path, 3, close=True)
        path = segment_files(tmp_path)[0]
        content = bytearray(path.read_bytes())
        content[HEADER_BYTES + 10] ^= 1
        path.write_bytes(content)
        again = await Harness.open(await file_store(tmp_path))
        assert again.state.entries == h.state.entries
        with pytest.raises(Corrupt, match="CRC"):
            await again.log.read(0, 0, 1000)
        await again.log.close()

    run(main)


def test_two_footers_torn_are_two_segments_replayed(tmp_path):
    async def main() -> None:
        store = await file_store(tmp_path)
        h = await Harness.open(store, LogConfig(segment_blocks_max=1))
        for n in range(3):
            await h.add(0, b"%d" % n)
        await h.log.close()
        files = segment_files(tmp_path)
        files[-2].write_bytes(files[-2].read_bytes()[:-1])
        files[-1].write_bytes(files[-1].read_bytes()[:-1])
        again = await Harness.open(await file_store(tmp_path))
        assert again.state.applied_count == 2
        assert await again.stored() == h.state.entries
        await again.log.close()

    run(main)


def test_records_that_look_like_blocks_are_no_evidence(tmp_path):
    """A producer stores a copy of a segment file; then the block with it is torn."""

    async def main() -> None:
        await written(tmp_path / "copy", 5, close=False)
        hostile = segment_files(tmp_path / "copy")[0].read_bytes()
        h = await Harness.open(await file_store(tmp_path / "log"))
        await h.add(0, b"kept")
        await h.add(0, hostile + b"!")
        await h.crash()
        path = segment_files(tmp_path / "log")[0]
        path.write_bytes(without_padding(path)[:-1])
        again = await Harness.open(await file_store(tmp_path / "log"))
        assert [entry[4] for entry in again.state.entries] == [b"kept"]
        await again.log.close()

    run(main)


@pytest.mark.parametrize("operation", ["pwrite", "sync", "folder"])
@pytest.mark.parametrize("times", [1, 3])
def test_a_failing_device_delays_but_loses_nothing(tmp_path, operation, times):
    async def main() -> None:
        ops = FaultyFileOps()
        h = await Harness.open(await file_store(tmp_path, ops))
        ops.fail_next = [operation] * times
        await h.add(0, b"first")
        ops.fail_next = [operation] * times if operation != "folder" else []
        await asyncio.gather(h.add(0, b"second"), h.add(1, b"third"))
        assert ops.fail_next == []
        await h.crash()
        ops.crash()
        again = await Harness.open(await file_store(tmp_path))
        assert again.state.entries == h.state.entries
        await again.log.close()

    run(main)


def test_terms_rise_over_opens_that_write_nothing(tmp_path):
    async def main() -> None:
        terms = []
        for _ in range(4):
            h = await Harness.open(await file_store(tmp_path))
            terms.append(h.log.term)
            await h.log.close()
        assert terms == [1, 2, 3, 4]
        (tmp_path / "logs" / "0" / "lock").write_bytes(b'{"ter')
        h = await Harness.open(await file_store(tmp_path))
        await h.add(0, b"x")
        await h.log.close()
        (tmp_path / "logs" / "0" / "lock").write_bytes(b"")
        again = await Harness.open(await file_store(tmp_path))
        assert again.log.term > h.log.term
        await again.log.close()

    run(main)
