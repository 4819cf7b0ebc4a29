"""What a connection leaves behind: nothing, and at once, for crowds come and go.

Counted by references alone, over real sockets: the garbage collector is off.
"""

import asyncio
import gc
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from gateway.fairness.reply_share import ReplyRoom, ReplyShare
from gateway.net.connection import Connection
from gateway.net.frame_lanes import IncomingFrame
from gateway.net.frame_reader import FrameReader
from gateway.net.pending_request import PendingRequest
from gateway.net.request_line import RequestLine
from gateway.net.sending import Sending
from gateway.tests.harness import World, batch_of, fetch_request, produce_request
from protocol import ApiKey, encode_request
from protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from protocol.messages.metadata import MetadataRequest

PARTS = (
    Connection,
    RequestLine,
    PendingRequest,
    FrameReader,
    IncomingFrame,
    ReplyShare,
    ReplyRoom,
    Sending,
)
CROWD_COUNT = 5


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _parts() -> list[object]:
    return [one for one in gc.get_objects() if isinstance(one, PARTS)]


def _counted(before: list[object]) -> dict[str, int]:
    return dict(Counter(type(one).__name__ for one in _parts() if one not in before))


def _request(key: ApiKey, version: int, message: Any) -> bytes:
    return b"".join(encode_request(key, version, 1, "c", message))


def _parked_fetch() -> bytes:
    return _request(ApiKey.FETCH, 12, fetch_request({("t", 0): 0}, wait_ms=60_000, min_bytes=10**6))


def _parked_join() -> bytes:
    protocol = JoinGroupRequestProtocol(name="p", metadata=b"m")
    join = JoinGroupRequest(
        group_id="g",
        session_timeout_ms=10_000,
        rebalance_timeout_ms=60_000,
        member_id="",
        protocol_type="consumer",
        protocols=[protocol],
    )
    return _request(ApiKey.JOIN_GROUP, 3, join)


def _produce() -> bytes:
    return _request(ApiKey.PRODUCE, 9, produce_request({("t", 0): batch_of(b"x")}))


def _metadata() -> bytes:
    return _request(ApiKey.METADATA, 9, MetadataRequest(topics=None))


WAYS_TO_GO = {
    "having been answered": (_metadata(), 1),
    "with a produce under way": (_metadata() + _produce(), 1),
    "while a fetch is parked": (_metadata() + _parked_fetch() + _metadata(), 1),
    "while a join is parked, and more behind it": (_metadata() + _parked_join() + _produce(), 1),
    "inside a small frame": (_metadata() + b"\0\0", 1),
    "inside a large frame": (_metadata() + struct.pack(">i", 200_000) + b"x" * 1_000, 1),
    "after a frame that is none": (_metadata() + b"\xff" * 20, 1),
    "after a header that is none": (_metadata() + struct.pack(">i", 3) + b"\0\3\0", 1),
}


async def _come_and_go(port: int, data: bytes, replies_count: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    for _ in range(replies_count):
        (length,) = struct.unpack(">i", await reader.readexactly(4))
        await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()


async def _left_behind(data: bytes, replies_count: int) -> dict[str, int]:
    before = _parts()  # of other tests
    world = await World(group_initial_rebalance_delay_ms=60_000).start()
    broker = world.gateway.broker
    await broker.creations.settled(broker.creations.create("t", 1))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(world.gateway.connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        await asyncio.gather(*(_come_and_go(port, data, replies_count) for _ in range(CROWD_COUNT)))
        hub = world.gateway.hub
        while hub.connections or hub.tasks:
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # the loop lets go of what it called last
        return _counted(before)
    finally:
        server.close()
        await world.stop()


@pytest.mark.parametrize("loop_of", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize(("data", "replies_count"), WAYS_TO_GO.values(), ids=WAYS_TO_GO)
def test_nothing_is_left_of_connections_that_are_gone(
    data: bytes, replies_count: int, loop_of: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    with asyncio.Runner(loop_factory=loop_of) as runner:
        assert runner.run(_left_behind(data, replies_count)) == {}
