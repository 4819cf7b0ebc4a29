"""The way to the controller: what is asked again, what is not, how much and how long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import pytest

from gateway.cluster.controller_line import (
    REQUESTS_MAX_COUNT,
    WAITING_MAX_COUNT,
    ControllerHere,
    ControllerLine,
    Wire,
    connect_tcp,
)
from gateway.cluster.view import CATALOG_LOG_ID, LogOwner, Node
from gateway.tests.cluster_world import Table, View
from gateway.tests.virtual import loop_ms, virtual
from protocol import (
    ApiKey,
    Buffer,
    decode_request,
    decode_request_header,
    encode_response,
)
from protocol.messages.delete_topics import (
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
)
from wal_core import Unavailable

KEY, VERSION = ApiKey.DELETE_TOPICS, 5
ME, OTHER = Node(1, "me.test", 9092), Node(2, "other.test", 9092)


def _answer(frame: bytes) -> bytes:
    header, at = decode_request_header(memoryview(frame))
    request = decode_request(header, memoryview(frame), at)
    assert isinstance(request, DeleteTopicsRequest)
    rows = [DeletableTopicResult(name=name) for name in request.topic_names]
    reply = DeleteTopicsResponse(responses=rows)
    return b"".join(encode_response(KEY, VERSION, header.correlation_id, reply))


class _Node:
    """The controller as the line sees it: what it was asked, and when it answers."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.open_count = self.most_count = 0
        self.answer: Callable[[bytes], bytes] = _answer
        self.delay_s = 1.0

    async def connect(self, node: Node) -> Wire:
        assert node == OTHER
        return _FakeWire(self)


class _FakeWire:
    def __init__(self, node: _Node) -> None:
        self.node = node
        node.open_count += 1
        node.most_count = max(node.most_count, node.open_count)

    def write(self, pieces: Iterable[Buffer]) -> None:
        self.node.asked.append(b"".join(pieces)[4:])

    async def read_frame(self) -> bytes:
        await asyncio.sleep(self.node.delay_s)
        return self.node.answer(self.node.asked[-1])[4:]

    def close(self) -> None:
        self.node.open_count -= 1


def _line(node: _Node) -> tuple[ControllerLine, Table]:
    table = Table()
    table.nodes = {1: ME, 2: OTHER}
    table.owners[CATALOG_LOG_ID] = LogOwner(2, 5)
    return ControllerLine(lambda: View(ME, table), node.connect), table


async def _ask(line: ControllerLine, name: str = "t", timeout_s: float = 10.0) -> list[str | None]:
    reply = await line.ask(KEY, VERSION, DeleteTopicsRequest(topic_names=[name]), timeout_s)
    return [row.name for row in reply.responses]


@virtual
async def test_a_request_is_answered_on_a_connection_that_is_closed_then() -> None:
    node = _Node()
    line, _ = _line(node)
    assert await _ask(line) == ["t"]
    assert node.open_count == 0


@virtual
async def test_what_nobody_has_seen_is_asked_again_until_the_time_is_up() -> None:
    node = _Node()
    line, table = _line(node)
    owner = table.owners.pop(CATALOG_LOG_ID)
    asking = asyncio.ensure_future(_ask(line))
    await asyncio.sleep(3)
    del table.nodes[2]
    table.owners[CATALOG_LOG_ID] = owner
    await asyncio.sleep(3)
    table.nodes[2] = OTHER
    table.owners[CATALOG_LOG_ID] = owner
    assert await asking == ["t"]
    assert loop_ms() == pytest.approx(7_000, abs=200)
    del table.nodes[2]
    with pytest.raises(TimeoutError):
        await _ask(line)
    assert loop_ms() == pytest.approx(17_000, abs=200)
    assert len(node.asked) == 1


@virtual
async def test_who_becomes_the_controller_meanwhile_is_told() -> None:
    line, table = _line(_Node())
    owner = table.owners.pop(CATALOG_LOG_ID)
    asking = asyncio.ensure_future(_ask(line))
    await asyncio.sleep(3)
    table.owners[CATALOG_LOG_ID] = owner._replace(node_id=1)
    with pytest.raises(ControllerHere):
        await asking


@pytest.mark.parametrize("error", [OSError(), EOFError()])
@virtual
async def test_what_may_have_been_done_is_not_asked_again(error: Exception) -> None:
    node = _Node()

    def broken(frame: bytes) -> bytes:
        raise error

    node.answer = broken
    line, _ = _line(node)
    with pytest.raises(TimeoutError, match="node 2"):
        await _ask(line)
    assert len(node.asked) == 1
    assert node.open_count == 0


@virtual
async def test_who_waits_too_long_lets_go_of_the_connection() -> None:
    node = _Node()
    node.delay_s = 3_600.0
    line, _ = _line(node)
    with pytest.raises(TimeoutError):
        await _ask(line)
    assert loop_ms() == pytest.approx(10_000, abs=10)
    assert (len(node.asked), node.open_count) == (1, 0)


@virtual
async def test_few_are_asked_at_once_few_more_wait_and_the_rest_come_again() -> None:
    node = _Node()
    line, _ = _line(node)
    asking = [asyncio.ensure_future(_ask(line, timeout_s=100)) for _ in range(WAITING_MAX_COUNT)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await _ask(line)
    await asyncio.gather(*asking)
    assert node.most_count == REQUESTS_MAX_COUNT
    assert await _ask(line) == ["t"]


def test_over_a_socket() -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            length = int.from_bytes(await reader.readexactly(4), "big")
            frame = await reader.readexactly(length)
            if b"gone" not in frame:
                writer.write(b"\x7f" * 4 if b"huge" in frame else _answer(frame))
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        line, table = _line(_Node())
        line.connect = connect_tcp
        table.nodes[2] = Node(2, "127.0.0.1", port)
        assert await _ask(line) == ["t"]
        for name in ("gone", "huge"):
            with pytest.raises(TimeoutError):
                await _ask(line, name)
        server.close()
        await server.wait_closed()
        with pytest.raises(TimeoutError):
            await _ask(line, timeout_s=0.3)

    asyncio.run(main())
