"""The thread in C against the Python code that writes the same."""

from __future__ import annotations

import errno
import os
import resource
import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wal_core.stores.direct_io import PAGE_BYTES, Staging
from wal_core.stores.segments.compiled_writer import COMPILED
from wal_core.stores.segments.end_note import NOTE_AT

DEADLINE_S = 30.0
SMALL_BYTES_MAX, AHEAD_BYTES = 64 * 1024, 256 * 1024  # as in _durable.c
pytestmark = pytest.mark.skipif(COMPILED is None, reason="it was not built")


class Thread:
    """A writer, and what it has said."""

    def __init__(self, pages: int = 1) -> None:
        assert COMPILED is not None
        self.read_fd, self.signal_fd = os.pipe()
        self.writer = COMPILED.Writer(self.signal_fd, Staging(pages * PAGE_BYTES).memory)

    def done(self, count: int) -> list[tuple[int, int]]:
        """So many jobs, once they are done: how many each time, and with what error."""
        found: list[tuple[int, int]] = []
        while sum(jobs_count for jobs_count, _ in found) < count:
            assert select.select([self.read_fd], [], [], DEADLINE_S)[0], "nothing is told"
            os.read(self.read_fd, 8)
            found += [(jobs_count, code) for jobs_count, code, _ in self.writer.collect()]
        return found


@contextmanager
def thread(pages: int = 1) -> Iterator[Thread]:
    one = Thread(pages)
    yield one
    one.writer.close()
    os.close(one.read_fd)
    os.close(one.signal_fd)


@contextmanager
def stuck(folder: Path) -> Iterator[Thread]:
    """It has written one job and cannot tell: nothing else begins before the end of this."""
    with thread() as one:
        os.set_blocking(one.signal_fd, False)
        with suppress(BlockingIOError):
            while True:
                os.write(one.signal_fd, bytes(1 << 16))
        os.set_blocking(one.signal_fd, True)
        fd = open_new(folder / "first")
        one.writer.submit(one.writer.open(fd, False, 0, b"", -1, 0), 0, [b"first"], b"")
        while not one.writer.collect():
            pass
        yield one
        os.close(fd)


def content(path: Path) -> bytes:
    """Without what is written ahead, which is zeros."""
    found = path.read_bytes()
    written = found.rstrip(b"\0")
    assert len(found) - len(written) <= AHEAD_BYTES + PAGE_BYTES
    return written


def open_new(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)


@given(
    groups=st.lists(st.lists(st.integers(0, 3 * PAGE_BYTES), max_size=4), max_size=5),
    pages=st.integers(1, 3),
    is_direct=st.booleans(),
    waits=st.booleans(),
)
@settings(max_examples=200, derandomize=True, deadline=None)
def test_files_are_the_same(
    tmp_path_factory: Any, groups: Any, pages: int, is_direct: bool, waits: bool
) -> None:
    folder = tmp_path_factory.mktemp("files")
    fd, staging, disk = open_new(folder / "f"), Staging(pages * PAGE_BYTES), bytearray()

    def pwrite(view: memoryview, position: int) -> None:
        disk.extend(bytes(max(0, position - len(disk))))
        disk[position : position + len(view)] = view

    end, tail = 0, b""
    with thread(pages) as ours:
        file = ours.writer.open(fd, is_direct, 0, b"", -1, 0)
        for number, sizes in enumerate(groups):
            pieces = [memoryview(bytes([65 + number]) * size) for size in sizes]
            if is_direct:
                tail = staging.write(pwrite, tail, pieces, end - len(tail))
            else:
                pwrite(memoryview(b"".join(pieces)), end)
            ours.writer.submit(file, end, pieces, b"")
            end += sum(sizes)
            if waits:
                assert ours.done(1) == [(1, 0)]
                assert ours.writer.look(file) == (end, tail, False)
        if not waits:
            assert {code for _, code in ours.done(len(groups))} <= {0}
            ours.writer.drain()
            assert ours.writer.look(file) == (end, tail, False)
    os.close(fd)
    assert content(folder / "f") == disk.rstrip(b"\0")


@pytest.mark.parametrize("is_direct", [False, True])
def test_small_groups_find_the_file_as_long_as_it_was(tmp_path: Path, is_direct: bool) -> None:
    path = tmp_path / "f"
    fd = open_new(path)
    with thread() as ours:
        file = ours.writer.open(fd, is_direct, 0, b"", -1, 0)
        end, lengths = 0, set()
        for size in (1, 100, PAGE_BYTES, AHEAD_BYTES // 16, *[SMALL_BYTES_MAX] * 3, 1, PAGE_BYTES):
            ours.writer.submit(file, end, [b"x" * size], b"")
            end += size
            assert ours.done(1) == [(1, 0)]
            lengths.add(path.stat().st_size)
        assert lengths == {PAGE_BYTES + AHEAD_BYTES}
        ours.writer.submit(file, end, [b"x" * AHEAD_BYTES], b"")  # large: passes what is there
        end += AHEAD_BYTES
        assert ours.done(1) == [(1, 0)]
        assert path.stat().st_size - end < PAGE_BYTES
        ours.writer.submit(file, end, [b"x"], b"")
        assert ours.done(1) == [(1, 0)]
        pages = -(-(end + 1) // PAGE_BYTES) * PAGE_BYTES
        assert path.stat().st_size == pages + AHEAD_BYTES
        assert content(path) == b"x" * (end + 1)
    os.close(fd)


def test_what_cannot_be_written_ahead_is_left_away(tmp_path: Path) -> None:
    """A limit that the zeros would pass."""
    fd = open_new(tmp_path / "f")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PAGE_BYTES, before[1]))
    try:
        with thread() as ours:
            file = ours.writer.open(fd, False, 0, b"", -1, 0)
            for number in range(3):
                ours.writer.submit(file, number, [b"x"], b"")
                assert ours.done(1) == [(1, 0)]
            assert ours.writer.look(file) == (3, b"", False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    os.close(fd)
    assert content(tmp_path / "f") == b"xxx"


def test_what_waits_together_shares_a_sync_as_far_as_it_is_one_files(tmp_path: Path) -> None:
    with stuck(tmp_path) as ours:
        fds = [open_new(tmp_path / name) for name in ("a", "b")]
        a, b = (ours.writer.open(fd, False, 0, b"", -1, 0) for fd in fds)
        for file, position in ((a, 0), (a, 5), (b, 0), (a, 10), (a, 15), (a, 99), (a, 20)):
            ours.writer.submit(file, position, [b"block"], b"")
        assert ours.writer.collect() == []
        while select.select([ours.read_fd], [], [], 0)[0]:
            os.read(ours.read_fd, 1 << 16)
        ours.writer.drain()
        found = [(count, code) for count, code, _ in ours.writer.collect()]
        # In 99 something is missing before it; and what comes behind a failure fails.
        assert found == [(2, 0), (1, 0), (2, 0), (1, errno.EAGAIN), (1, errno.EAGAIN)]
        assert ours.writer.look(a) == (20, b"", True)
        assert ours.writer.look(b) == (5, b"", False)
        for fd in fds:
            os.close(fd)
    assert content(tmp_path / "a") == b"block" * 4
    assert content(tmp_path / "b") == b"block"


@pytest.mark.parametrize("is_direct", [False, True])
def test_after_an_error_nothing_is_written_any_more(tmp_path: Path, is_direct: bool) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with thread() as ours:
        file = ours.writer.open(full, is_direct, 5, b"begun" if is_direct else b"", -1, 0)
        ours.writer.submit(file, 5, [b"x" * 10], b"")
        assert ours.done(1) == [(1, errno.ENOSPC)]
        ours.writer.submit(file, 5, [b"x" * 10], b"")
        assert ours.done(1) == [(1, errno.EAGAIN)]
        assert ours.writer.look(file) == (5, b"begun" if is_direct else b"", True)
        gone = ours.writer.open(-1, is_direct, 0, b"", -1, 0)
        ours.writer.submit(gone, 0, [b"x"], b"")
        assert ours.done(1) == [(1, errno.EBADF)]
    os.close(full)


def test_a_note_is_written_where_it_is_looked_for_and_need_not_be(tmp_path: Path) -> None:
    fd, noted = open_new(tmp_path / "f"), open_new(tmp_path / "lock")
    with thread() as ours:
        for note_fd in (noted, -1):
            file = ours.writer.open(fd, False, 0, b"", note_fd, NOTE_AT)
            ours.writer.submit(file, 0, [b"block"], b"a note")
            assert ours.done(1) == [(1, 0)]
    os.close(fd)
    os.close(noted)
    assert (tmp_path / "lock").read_bytes() == bytes(NOTE_AT) + b"a note"


def test_what_cannot_be_is_refused_and_nobody_looks_at_it_any_more(tmp_path: Path) -> None:
    assert COMPILED is not None
    for staging, error in (
        (memoryview(bytearray(100)), ValueError),
        (memoryview(bytearray()), ValueError),
        (b"read only", BufferError),
        (7, TypeError),
    ):
        with pytest.raises(error):
            COMPILED.Writer(-1, staging)
    fd, piece = open_new(tmp_path / "f"), bytearray(b"piece")
    with thread() as ours:
        for is_direct, end, tail in (
            (True, 5, b""),
            (True, 5, b"x" * PAGE_BYTES),
            (False, 5, b"x"),
        ):
            with pytest.raises(ValueError, match="tail"):
                ours.writer.open(fd, is_direct, end, tail, -1, 0)
        file = ours.writer.open(fd, False, 0, b"", -1, 0)
        for pieces, note, error in (
            ([piece, 7], b"", TypeError),
            (7, b"", TypeError),
            ([piece], b"n" * 65, ValueError),
        ):
            with pytest.raises(error):
                ours.writer.submit(file, 0, pieces, note)
        with pytest.raises(ValueError, match="PyCapsule"):
            ours.writer.submit(object(), 0, [piece], b"")
        piece.append(1)
        ours.writer.submit(file, 0, [piece], b"")
        with pytest.raises(BufferError):
            piece.append(2)
        assert ours.done(1) == [(1, 0)]
        piece.append(2)
    with pytest.raises(ValueError, match="closed"):
        ours.writer.submit(file, 6, [piece], b"")
    os.close(fd)
    assert content(tmp_path / "f") == b"piece\x01"


def test_who_ends_waits_for_what_was_submitted(tmp_path: Path) -> None:
    fd = open_new(tmp_path / "f")
    ours = Thread()
    file = ours.writer.open(fd, False, 0, b"", -1, 0)
    for number in range(20):
        ours.writer.submit(file, number, [b"x"], b"")
    ours.writer.close()
    ours.writer.close()
    assert sum(count for count, _, _ in ours.writer.collect()) == 20
    assert content(tmp_path / "f") == b"x" * 20
    forgotten = Thread()
    file = forgotten.writer.open(fd, False, 0, b"", -1, 0)
    forgotten.writer.submit(file, 0, [b"y" * 20], b"")
    del forgotten.writer, file  # as at the end of a process
    assert content(tmp_path / "f") == b"y" * 20
    os.close(fd)
    for one in (ours, forgotten):
        os.close(one.read_fd)
        os.close(one.signal_fd)
