"""Replies with parts of files in them: whole and in order, however slowly they are taken."""

from __future__ import annotations

import asyncio
import errno
import os
import random  # noqa: TID251 - seeded
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop

from gateway.net import sending
from gateway.net.sending import CALL_BYTES_MAX, TURN_BYTES_MAX, Sending
from wal_core import Lane
from wal_core.stores.file_region import FileRegion, OpenFile

BODY = random.Random(7).randbytes(9_000_000)
SMALL_BUFFER_BYTES = 20_000

Loop = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Loop:
    return uvloop.run if request.param == "uvloop" else asyncio.run


@pytest.fixture
def file(tmp_path: Path) -> OpenFile:
    (tmp_path / "a").write_bytes(BODY)
    return OpenFile(os.open(tmp_path / "a", os.O_RDWR))


class Near(asyncio.Protocol):
    """The side that sends."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.lane = Lane("late-parts", 1)
        self.sending = Sending(
            self.transport, self.lane, lambda: self.told.append("ended"), self.told.append
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self.sending.stop()
        self.lane.close()


@asynccontextmanager
async def pair(buffer_bytes: int = 0) -> AsyncIterator[tuple[Near, socket.socket]]:
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    far.setblocking(False)
    if buffer_bytes:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
    with far:
        transport, protocol = await loop.connect_accepted_socket(Near, near)
        yield protocol, far
        transport.abort()
        await asyncio.sleep(0)


async def received(far: socket.socket, count_bytes: int) -> bytes:
    loop = asyncio.get_running_loop()
    got = bytearray()
    while len(got) < count_bytes:
        more = await loop.sock_recv(far, 1 << 18)
        assert more
        got += more
    return bytes(got)


def open_count() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_bytes_and_regions_leave_in_their_order_at_once(run: Loop, file: OpenFile) -> None:
    async def main() -> None:
        async with pair() as (near, far):
            before_count = open_count()
            pieces = [b"head", FileRegion(file, 10, 9_000), b"", FileRegion(file, 50, 1), b"tail"]
            near.sending.send(pieces)
            assert not near.sending.is_busy
            assert open_count() <= before_count
            expected = b"head" + BODY[10:9_010] + BODY[50:51] + b"tail"
            assert await received(far, len(expected)) == expected
            near.sending.send([b"more"])
            assert await received(far, 4) == b"more"
            assert near.told == []

    run(main())


def test_a_slow_peer_gets_all_of_it(run: Loop, file: OpenFile) -> None:
    async def main() -> None:
        async with pair(SMALL_BUFFER_BYTES) as (near, far):
            before_count = open_count()
            pieces = [b"a" * 300_000, FileRegion(file, 0, len(BODY)), b"b" * 300_000]
            near.sending.send(pieces)
            assert near.sending.is_busy
            left_bytes = near.sending.left_bytes
            assert 9_000_000 < left_bytes < 9_600_000
            await asyncio.sleep(0)
            assert near.sending.left_bytes == left_bytes  # nobody has taken anything
            expected = b"a" * 300_000 + BODY + b"b" * 300_000
            assert await received(far, len(expected)) == expected
            assert near.told == ["ended"]
            assert not near.sending.is_busy
            assert open_count() <= before_count

    run(main())


def test_what_is_in_memory_no_more_is_read_by_a_thread(
    run: Loop, file: OpenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []

    def read(region: FileRegion, whole: Callable[[FileRegion], bytes] = FileRegion.read) -> bytes:
        reads.append(len(region))
        return whole(region)

    async def main() -> None:
        async with pair(SMALL_BUFFER_BYTES) as (near, far):
            near.sending.send([b"head", FileRegion(file, 0, len(BODY)), b"tail"])
            os.fsync(file.fd)
            os.posix_fadvise(file.fd, 0, 0, os.POSIX_FADV_DONTNEED)
            assert await received(far, len(BODY) + 8) == b"head" + BODY + b"tail"
            assert near.told == ["ended"]

    monkeypatch.setattr(FileRegion, "read", read)
    run(main())
    assert reads
    assert max(reads) <= CALL_BYTES_MAX


def test_what_went_from_memory_before_it_is_sent_is_read_by_a_thread(
    run: Loop, file: OpenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reply may have stood behind others for minutes."""

    async def main() -> None:
        async with pair() as (near, far):
            monkeypatch.setattr(FileRegion, "send", lambda *_: 1 / 0)
            os.fsync(file.fd)
            os.posix_fadvise(file.fd, 0, 0, os.POSIX_FADV_DONTNEED)
            near.sending.send([b"head", FileRegion(file, 4_096, 8_192), b"tail"])
            assert near.sending.is_busy
            assert await received(far, 8_200) == b"head" + BODY[4_096:12_288] + b"tail"

    run(main())


class Willing:
    """Stands in for a region whose peer takes everything."""

    def __init__(self, length: int, told: list[int]) -> None:
        self._length, self._told = length, told

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> Willing:
        return Willing(len(range(*part.indices(self._length))), self._told)

    def is_in_memory(self, now_s: float) -> bool:
        return True

    def send(self, socket_fd: int) -> int:
        self._told.append(self._length)
        return self._length

    def read(self) -> bytes:
        raise AssertionError


def test_no_step_of_the_loop_sends_very_much(run: Loop) -> None:
    async def main() -> None:
        async with pair() as (near, _):
            told: list[int] = []
            near.sending.send([Willing(10_000_000, told)])
            while near.sending.is_busy:
                assert sum(told) <= TURN_BYTES_MAX + CALL_BYTES_MAX
                assert max(told) <= CALL_BYTES_MAX
                told.clear()
                before_bytes = near.sending.left_bytes
                while near.sending.left_bytes == before_bytes:
                    await asyncio.sleep(0)
            assert near.told == ["ended"]

    run(main())


def test_a_file_that_was_cut_fails(run: Loop, file: OpenFile) -> None:
    async def main() -> None:
        async with pair() as (near, far):
            os.ftruncate(file.fd, 100)
            near.sending.send([b"head", FileRegion(file, 0, 1_000)])
            (error,) = near.told
            assert isinstance(error, OSError) and error.errno == errno.EIO
            assert await received(far, 104) == b"head" + BODY[:100]
        async with pair(SMALL_BUFFER_BYTES) as (near, far):
            near.sending.send([b"x" * 1_000_000, FileRegion(file, 4_096, 1_000)])
            await received(far, 1_000_000)
            while not near.told:
                await asyncio.sleep(0)
            (error,) = near.told
            assert isinstance(error, OSError) and error.errno == errno.EIO

    run(main())


def test_a_peer_that_has_gone_fails(run: Loop, file: OpenFile) -> None:
    async def main() -> None:
        async with pair() as (near, far):
            far.close()
            near.sending.send([FileRegion(file, 0, 1_000)])
            (error,) = near.told
            assert isinstance(error, ConnectionError)

    run(main())


@pytest.mark.parametrize("is_read", [False, True])
def test_after_a_stop_nothing_is_sent_or_told(
    run: Loop, file: OpenFile, monkeypatch: pytest.MonkeyPatch, is_read: bool
) -> None:
    async def main() -> None:
        async with pair(SMALL_BUFFER_BYTES) as (near, far):
            near.sending.send([FileRegion(file, 0, len(BODY))])
            own = near.sending._socket
            assert own is not None
            may_read = threading.Event()
            if is_read:
                monkeypatch.setattr(FileRegion, "is_in_memory", lambda *_: False)
                monkeypatch.setattr(FileRegion, "read", lambda _: may_read.wait() and b"x")
                far.recv(1 << 20)
                while near.sending._reading is None:
                    await asyncio.sleep(0)
            reading = near.sending._reading
            near.sending.stop()
            assert not near.sending.is_busy
            assert own.fileno() < 0
            may_read.set()
            if reading is not None:
                await reading
            await asyncio.sleep(0)
            assert near.told == []

    run(main())


def test_what_the_transport_has_comes_first(run: Loop, file: OpenFile) -> None:
    async def main() -> None:
        async with pair(SMALL_BUFFER_BYTES) as (near, far):
            near.transport.write(b"x" * 1_000_000)
            near.sending.send([FileRegion(file, 0, 1_000_000), b"tail"])
            assert not near.sending.is_busy  # the transport has it
            expected = b"x" * 1_000_000 + BODY[:1_000_000] + b"tail"
            assert await received(far, len(expected)) == expected

    run(main())


class Other:
    """Stands in for a transport without a plain socket."""

    def __init__(self, **extra: object) -> None:
        self.extra = extra
        self.sent = b""

    def get_extra_info(self, name: str) -> object:
        return self.extra.get(name)

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, piece: bytes) -> None:
        self.sent += piece

    def writelines(self, pieces: list[bytes]) -> None:
        self.sent += b"".join(pieces)


@pytest.mark.parametrize("extra", [{}, {"socket": object(), "ssl_object": object()}])
def test_without_a_plain_socket_regions_are_read(file: OpenFile, extra: dict[str, object]) -> None:
    transport = Other(**extra)
    near = Sending(cast("Any", transport), Lane("none", 1), lambda: None, lambda _: None)
    near.send([FileRegion(file, 5, 10)])
    near.send([b"a", FileRegion(file, 50, 10)])
    assert transport.sent == BODY[5:15] + b"a" + BODY[50:60]
    assert not near.is_busy


def test_without_descriptors_regions_are_read(
    run: Loop, file: OpenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dup(_: int) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    async def main() -> None:
        async with pair() as (near, far):
            monkeypatch.setattr(sending.os, "dup", dup)
            near.sending.send([FileRegion(file, 0, 1_000)])
            monkeypatch.undo()
            assert await received(far, 1_000) == BODY[:1_000]

    run(main())
