"""Parts of files: read, handed to sockets, closed when nobody has a use for them any more."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from wal_core.stores import file_region
from wal_core.stores.file_region import FileRegion, OpenFile, is_in_memory

BODY = bytes(range(256)) * 1_024


@pytest.fixture(autouse=True, params=["compiled", "pure"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pure":
        monkeypatch.setattr(file_region, "COMPILED", None)
    elif file_region.COMPILED is None:
        pytest.skip("compiled help was not built")


@pytest.fixture
def file(tmp_path: Path) -> OpenFile:
    path = tmp_path / "a"
    path.write_bytes(BODY)
    return OpenFile(os.open(path, os.O_RDWR))


def test_parts_are_as_of_bytes(file: OpenFile) -> None:
    region = FileRegion(file, 1_000, 5_000)
    expected = BODY[1_000:6_000]
    assert region.read() == expected
    assert len(region) == 5_000
    for part in (slice(100), slice(4_000, None), slice(10, 20), slice(4_990, 9_000)):
        assert region[part].read() == expected[part]
        assert len(region[part]) == len(expected[part])
    assert region[100:][50:60].read() == expected[150:160]


def test_a_socket_takes_what_it_has_room_for(file: OpenFile) -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10_000)
        region = FileRegion(file, 0, len(BODY))
        got = b""
        blocked_count = 0
        while len(region):
            try:
                region = region[region.send(near.fileno()) :]
            except BlockingIOError:
                blocked_count += 1
                got += far.recv(1 << 20)
        near.close()
        while more := far.recv(1 << 20):
            got += more
        assert blocked_count > 0
        assert got == BODY


def test_a_file_that_was_cut_is_an_error(file: OpenFile) -> None:
    region = FileRegion(file, 0, len(BODY))
    os.ftruncate(file.fd, 10)
    near, far = socket.socketpair()
    with near, far:
        assert region.send(near.fileno()) == 10
        with pytest.raises(OSError, match="shorter than it was"):
            region[10:].send(near.fileno())
    with pytest.raises(OSError, match="shorter than it was"):
        region.read()


@pytest.mark.parametrize(("start", "length"), [(0, 1), (0, len(BODY)), (5_000, 70_000)])
def test_what_was_written_is_in_memory(file: OpenFile, start: int, length: int) -> None:
    assert is_in_memory(file.fd, start, length)
    assert FileRegion(file, start, length).is_in_memory(0.0)


def test_what_the_system_let_go_is_not(file: OpenFile) -> None:
    os.fsync(file.fd)
    os.posix_fadvise(file.fd, 0, 0, os.POSIX_FADV_DONTNEED)
    end = len(BODY) - 4_096
    assert not is_in_memory(file.fd, end, 4_096)
    assert not is_in_memory(file.fd, 0, len(BODY))
    os.pread(file.fd, 1, len(BODY) - 1)
    if file_region.COMPILED is not None:
        assert not is_in_memory(file.fd, 0, len(BODY))  # though its end is


def test_what_was_just_seen_is_not_looked_for_again(file: OpenFile) -> None:
    region = FileRegion(file, 0, len(BODY), seen_s=0.0)
    os.fsync(file.fd)
    os.posix_fadvise(file.fd, 0, 0, os.POSIX_FADV_DONTNEED)
    for part in (region, region[5_000:]):
        assert part.is_in_memory(file_region.SEEN_S / 2)
        assert not part.is_in_memory(file_region.SEEN_S)


def test_bytes_that_are_not_there_are_not_in_memory(file: OpenFile) -> None:
    assert not is_in_memory(file.fd, 1, len(BODY))
    assert not is_in_memory(file.fd, 10 * len(BODY), 1)
    assert not is_in_memory(file.fd, 0, 0)
    assert not is_in_memory(-1, 0, 1)


def test_a_file_is_closed_with_its_last_region(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(BODY)
    fd = os.open(tmp_path / "a", os.O_RDONLY)
    region = FileRegion(OpenFile(fd), 0, 100)[10:]
    assert region.read() == BODY[10:100]
    del region
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
