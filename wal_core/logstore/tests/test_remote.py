"""A logstore behind a connection that breaks, goes silent or comes late. On virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from wal_core.errors import Corrupt, Invalid, Unavailable
from wal_core.logstore import wire
from wal_core.logstore.logstore import Logstore
from wal_core.logstore.remote import RemoteLimits, RemoteReplica
from wal_core.logstore.replica import Asker, Tail
from wal_core.logstore.service import Service
from wal_core.logstore.tests.logstores import LOG, NONCE_A, NONCE_B, block, logstore
from wal_core.logstore.tests.test_logstore import StuckWriter
from wal_core.testing.sampled import sampled
from wal_core.testing.seeds import SeededRng, stream
from wal_core.testing.sim_disk import Disk
from wal_core.testing.sim_link import SimLinks
from wal_core.testing.sim_loop import run
from wal_core.testing.sim_system import installed


class World:
    """A logstore, and one who asks it."""

    def __init__(self, store: Logstore, seed: int) -> None:
        self.store = store
        self.service = Service(store)
        self.links = SimLinks(self.service.connection, stream(seed, "links"))
        self.replica = self.replica_with()

    def replica_with(self, limits: RemoteLimits | None = None, **to: Any) -> RemoteReplica:
        to = {"cluster": "c", **to}
        return RemoteReplica("r", self.links.dial(), SeededRng(1), limits=limits, **to)

    async def joined(self) -> Asker:
        return Asker(LOG, await self.replica.join(LOG, 1, NONCE_A), 1, NONCE_A)


def with_world(
    main: Callable[[World], Awaitable[None]], *, writer: StuckWriter | None = None, seed: int = 1
) -> None:
    async def whole(root: Any) -> None:
        store = logstore(root, writer=writer)
        await store.open()
        world = World(store, seed)
        await main(world)
        await world.replica.close()
        await world.service.close()
        await asyncio.sleep(1)
        await store.close()

    with installed(Disk(stream(seed, "disk"))) as path:
        run(lambda: whole(path("/data")), seed=seed)


def test_what_is_under_way_when_the_link_breaks_is_unavailable_and_sent_once():
    writer = StuckWriter()

    async def main(world: World) -> None:
        a = await world.joined()
        under_way = [asyncio.ensure_future(world.replica.append(a, block(n))) for n in range(5)]
        await asyncio.sleep(1)
        world.links.cut()
        for append in under_way:
            with pytest.raises(Unavailable, match="link broke"):
                await append
        writer.go_on()
        await asyncio.sleep(1)
        assert len(writer.waiting) == 5  # it was done all the same, and nothing was asked again
        assert await world.replica.append(a, block(5)) == 6

    with_world(main, writer=writer)


def test_it_is_tried_again_after_waits_that_grow():
    async def main(world: World) -> None:
        a = await world.joined()
        world.links.is_refusing = True
        world.links.cut()
        await asyncio.sleep(1)
        dials_before = world.links.dials_count
        for _ in range(6_000):  # a minute of somebody who does not wait
            with pytest.raises(Unavailable, match="away"):
                await world.replica.append(a, block(0))
            await asyncio.sleep(0.01)
        assert 12 <= world.links.dials_count - dials_before <= 40
        world.links.is_refusing = False
        await asyncio.sleep(RemoteLimits().wait_max_s)
        assert await world.replica.append(a, block(0)) == 1
        world.links.cut()
        await asyncio.sleep(2 * RemoteLimits().wait_first_s)
        assert await world.replica.append(a, block(0)) == 1  # the first wait is short again
        assert world.replica.is_connected

    with_world(main)


def test_a_silent_link_is_given_up_at_the_deadline():
    async def main(world: World) -> None:
        a = await world.joined()
        world.links.is_silent = True
        before_s = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable, match="in 10 s"):
            await world.replica.append(a, block(0))
        took_s = asyncio.get_running_loop().time() - before_s
        assert took_s <= 1.25 * RemoteLimits().answer_s + 1
        assert not world.replica.is_connected
        with pytest.raises(Unavailable, match="within 5 s"):
            await asyncio.sleep(1)
            await world.replica.append(a, block(0))
        world.links.is_silent = False
        await asyncio.sleep(RemoteLimits().wait_max_s)
        assert await world.replica.append(a, block(0)) == 1

    with_world(main)


def test_a_slow_answer_costs_what_waits_for_it_and_not_the_connection():
    writer = StuckWriter()

    async def main(world: World) -> None:
        a = await world.joined()
        stuck = asyncio.ensure_future(world.replica.append(a, block(0)))
        for _ in range(30):
            assert await world.replica.look(a) in ([], [Tail(0, 0, None)])
            await asyncio.sleep(0.5)
        with pytest.raises(Unavailable, match="no answer in 10 s"):
            await stuck
        assert world.replica.is_connected
        writer.go_on()
        await asyncio.sleep(1)
        assert world.replica.in_flight_bytes == 0
        assert await world.replica.append(a, block(0)) == 1

    with_world(main, writer=writer)


def test_only_so_much_is_on_its_way():
    writer = StuckWriter()

    async def main(world: World) -> None:
        a = await world.joined()
        replica = world.replica_with(RemoteLimits(in_flight_bytes_max=20_000))
        stored = [block(n, payload=bytes(6_000)) for n in range(4)]
        under_way = [asyncio.ensure_future(replica.append(a, one)) for one in stored]
        await asyncio.sleep(1)
        assert replica.in_flight_bytes <= 20_000
        with pytest.raises(Unavailable, match="is slow"):
            await under_way[3]
        writer.go_on()
        assert await asyncio.gather(*under_way[:3]) == [1, 2, 3]
        assert await replica.append(a, stored[3]) == 4
        await replica.close()

    with_world(main, writer=writer)


def test_an_idle_connection_is_kept():
    async def main(world: World) -> None:
        a = await world.joined()
        await asyncio.sleep(10_000)
        assert world.replica.is_connected
        assert await world.replica.append(a, block(0)) == 1
        assert world.links.dials_count == 1

    with_world(main)


def test_who_waits_may_give_up():
    writer = StuckWriter()

    async def main(world: World) -> None:
        a = await world.joined()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await world.replica.append(a, block(0))
        writer.go_on()
        assert await world.replica.append(a, block(1)) == 2
        world.links.cut()
        connecting = asyncio.ensure_future(world.replica.look(a))
        await asyncio.sleep(0)
        connecting.cancel()
        await asyncio.sleep(1)
        assert await world.replica.look(a) == [Tail(0, 0, None)]

    with_world(main, writer=writer)


def test_who_is_there_is_asked_for():
    async def main(world: World) -> None:
        await world.joined()
        disk = world.store.identity.disk
        assert await world.replica.identity() == (disk, "")
        right = world.replica_with(disk=disk)
        assert await right.identity() == (disk, "c")
        wrong = world.replica_with(disk=bytes(16))
        with pytest.raises(Unavailable, match="another disk"):
            await wrong.identity()
        foreign = world.replica_with(cluster="d")
        with pytest.raises(Invalid, match="belongs to cluster c"):
            await foreign.join(LOG, 1, NONCE_A)
        for replica in (right, wrong, foreign):
            await replica.close()
            with pytest.raises(Unavailable, match="closed"):
                await replica.identity()

    with_world(main)


def test_an_answer_to_something_else_is_damage():
    async def main(world: World) -> None:
        a = await world.joined()
        connection = world.replica._connection
        assert connection is not None
        asked = asyncio.ensure_future(world.replica.append(a, block(0)))
        await asyncio.sleep(0)
        (number,) = connection._waiting
        sent = b"".join(wire.encode(wire.Done(number)))
        connection.get_buffer(-1)[: len(sent)] = sent
        connection.buffer_updated(len(sent))
        with pytest.raises(Corrupt, match="answered with Done"):
            await asked

    with_world(main)


@pytest.mark.parametrize("seed", sampled(range(30), quick_count=6))
def test_a_writer_that_goes_on_from_the_end_it_is_told_loses_nothing(seed: int):
    """However often the link breaks or goes silent, and though what was sent before that may be
    done after what is sent then."""
    blocks = [block(n, payload=b"%d" % n * 200) for n in range(60)]

    async def main(world: World) -> None:
        rng = stream(seed, "faults")
        a = await world.joined()
        acked = 0
        is_done = False

        async def send(number: int) -> None:
            nonlocal acked
            try:
                acked = max(acked, await world.replica.append(a, blocks[number]))
            except Unavailable:
                pass

        async def write() -> None:
            while acked < len(blocks):
                window = range(acked, min(acked + rng.randint(1, 12), len(blocks)))
                await asyncio.gather(*(send(number) for number in window))
                await asyncio.sleep(rng.random() * 0.01)

        async def disturb() -> None:
            while not is_done:
                await asyncio.sleep(rng.random() * 0.01)
                world.links.cut()
                world.links.is_refusing = rng.random() < 0.2
                world.links.is_silent = rng.random() < 0.05
                world.links.piece_bytes_max = rng.choice([10, 1_000, 100_000])

        disturbing = asyncio.ensure_future(disturb())
        await write()
        is_done = True
        await disturbing
        world.links.is_refusing = world.links.is_silent = False
        store = world.store
        b = Asker(LOG, a.birth, 2, NONCE_B)
        assert await store.promise(b) == [Tail(0, len(blocks), None)]
        assert await store.read(b, 0, 0, 1 << 20, recovering=True) == b"".join(blocks)

    with_world(main, seed=seed)
