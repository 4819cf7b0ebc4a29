"""The thread in C and the one in Python write one file between them."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wal_core.stores.direct_io import PAGE_BYTES
from wal_core.stores.segments.compiled_writer import COMPILED
from wal_core.stores.segments.end_note import read_end_note
from wal_core.stores.segments.file_writer import SystemFileOps, ThreadFileWriter
from wal_core.stores.segments.jobs import SegmentFile, WriteJob
from wal_core.tally import Written

NEEDS_BUILD = pytest.mark.skipif(COMPILED is None, reason="it was not built")
HEADER = b"n" * 80


class Ops(SystemFileOps):
    """Counts what is synced whole."""

    fsyncs_count = 0

    def fsync(self, fd: int) -> None:
        self.fsyncs_count += 1
        super().fsync(fd)


class Written5:
    """Segment 5 of a folder, and what was given to it."""

    def __init__(self, folder: Path, ops: Ops, synced: Written | None) -> None:
        self.folder = folder
        self.ops = ops
        self.writer = ThreadFileWriter(ops, synced=synced)
        self.file = SegmentFile(folder / "f", 5, -1, folder / "note")
        self.content = b""

    def add(self, size: int, *, final: bool = False) -> asyncio.Future[None]:
        """A block behind the last one."""
        position = len(self.content)
        self.content += HEADER + b"x" * size
        return self.put(position, size, final=final)

    def put(self, position: int, size: int, *, final: bool = False) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        pieces = [HEADER, b"x" * size]
        self.writer.submit(WriteJob(self.file, position, pieces, future, final=final))
        return future

    def check(self) -> None:
        """It is as it was given, and noted."""
        stored = (self.folder / "f").read_bytes()
        assert stored[: len(self.content)] == self.content
        assert not stored[len(self.content) :].strip(b"\0")  # what a direct write fills up
        note = read_end_note(self.folder / "note")
        assert note is not None
        assert note[:2] == (5, len(self.content))


@pytest.fixture(params=[False, True], ids=["cached", "direct"])
def segment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Written5]]:
    made: list[Written5] = []

    def make(*, at_once: bool = True, synced: Written | None = None) -> Written5:
        made.append(Written5(tmp_path, Ops(direct=request.param, at_once=at_once), synced))
        return made[-1]

    yield make
    for one in made:
        one.writer.close()
        one.file.close()


@pytest.mark.parametrize("at_once", [False, pytest.param(True, marks=NEEDS_BUILD)])
async def test_a_file_is_the_same_either_way(
    segment: Callable[..., Written5], at_once: bool
) -> None:
    """Blocks one by one and together, one that comes again, and the last."""
    synced = Written()
    one = segment(at_once=at_once, synced=synced)
    for sizes in ((1,), (5_000, 3), (PAGE_BYTES - 80,), (100_000, 7), (1,)):
        await asyncio.gather(*(one.add(size) for size in sizes))
        one.check()
        assert (one.file.lent is not None) == (at_once and len(one.content) > 81)
    await one.put(0, 1)  # it was durable: nothing is to be done
    one.check()
    await asyncio.gather(one.add(4), one.add(4))
    one.check()
    await one.add(9, final=True)
    assert (one.folder / "f").read_bytes() == one.content
    assert one.file.fd == -1
    assert synced.sizes.total == len(one.content) + 81  # the repetition, too


@NEEDS_BUILD
async def test_writes_are_in_the_order_of_submitting_whichever_thread_makes_them(
    segment: Callable[..., Written5],
) -> None:
    one = segment()
    opening = [one.add(10), one.add(20)]  # the second waits where the first does
    assert one.file.lent is None
    await asyncio.gather(*opening)
    ordinary = [one.add(30), one.add(40)]
    assert one.file.lent is not None
    again = one.put(0, 10)  # the other thread's, behind those two
    behind = [one.add(50), one.add(60, final=True)]
    compiled = one.writer._compiled
    assert compiled is not None
    assert [job.future for job in compiled._jobs] == ordinary
    await asyncio.gather(*ordinary, again, *behind)
    assert (one.folder / "f").read_bytes() == one.content


@NEEDS_BUILD
async def test_a_block_that_failed_comes_again_and_all_before_it_is_trusted_no_more(
    segment: Callable[..., Written5],
) -> None:
    one = segment()
    await one.add(10)
    await one.add(20)
    kept = os.dup(one.file.fd)
    readable = os.open(one.folder / "f", os.O_RDONLY)
    os.dup2(readable, one.file.fd)
    position = len(one.content)
    failed = [one.add(5_000), one.add(7)]
    for future in failed:
        with pytest.raises(OSError, match=r"Bad file|Resource temporarily") as raised:
            await future
        assert raised.value.errno in (errno.EBADF, errno.EAGAIN)
    os.dup2(kept, one.file.fd)
    assert one.ops.fsyncs_count == 0
    await one.put(position, 5_000)
    assert one.ops.fsyncs_count == 1
    await one.put(position + 5_080, 7)
    one.check()
    assert one.file.lent is not None
    os.close(kept)
    os.close(readable)


@NEEDS_BUILD
async def test_who_closes_hears_of_what_was_submitted(segment: Callable[..., Written5]) -> None:
    one = segment()
    await one.add(10)
    last = one.add(20)
    await asyncio.to_thread(one.writer.close)
    await last
    one.check()
    await one.add(30)  # begun anew
    await one.add(40)
    one.check()


@NEEDS_BUILD
def test_another_loop_is_told_too(segment: Callable[..., Written5]) -> None:
    one = segment()

    async def two() -> None:
        await one.add(10)
        await one.add(20)

    asyncio.run(two())
    asyncio.run(two())
    one.check()
