"""Staging: any cut of pieces comes out as whole pages that hold exactly these bytes."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from wal_core.stores.direct_io import PAGE_BYTES, Staging, open_direct
from wal_core.stores.segments.file_writer import SystemFileOps, ThreadFileWriter
from wal_core.stores.segments.jobs import SegmentFile, WriteJob


@given(
    sizes=st.lists(st.lists(st.integers(0, 3 * PAGE_BYTES), max_size=4), max_size=5),
    pages=st.integers(1, 3),
)
@settings(max_examples=200, derandomize=True)
def test_writes_are_whole_pages_and_lose_nothing(sizes, pages):
    staging = Staging(pages * PAGE_BYTES)
    disk = bytearray()

    def pwrite(view, position):
        assert position % PAGE_BYTES == 0
        assert len(view) % PAGE_BYTES == 0
        disk.extend(bytes(max(0, position - len(disk))))
        disk[position : position + len(view)] = view

    expected, tail = b"", b""
    for number, group in enumerate(sizes):
        pieces = [bytes([65 + number]) * size for size in group]
        tail = staging.write(pwrite, tail, pieces, len(expected) - len(tail))
        expected += b"".join(pieces)
        assert len(tail) == len(expected) % PAGE_BYTES
        assert disk[: len(expected)] == expected
        assert not any(disk[len(expected) :])


def new_future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


class RefusesDirect(SystemFileOps):
    """A file system that opens with O_DIRECT and then wants another alignment."""

    def __init__(self) -> None:
        super().__init__(at_once=False)
        self.refused = 0

    def open(self, path: Path) -> tuple[int, bool]:
        fd, _ = SystemFileOps(direct=False).open(path)
        return fd, self._direct

    def pwrite_all(self, fd, pieces, position):
        if self._direct:
            self.refused += 1
            raise OSError(errno.EINVAL, "alignment")
        return super().pwrite_all(fd, pieces, position)


async def test_a_file_system_that_refuses_gets_ordinary_writes(tmp_path):
    ops = RefusesDirect()
    writer = ThreadFileWriter(ops)
    file = SegmentFile(tmp_path / "f", 0, -1)
    try:
        first = new_future()
        writer.submit(WriteJob(file, 0, [b"one"], first, final=False))
        try:
            await first
        except OSError as error:
            assert error.errno == errno.EINVAL
        else:
            raise AssertionError("the first attempt must fail")
        again = new_future()
        writer.submit(WriteJob(file, 0, [b"one"], again, final=False))
        await again
        last = new_future()
        writer.submit(WriteJob(file, 3, [b"two"], last, final=True))
        await last
    finally:
        writer.close()
    assert ops.refused == 1
    assert (tmp_path / "f").read_bytes() == b"onetwo"


async def test_a_block_whose_predecessor_failed_has_to_come_again(tmp_path):
    writer = ThreadFileWriter(SystemFileOps())
    file = SegmentFile(tmp_path / "f", 0, -1)

    async def attempt(position: int, body: bytes, *, final: bool = False) -> str:
        job = WriteJob(file, position, [body], new_future(), final=final)
        writer.submit(job)
        try:
            await job.future
        except OSError as error:
            return errno.errorcode[error.errno]
        return "durable"

    try:
        assert await attempt(3, b"two") == "EAGAIN"
        assert await attempt(0, b"one") == "durable"
        assert await attempt(3, b"two") == "durable"
        assert await attempt(0, b"one") == "durable"  # a repetition changes nothing
        assert await attempt(6, b"end", final=True) == "durable"
    finally:
        writer.close()
    assert (tmp_path / "f").read_bytes() == b"onetwoend"


def test_direct_writes_are_used_where_the_file_system_can(tmp_path):
    fd = open_direct(tmp_path / "probe", os.O_RDWR | os.O_CREAT)
    by_system = SystemFileOps().open(tmp_path / "other")
    assert by_system[1] == (fd is not None)
    os.close(by_system[0])
    if fd is not None:
        os.close(fd)
    buffered, direct = SystemFileOps(direct=False).open(tmp_path / "third")
    os.close(buffered)
    assert direct is False
