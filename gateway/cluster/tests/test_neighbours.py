"""Nodes that look after each other, and what they must not take for the end of one."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Collection

import pytest

from gateway.cluster.coordination.records import NodeRecord
from gateway.cluster.coordination.static import StaticStore
from gateway.cluster.neighbours import LATER_S, WATCHED_COUNT, Line, Neighbours, connect_tcp
from gateway.cluster.tests.fleet import ROOT, TTL_S, Bucket, OneNode, shared_out
from gateway.tests.virtual import until, virtual


class Hosts:
    """Addresses, and what becomes of connections to them."""

    def __init__(self) -> None:
        self.refusing: set[str] = set()
        self.silent: set[str] = set()
        self.unreachable: set[str] = set()
        self.lines: dict[str, list[FakeLine]] = {}
        self.tries: dict[str, int] = {}

    async def connect(self, node: NodeRecord) -> Line:
        return await self.line_to(node.host)

    async def line_to(self, host: str) -> Line:
        self.tries[host] = self.tries.get(host, 0) + 1
        if host in self.silent:
            await asyncio.sleep(1_000)
        await asyncio.sleep(0.01)
        if host in self.unreachable:
            raise OSError(errno.EHOSTUNREACH, "no route")
        if host in self.refusing:
            raise ConnectionRefusedError
        line = FakeLine(self, host)
        self.lines.setdefault(host, []).append(line)
        return line

    def close(self, host: str) -> None:
        """All that are open, by the other side."""
        for line in self.lines.pop(host, []):
            line.ended.set()

    def kill(self, host: str) -> None:
        self.refusing.add(host)
        self.close(host)


class FakeLine:
    def __init__(self, hosts: Hosts, host: str) -> None:
        self._hosts = hosts
        self._host = host
        self.ended = asyncio.Event()

    async def until_closed(self) -> None:
        await self.ended.wait()

    async def again(self) -> Line:
        return await self._hosts.line_to(self._host)

    def close(self) -> None:
        self.ended.set()


class Fleet:
    """Nodes that look after each other; node n is at host n<n>."""

    def __init__(self, count: int, logs_count: int = 7) -> None:
        self.bucket, self.store, self.hosts = Bucket(logs_count), StaticStore(), Hosts()
        self.nodes = [OneNode(self.bucket, self.store, number + 1) for number in range(count)]
        self.watching = [self.watch(node) for node in self.nodes]

    def watch(self, node: OneNode) -> Neighbours:
        member = node.member
        beside = Neighbours(node.node_id, member.nodes, member.end, self.hosts.connect)
        member.view.watch(beside.look)
        return beside

    async def ready(self) -> None:
        await until(lambda: shared_out(self.bucket, *self.nodes))
        await asyncio.sleep(2 * LATER_S)

    async def end(self) -> None:
        for beside in self.watching:
            await beside.stop()
        for node in self.nodes:
            await node.member.stop()

    async def seen_gone_s(self, node: OneNode) -> float:
        """How long until the others do not know it any more."""
        others = [other for other in self.nodes if other is not node]

        def is_gone() -> bool:
            return all(other.member.view.node(node.node_id) is None for other in others)

        return await until(is_gone)


async def registrations(store: StaticStore) -> dict[str, int]:
    """Of each node's record the revision."""
    keys = (await store.read(f"{ROOT}nodes/")).keys
    return {pair.key: pair.changed_revision for pair in keys}


@virtual
async def test_a_process_that_was_killed_is_replaced_within_a_second() -> None:
    fleet = Fleet(3)
    await fleet.ready()
    dead, *others = fleet.nodes
    await fleet.watching[0].stop()
    await dead.die()
    fleet.hosts.kill("n1")
    assert await until(lambda: shared_out(fleet.bucket, *others)) < 1
    assert len(fleet.bucket.openings) == len(fleet.bucket.logs) + len(dead.terms)
    await fleet.end()


@pytest.mark.parametrize("how", ["silent", "unreachable"])
@virtual
async def test_who_stands_still_or_cannot_be_reached_keeps_its_logs_until_its_lease_ends(
    how: str,
) -> None:
    fleet = Fleet(2)
    await fleet.ready()
    gone = fleet.nodes[1]
    await fleet.watching[1].stop()
    await gone.die()
    getattr(fleet.hosts, how).add("n2")
    fleet.hosts.close("n2")
    assert await fleet.seen_gone_s(gone) > TTL_S / 2
    await fleet.end()


@virtual
async def test_a_connection_that_was_closed_and_can_be_made_again_says_nothing() -> None:
    fleet = Fleet(2)
    await fleet.ready()
    terms = dict(fleet.bucket.terms)
    for _ in range(5):
        fleet.hosts.close("n2")
        await asyncio.sleep(3)
    assert fleet.bucket.terms == terms
    assert fleet.hosts.tries["n2"] >= 6
    await fleet.end()


@virtual
async def test_being_refused_once_says_nothing() -> None:
    fleet = Fleet(2)
    await fleet.ready()
    terms = dict(fleet.bucket.terms)
    fleet.hosts.kill("n2")
    await asyncio.sleep(0.05)
    fleet.hosts.refusing.clear()
    await asyncio.sleep(30)
    assert fleet.bucket.terms == terms
    await fleet.end()


@virtual
async def test_who_was_never_reached_is_not_taken_for_gone_however_often_it_refuses() -> None:
    fleet = Fleet(2)
    fleet.hosts.refusing.add("n2")
    await fleet.ready()
    terms = dict(fleet.bucket.terms)
    await asyncio.sleep(60)
    assert fleet.bucket.terms == terms
    assert fleet.hosts.tries["n2"] > 10
    await fleet.end()


@virtual
async def test_a_node_taken_for_gone_is_unsure_at_once_and_registers_again() -> None:
    fleet = Fleet(2)
    await fleet.ready()
    alive = fleet.nodes[1]
    fleet.hosts.kill("n2")  # as a wall between the two that answers for the node
    await until(lambda: not alive.member.has_lease, 1)
    fleet.hosts.refusing.clear()
    await until(lambda: alive.member.has_lease, 1)
    await until(lambda: shared_out(fleet.bucket, *fleet.nodes), 60)
    for log, writer in fleet.bucket.writers.items():
        assert log in writer.terms, "who was fenced has let go of it"
    await fleet.end()


@virtual
async def test_the_record_of_a_later_start_stays() -> None:
    fleet = Fleet(2)
    await fleet.ready()
    dead = fleet.nodes[1]
    (old,) = [node for node in fleet.nodes[0].member.nodes() if node.node_id == 2]
    await fleet.watching[1].stop()
    await dead.die()
    again = fleet.nodes[1] = OneNode(fleet.bucket, fleet.store, 2)
    await until(lambda: again.member.has_lease)
    await asyncio.sleep(1)  # all have seen it
    registered = await registrations(fleet.store)
    await fleet.nodes[0].member.end(old)
    await asyncio.sleep(1)
    assert await registrations(fleet.store) == registered
    await fleet.end()


@virtual
async def test_who_hands_over_as_it_stops_is_left_to_end_in_order() -> None:
    fleet = Fleet(2)
    await fleet.ready()
    leaver = fleet.nodes[1]
    leaver.open_s = fleet.nodes[0].open_s = 3  # so that it lasts
    leaving = asyncio.ensure_future(leaver.member.leave(20))
    await asyncio.sleep(0.3)
    fleet.hosts.kill("n2")
    await asyncio.sleep(1.5)
    assert leaver.member.has_lease
    await leaving
    await fleet.end()


@virtual
async def test_a_node_looks_after_those_behind_it_and_no_more() -> None:
    asked: list[int] = []
    lines = Hosts()

    async def connect(node: NodeRecord) -> Line:
        asked.append(node.node_id)
        return await lines.connect(node)

    async def end(node: NodeRecord) -> None:
        raise AssertionError(node)

    records: Collection[NodeRecord] = [NodeRecord(n, "i", f"n{n}", 9092) for n in range(10)]
    beside = Neighbours(8, lambda: records, end, connect)
    beside.look()
    await asyncio.sleep(1)
    assert asked == [9, 0, 1]
    assert len(asked) == WATCHED_COUNT
    await beside.stop()
    beside.look()
    await asyncio.sleep(1)
    assert len(asked) == WATCHED_COUNT


async def _told_over_sockets() -> None:
    accepted: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        await reader.read()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    line = await connect_tcp(NodeRecord(1, "i", "127.0.0.1", port))
    while not accepted:
        await asyncio.sleep(0)
    server.close()
    accepted[0].close()
    await asyncio.wait_for(line.until_closed(), 10)
    line.close()
    with pytest.raises(ConnectionRefusedError):
        await line.again()


def test_the_system_tells_of_a_server_that_has_ended() -> None:
    asyncio.run(_told_over_sockets())
