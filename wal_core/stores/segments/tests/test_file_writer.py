"""The writing thread beside its loop. What it does to files: test_direct_io, test_file_recovery."""

from __future__ import annotations

import asyncio
import threading

from wal_core.stores.give_way import GiveWay
from wal_core.stores.segments.file_writer import SystemFileOps, ThreadFileWriter
from wal_core.stores.segments.jobs import SegmentFile, WriteJob

DEADLINE_S = 10.0


class Device(SystemFileOps):
    """A sync ends when the loop has stepped aside."""

    def __init__(self) -> None:
        super().__init__(direct=False, at_once=False)
        self.stepped_aside = threading.Event()

    def fdatasync(self, fd: int) -> None:
        if not self.stepped_aside.wait(DEADLINE_S):
            raise OSError("the loop never stepped aside")


class Way(GiveWay):
    """What it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, int, int]] = []

    def begin(self, bytes_count: int = 0) -> None:
        self.seen.append(("begin", 1, bytes_count))

    def end(self, count: int = 1, bytes_count: int = 0) -> None:
        self.seen.append(("end", count, bytes_count))


async def test_a_loop_that_is_never_idle_steps_aside_for_a_write(tmp_path):
    device = Device()
    writer = ThreadFileWriter(device, GiveWay(lambda: 0, device.stepped_aside.set))
    durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    writer.submit(WriteJob(SegmentFile(tmp_path / "f", 0, -1), 0, [b"x"], durable, final=False))
    while not durable.done():
        await asyncio.sleep(0)
    writer.close()
    assert (tmp_path / "f").read_bytes() == b"x"
    await durable


async def test_large_blocks_are_given_the_time_that_a_device_needs(tmp_path):
    way = Way()
    writer = ThreadFileWriter(SystemFileOps(direct=False), way)
    durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    pieces = [b"x" * 10, b"y" * 1_000_000]
    writer.submit(WriteJob(SegmentFile(tmp_path / "f", 0, -1), 0, pieces, durable, final=False))
    await durable
    writer.close()
    assert way.seen == [("begin", 1, 1_000_010), ("end", 1, 1_000_010)]
