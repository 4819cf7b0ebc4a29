"""Durable file operations."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wal_core.stores import files
from wal_core.stores.direct_io import PAGE_BYTES, Staging
from wal_core.stores.files import create_file, make_folder, opened, pread_exact, pwrite_all

SIZES = [1, 4095, 4096, 4097, files.DIRECT_FROM_BYTES - 1, files.DIRECT_FROM_BYTES, 300_001]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("staged", [False, True])
def test_create_writes_exactly_the_pieces_once(tmp_path, size, staged):
    body = os.urandom(size)
    pieces = [body[: size // 3], memoryview(body)[size // 3 :]]
    staging = Staging(2 * PAGE_BYTES) if staged else None
    create_file(tmp_path / "x", pieces, tmp_path / "t", staging)
    assert (tmp_path / "x").read_bytes() == body
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "x", [b"other" * size], tmp_path / "t", staging)
    assert (tmp_path / "x").read_bytes() == body
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("size", [10, files.DIRECT_FROM_BYTES])
def test_a_name_points_to_durable_bytes_and_is_durable_itself(tmp_path, monkeypatch, size):
    """The order is all there is to it, and nothing but a power cut would show a wrong one."""
    steps = []

    def record(module, name: str) -> None:
        real = getattr(module, name)

        def recorded(*args):
            steps.append(name)
            return real(*args)

        monkeypatch.setattr(module, name, recorded)

    record(files, "fdatasync")
    record(os, "link")
    record(files, "sync_folder")
    create_file(tmp_path / "x", [b"x" * size], tmp_path / "t", Staging(2 * PAGE_BYTES))
    assert steps == ["fdatasync", "link", "sync_folder"]


def test_a_file_system_that_refuses_direct_writes_gets_ordinary_ones(tmp_path, monkeypatch):
    real, refused = files.pwrite_all, []

    def pwrite(fd: int, pieces, position: int) -> int:
        if len(pieces) == 1 and len(pieces[0]) == 2 * PAGE_BYTES:
            refused.append(position)
            raise OSError(errno.EINVAL, "alignment")
        return real(fd, pieces, position)

    monkeypatch.setattr(files, "pwrite_all", pwrite)
    body = os.urandom(100_000)
    create_file(tmp_path / "x", [body[:1], body[1:]], tmp_path / "t", Staging(2 * PAGE_BYTES))
    assert (tmp_path / "x").read_bytes() == body


@given(
    st.lists(st.integers(0, 50), max_size=3000),
    st.lists(st.integers(1, 2000), max_size=200),
)
@settings(max_examples=30)
def test_short_writes_are_continued(sizes, cuts):
    pieces = [bytes([n % 256]) * size for n, size in enumerate(sizes)]
    written = bytearray()
    limits = iter(cuts)

    def pwritev(fd: int, run, position: int) -> int:
        assert len(run) <= files.IOV_MAX_COUNT
        assert position == 7 + len(written)
        body = b"".join(run)
        count = min(len(body), next(limits, len(body)))
        written.extend(body[:count])
        return count

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwritev", pwritev)
        assert pwrite_all(0, pieces, 7) == 7 + sum(sizes)
    assert written == b"".join(pieces)


def test_reads_end_at_the_end(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    with opened(path, os.O_RDONLY) as fd:
        assert pread_exact(fd, 4, 3) == b"3456"
        assert pread_exact(fd, 100, 8) == b"89"
        assert pread_exact(fd, 100, 10) == b""


def test_folders_are_made_with_their_parents(tmp_path: Path):
    for _ in range(2):
        make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
