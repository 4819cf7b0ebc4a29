"""The attacks: each a bounded load from 127.0.0.2, so that a broker can tell it from other clients.

An attack returns when its load is over and its connections are closed. `scale` multiplies the
basic load; refusals are what the broker should do, so answers are read but not judged.
"""

from __future__ import annotations

import selectors
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

import cramjam
import crc32c

from compat_tests.support.deadline import Deadline, pause
from compat_tests.wire.batches import HEADER, HEADER_BYTES, LENGTH_OVERHEAD_BYTES, build, varint
from compat_tests.wire.connection import Connection, frame_of, framed
from compat_tests.wire.messages import (
    FETCH_VERSION,
    commit_request,
    create_topic,
    fetch_request,
    join_request,
    list_offsets_request,
    metadata_request,
    produce_request,
)

ATTACKER = "127.0.0.2"
ANSWER_TIMEOUT_S = 60.0
LOAD_TIMEOUT_S = 120.0
HELD_S = 3.0  # how long a silent crowd stays before it goes
MIB = 1 << 20
ZSTD = 4


def commits(bootstrap: str, scale: float) -> None:
    """Commits for 9,900 partitions under group names of 32,700 bytes: 167 KB make 310 MB."""
    with Connection(bootstrap) as connection:
        create_topic(connection, "wide", partitions=9_000)
    with dialled(bootstrap) as connection:
        for number in range(max(1, round(10 * scale))):
            group = f"{number:08}" + "g" * 32_692
            ask(connection, frame_of(commit_request(group, "wide", 9_000), 2))


def replies(bootstrap: str, scale: float) -> None:
    """60 connections ask for 50 MiB each and read nothing."""
    with Connection(bootstrap) as connection:
        create_topic(connection, "large", partitions=50)
        batch = build([bytes(MIB - 1000)])
        for partition in range(50):
            connection.call(produce_request({"large": {partition: batch}}), 9)
    request = fetch_request(
        "large", dict.fromkeys(range(50), 0), max_wait_ms=500, partition_max_bytes=MIB
    )
    crowd(bootstrap, round(60 * scale), framed(frame_of(request, FETCH_VERSION)))


def bombs(bootstrap: str, scale: float) -> None:
    """A few kilobytes that decompress to gigabytes, and look-ups by time in whatever was taken."""
    with Connection(bootstrap) as connection:
        create_topic(connection, "bombs")
    with ExitStack() as stack:
        senders = [stack.enter_context(dialled(bootstrap)) for _ in range(round(8 * scale))]
        for payload, count in _bombs():
            batch = _compressed(payload, count)
            frame = frame_of(produce_request({"bombs": {0: batch}}), 9)
            for connection in senders:
                connection.send_frame(frame)
            for connection in senders:
                receive(connection)
        for connection in senders:
            connection.send_frame(frame_of(list_offsets_request("bombs", 1), 1))
        for connection in senders:
            receive(connection)


def names(bootstrap: str, scale: float) -> None:
    """JoinGroup with 200,000 protocols, Metadata with 240,000 names, and with fewer, which may be
    answered; each on a connection of its own, for it may be ended for them.
    """
    protocols = [f"p{number:07}" for number in range(200_000)]
    join = frame_of(join_request("names", protocols), 3)
    asked = [f"n{number:07}" for number in range(240_000)]
    for _ in range(max(1, round(60 * scale))):
        once(bootstrap, join)
    for count in (240_000, 90_000):
        frame = frame_of(metadata_request(asked[:count], version=4), 4)
        for _ in range(max(1, round(scale))):
            once(bootstrap, frame)


def unfinished(bootstrap: str, scale: float) -> None:
    """1,000 connections declare 100 MB each and send one."""
    crowd(bootstrap, round(1_000 * scale), struct.pack(">i", 100_000_000) + bytes(MIB))


def members(bootstrap: str, scale: float) -> None:
    """64 JoinGroups of 4 MiB; 100,000 joins of members that never come back."""
    large = framed(frame_of(join_request("large", metadata=bytes(4 * MIB)), 3))
    crowd(bootstrap, round(64 * scale), large)
    with dialled(bootstrap) as connection:
        for number in range(round(100 * scale)):
            for member in range(1_000):
                group = f"pending-{number}-{member}"
                connection.send_frame(frame_of(join_request(group, session_timeout_ms=300_000), 4))
            for _ in range(1_000):
                receive(connection)


ATTACKS: dict[str, Callable[[str, float], None]] = {
    attack.__name__: attack for attack in (commits, replies, bombs, names, unfinished, members)
}


@contextmanager
def dialled(bootstrap: str) -> Iterator[Connection]:
    """A connection that comes from the attacker's address."""
    connection = Connection(bootstrap, timeout_s=ANSWER_TIMEOUT_S, source=ATTACKER)
    try:
        yield connection
    finally:
        connection.close()


def once(bootstrap: str, frame: bytes) -> None:
    """One request on a connection of its own."""
    with dialled(bootstrap) as connection:
        try:
            connection.send_frame(frame)
        except ConnectionError:
            return
        receive(connection)


def ask(connection: Connection, frame: bytes) -> None:
    connection.send_frame(frame)
    receive(connection)


def receive(connection: Connection) -> None:
    """The next answer, or the end: a broker may refuse as it likes, but not stay silent."""
    try:
        connection.receive_frame()
    except ConnectionError:
        return


def crowd(bootstrap: str, count: int, data: bytes) -> None:
    """So many connections send the same bytes as far as they are taken, read nothing, wait, go."""
    host, port = bootstrap.rsplit(":", 1)
    deadline = Deadline(LOAD_TIMEOUT_S)
    selector = selectors.DefaultSelector()
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            peer = socket.socket()
            opened.append(peer)
            peer.bind((ATTACKER, 0))
            peer.setblocking(False)
            peer.connect_ex((host, int(port)))
            selector.register(peer, selectors.EVENT_WRITE, 0)
        _send_all(selector, data, deadline)
        pause(HELD_S)
    finally:
        selector.close()
        for peer in opened:
            peer.close()


def _send_all(selector: selectors.BaseSelector, data: bytes, deadline: Deadline) -> None:
    """Until all is sent, or nothing has been taken for a while."""
    view = memoryview(data)
    while selector.get_map() and not deadline.expired:
        ready = selector.select(min(HELD_S, deadline.left_s))
        if not ready:
            return
        for key, _ in ready:
            peer: socket.socket = key.fileobj  # type: ignore[assignment]
            try:
                sent = key.data + peer.send(view[key.data :])
            except BlockingIOError:
                continue
            except OSError:
                selector.unregister(peer)
                continue
            if sent == len(view):
                selector.unregister(peer)
            else:
                selector.modify(peer, selectors.EVENT_WRITE, sent)


def _bombs() -> Iterable[tuple[bytes, int]]:
    """(what is compressed, record count): many records that are one, and one that is huge."""
    yield b"\x0c\x00\x00\x00\x01\x01\x00" * 17_000_000, 17_000_000
    value = bytes(256 * MIB)
    body = b"\x00\x00\x00\x01" + varint(len(value)) + value + b"\x00"
    yield varint(len(body)) + body, 1


def _compressed(payload: bytes, count: int) -> bytes:
    data = bytes(cramjam.zstd.compress(payload))
    now_ms = 1_700_000_000_000
    fields = (ZSTD, count - 1, now_ms, now_ms, -1, -1, -1, count)
    tail = struct.pack(">hiqqqhii", *fields) + data
    length = HEADER_BYTES - LENGTH_OVERHEAD_BYTES + len(data)
    return HEADER.pack(0, length, -1, 2, crc32c.crc32c(tail), *fields) + data
