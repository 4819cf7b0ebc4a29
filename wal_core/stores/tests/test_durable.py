"""Writes in one go against the Python code that makes the same calls."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wal_core.stores.direct_io import PAGE_BYTES, Staging
from wal_core.stores.segments import file_writer
from wal_core.stores.segments.end_note import NOTE_AT, read_end_note
from wal_core.stores.segments.file_writer import (
    SegmentFile,
    SystemFileOps,
    WriteJob,
    write_group,
)

NEEDS_BUILD = pytest.mark.skipif(file_writer.COMPILED is None, reason="it was not built")
NOTHING = (-1, b"", 0)
"""To be noted."""


def durable(*args: Any) -> bytes:
    assert file_writer.COMPILED is not None
    written: bytes = file_writer.COMPILED.durable(*args)
    return written


def open_new(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)


@NEEDS_BUILD
@given(
    groups=st.lists(st.lists(st.integers(0, 3 * PAGE_BYTES), max_size=4), max_size=5),
    pages=st.integers(1, 3),
    is_staged=st.booleans(),
)
@settings(max_examples=200, derandomize=True, deadline=None)
def test_files_are_the_same(
    tmp_path_factory: Any, groups: Any, pages: int, is_staged: bool
) -> None:
    folder = tmp_path_factory.mktemp("files")
    fd = open_new(folder / "at-once")
    staging, memory = Staging(pages * PAGE_BYTES), Staging(pages * PAGE_BYTES).memory
    disk = bytearray()

    def pwrite(view: memoryview, position: int) -> None:
        disk.extend(bytes(max(0, position - len(disk))))
        disk[position : position + len(view)] = view

    end, tail, expected_tail = 0, b"", b""
    for number, group in enumerate(groups):
        pieces = [memoryview(bytes([65 + number]) * size) for size in group]
        if is_staged:
            expected_tail = staging.write(pwrite, tail, pieces, end - len(tail))
            tail = durable(fd, memory, tail, pieces, end - len(tail), *NOTHING)
        else:
            pwrite(memoryview(b"".join(pieces)), end)
            tail = durable(fd, None, b"", pieces, end, *NOTHING)
        assert tail == expected_tail
        end += sum(group)
    os.close(fd)
    assert (folder / "at-once").read_bytes() == disk


@NEEDS_BUILD
def test_errors_are_those_of_the_system_and_keep_nothing(tmp_path: Path) -> None:
    piece = bytearray(b"x" * 10)
    full = os.open("/dev/full", os.O_WRONLY)
    for memory in (None, Staging().memory):
        with pytest.raises(OSError, match="No space left") as raised:
            durable(full, memory, b"", [piece], 0, *NOTHING)
        assert raised.value.errno == errno.ENOSPC
    os.close(full)
    with pytest.raises(OSError, match="Bad file descriptor"):
        durable(-1, None, b"", [piece], 0, *NOTHING)
    fd = open_new(tmp_path / "file")
    for memory, head, pieces, position, error in (
        (Staging().memory, b"", [piece], 1, ValueError),
        (Staging().memory, b"h" * PAGE_BYTES, [piece], 0, ValueError),
        (memoryview(bytearray(100)), b"", [piece], 0, ValueError),
        (b"read only", b"", [piece], 0, BufferError),
        (None, b"", [piece, 7], 0, TypeError),
        (None, b"", 7, 0, TypeError),
    ):
        with pytest.raises(error):
            durable(fd, memory, head, pieces, position, *NOTHING)
    os.close(fd)
    assert (tmp_path / "file").read_bytes() == b""
    piece.append(1)  # nobody looks at it any more


@NEEDS_BUILD
def test_what_cannot_be_noted_is_durable_all_the_same(tmp_path: Path) -> None:
    fd = open_new(tmp_path / "file")
    assert durable(fd, None, b"", [b"block"], 0, -1, b"note", 0) == b""
    os.close(fd)
    assert (tmp_path / "file").read_bytes() == b"block"


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("at_once", [False, pytest.param(True, marks=NEEDS_BUILD)])
async def test_a_writer_does_the_same_either_way(
    tmp_path: Path, direct: bool, at_once: bool
) -> None:
    """Blocks one by one and together, one that comes again, one that fails, and the last."""
    ops, staging = SystemFileOps(direct=direct, at_once=at_once), Staging(PAGE_BYTES)
    lock = tmp_path / "lock"
    file = SegmentFile(tmp_path / "f", 5, -1, lock)
    written = b""

    def job(size: int, *, position: int | None = None, final: bool = False) -> WriteJob:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        at = len(written) if position is None else position
        return WriteJob(file, at, [b"n" * 80, b"x" * size], future, final=final)

    for sizes in ((1,), (5_000, 3), (PAGE_BYTES - 80,), (100_000, 7)):
        jobs = []
        for size in sizes:
            jobs.append(job(size))
            written += b"n" * 80 + b"x" * size
        assert write_group(ops, jobs, staging) is None
        assert write_group(ops, jobs[:1], staging) is None  # again
        note = read_end_note(lock)
        assert note is not None
        assert note[:2] == (5, len(written))
        with (tmp_path / "f").open("rb") as seen:
            assert seen.read()[: len(written)] == written
    kept, file.fd = file.fd, os.open(tmp_path / "f", os.O_RDONLY)
    failed = write_group(ops, [job(9)], staging)
    assert failed is not None
    assert failed.errno == errno.EBADF
    assert file.doubtful
    os.close(file.fd)
    file.fd = kept
    assert write_group(ops, [job(9)], staging) is None
    assert not file.doubtful
    written += b"n" * 80 + b"x" * 9
    assert write_group(ops, [job(4, final=True)], staging) is None
    assert (tmp_path / "f").read_bytes() == written + b"n" * 80 + b"x" * 4


@NEEDS_BUILD
def test_the_note_lies_where_it_is_looked_for(tmp_path: Path) -> None:
    fd, noted = open_new(tmp_path / "file"), open_new(tmp_path / "lock")
    durable(fd, None, b"", [b"block"], 0, noted, b"a note", NOTE_AT)
    os.close(fd)
    os.close(noted)
    assert (tmp_path / "lock").read_bytes() == bytes(NOTE_AT) + b"a note"
