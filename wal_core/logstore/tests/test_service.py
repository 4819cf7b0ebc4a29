"""How a logstore deals with its connections: hello, room, deadlines. On virtual time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from wal_core.logstore import wire
from wal_core.logstore.frames import FrameReceiver, encode_frame
from wal_core.logstore.logstore import Logstore
from wal_core.logstore.service import Service, ServiceLimits
from wal_core.logstore.tests.logstores import LOG, NONCE_A, block, logstore
from wal_core.logstore.tests.test_logstore import StuckWriter
from wal_core.testing.seeds import stream
from wal_core.testing.sim_disk import Disk
from wal_core.testing.sim_link import SimLinks
from wal_core.testing.sim_loop import run
from wal_core.testing.sim_system import installed

HELLO = wire.Hello(0, 1, 1, "c", b"")


class Peer(asyncio.BufferedProtocol):
    """Sends what it is told to, and takes what it gets."""

    def __init__(self) -> None:
        self.answers: list[wire.Answer] = []
        self.is_over = False
        self._receiver = FrameReceiver()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._receiver.room()

    def buffer_updated(self, nbytes: int) -> None:
        self.answers += [wire.answer_in(frame) for frame in self._receiver.received(nbytes)]
        if self._receiver.awaited_bytes:
            self._receiver.receive_large()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_over = True

    def send(self, question: wire.Question, *body: bytes) -> None:
        self.transport.writelines(wire.encode(question, body))


class World:
    """A logstore, its service, and a way to it."""

    def __init__(self, store: Logstore, limits: ServiceLimits) -> None:
        self.store = store
        self.service = Service(store, limits)
        self.links = SimLinks(self.service.connection, stream(1, "links"))

    async def peer(self, hello: wire.Hello | None = HELLO) -> Peer:
        peer = Peer()
        await self.links.dial()(lambda: peer)
        if hello is not None:
            peer.send(hello)
            await asyncio.sleep(1)
        return peer

    async def joined(self) -> tuple[Peer, tuple[int, bytes, int, bytes]]:
        peer = await self.peer()
        peer.send(wire.Join(1, LOG, 1, NONCE_A))
        await asyncio.sleep(1)
        answer = peer.answers[-1]
        assert isinstance(answer, wire.Joined)
        return peer, (LOG, answer.birth, 1, NONCE_A)


def with_world(
    main: Callable[[World], Awaitable[None]],
    limits: ServiceLimits | None = None,
    *,
    writer: StuckWriter | None = None,
) -> None:
    async def whole(root: Any) -> None:
        store = logstore(root, writer=writer)
        await store.open()
        world = World(store, limits or ServiceLimits())
        await main(world)
        await world.service.close()
        await asyncio.sleep(1)
        assert (world.service.used_bytes, world.service.connections_count) == (0, 0)
        await store.close()

    with installed(Disk(stream(1, "disk"))) as path:
        run(lambda: whole(path("/data")))


def test_it_is_greeted_first_and_once():
    async def main(world: World) -> None:
        peer = await world.peer()
        assert peer.answers == [wire.Welcome(0, 1, world.store.identity.disk, "")]
        peer.send(HELLO)
        peer.send(wire.Ping(7))
        await asyncio.sleep(1)
        assert [type(answer) for answer in peer.answers[1:]] == [wire.Done, wire.Failed]
        rude = await world.peer(None)
        rude.send(wire.Ping(1))
        await asyncio.sleep(1)
        assert rude.is_over

    with_world(main)


@pytest.mark.parametrize(
    ("hello", "kind", "why"),
    [
        (wire.Hello(0, 2, 3, "c", b""), "Invalid", "versions 2 to 3"),
        (wire.Hello(0, 1, 1, "c", bytes(16)), "Unavailable", "another disk"),
        (wire.Hello(0, 1, 1, "other", b""), "Invalid", "belongs to cluster c"),
    ],
)
def test_who_wants_another_one_is_told_so(hello: wire.Hello, kind: str, why: str):
    async def main(world: World) -> None:
        await world.joined()
        peer = await world.peer(hello)
        (answer,) = peer.answers
        assert isinstance(answer, wire.Failed)
        assert answer.kind == kind
        assert why in answer.text
        peer.send(wire.Ping(1))
        await asyncio.sleep(1)
        assert peer.is_over

    with_world(main)


def test_it_belongs_to_the_first_cluster_that_joins_a_log():
    async def main(world: World) -> None:
        late = await world.peer(wire.Hello(0, 1, 1, "d", b""))
        await world.joined()
        late.send(wire.Join(1, LOG + 1, 1, NONCE_A))
        await asyncio.sleep(1)
        answer = late.answers[-1]
        assert isinstance(answer, wire.Failed)
        assert answer.kind == "Invalid"
        assert world.store.identity.cluster == "c"

    with_world(main)


@pytest.mark.parametrize(
    ("limits", "used_bytes_max"),
    [
        (ServiceLimits(connection_bytes_max=20_000), 4 * 20_000),
        (ServiceLimits(bytes_max=50_000), 50_000),
    ],
    ids=["of each connection", "of all"],
)
def test_more_is_not_read_than_there_is_room_for(limits: ServiceLimits, used_bytes_max: int):
    """While the disk stands still."""
    writer = StuckWriter()
    blocks = [block(n, payload=bytes(5_000)) for n in range(40)]

    async def main(world: World) -> None:
        first, who = await world.joined()
        others = [await world.peer() for _ in range(3)]
        for number, stored in enumerate(blocks):
            first.send(wire.Append(number, *who), stored)
            for peer in others:
                peer.send(wire.Append(number, *who), stored)
        await asyncio.sleep(5)
        frame_bytes = len(blocks[0]) + 100
        assert world.service.used_bytes <= used_bytes_max + 4 * frame_bytes
        writer.go_on()
        await asyncio.sleep(5)
        for peer in (first, *others):
            stored_answers = [a for a in peer.answers if isinstance(a, wire.Stored)]
            assert len(stored_answers) == len(blocks)
        assert world.service.used_bytes == 0

    with_world(main, limits, writer=writer)


def test_a_frame_that_is_larger_than_the_room_waits_until_it_is_alone():
    writer = StuckWriter()
    limits = ServiceLimits(bytes_max=100_000)

    async def main(world: World) -> None:
        peer, who = await world.joined()
        peer.send(wire.Append(2, *who), block(0))
        large = await world.peer()
        large.send(wire.Append(3, *who), block(1, payload=bytes(400_000)))
        await asyncio.sleep(5)
        assert world.service.used_bytes < 1_000
        writer.go_on()
        await asyncio.sleep(5)
        assert large.answers[-1] == wire.Stored(3, 2)

    with_world(main, limits, writer=writer)


def test_answers_that_are_not_taken_end_the_reading_and_then_the_connection():
    async def main(world: World) -> None:
        peer, who = await world.joined()
        peer.send(wire.Append(2, *who), block(0, payload=bytes(60_000)))
        await asyncio.sleep(1)
        peer.transport.pause_reading()
        for number in range(300):
            peer.send(wire.Read(number, *who, 0, 0, 100_000, True))
        await asyncio.sleep(10)
        assert not peer.is_over
        assert peer.transport.peer.unread_bytes < 2_000_000  # of 18
        await asyncio.sleep(60)
        assert peer.is_over

    with_world(main, ServiceLimits(connection_bytes_max=1_000_000))


def test_a_connection_ends_that_says_no_hello_stops_in_a_frame_or_says_nothing():
    async def main(world: World) -> None:
        silent = await world.peer(None)
        stopping = await world.peer()
        stopping.transport.write(b"".join(encode_frame(b"head", [bytes(100)]))[:50])
        idle = await world.peer()
        await asyncio.sleep(20)
        assert (silent.is_over, stopping.is_over, idle.is_over) == (True, False, False)
        await asyncio.sleep(40)
        assert (stopping.is_over, idle.is_over) == (True, False)
        await asyncio.sleep(700)
        assert idle.is_over

    with_world(main)


def test_damage_ends_the_connection_that_it_came_over_and_no_other(
    caplog: pytest.LogCaptureFixture,
):
    async def main(world: World) -> None:
        good, _ = await world.joined()
        bad = await world.peer()
        bad.transport.write(b"\xff" * 100)
        await asyncio.sleep(1)
        assert (good.is_over, bad.is_over) == (False, True)

    with caplog.at_level(logging.WARNING):
        with_world(main)
    assert "are allowed" in caplog.text


def test_there_are_only_so_many_connections():
    async def main(world: World) -> None:
        peers = [await world.peer() for _ in range(4)]
        assert [peer.is_over for peer in peers] == [False, False, True, True]
        assert world.service.refused_count == 2

    with_world(main, ServiceLimits(connections_max_count=2))


def test_what_is_answered_in_a_turn_leaves_in_one_write():
    writer = StuckWriter()

    async def main(world: World) -> None:
        peer, who = await world.joined()
        for number in range(50):
            peer.send(wire.Append(number, *who), block(number))
        await asyncio.sleep(1)
        before = peer.transport.peer.writes_count
        writer.go_on()
        await asyncio.sleep(1)
        assert peer.answers[-1] == wire.Stored(49, 50)
        assert peer.transport.peer.writes_count - before <= 2

    with_world(main, writer=writer)
