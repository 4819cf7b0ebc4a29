"""What a connection may have under way, how long it may idle, and what it leaves behind."""

import asyncio
import mmap
import weakref

import pytest

from gateway.net.buffers import BlockPool
from gateway.net.hub import TRIM_INTERVAL_S
from gateway.net.request_line import HELD_BYTES_MAX, READS_AT_ONCE_MAX_COUNT
from gateway.tests.harness import (
    batch_of,
    fetch_request,
    started,
    virtual,
)
from protocol import ApiKey
from protocol.messages.metadata import MetadataRequest, MetadataRequestTopic

KIB = 1024
SMALL = {
    "message_bytes_max": 64 * KIB,
    "request_bytes_max": 128 * KIB,
    "connection_buffered_bytes_max": 256 * KIB,
    "buffered_bytes_max": 256 * KIB,
}


@virtual
async def test_what_is_done_but_behind_a_parked_fetch_holds_no_room() -> None:
    """Or a few clients could keep all others from producing for the length of their long poll."""
    world, client = await started(**SMALL)
    await client.create("t")
    client.send(ApiKey.FETCH, 12, fetch_request({("t", 0): 0}, wait_ms=60_000, min_bytes=1 << 30))
    replies = [client.produce("t", batch_of(b"x" * 60 * KIB)) for _ in range(40)]
    assert (await world.client().produced("t", batch_of(b"x" * 60 * KIB))).error_code == 0
    assert asyncio.get_running_loop().time() < 1
    await asyncio.gather(*replies)
    await asyncio.sleep(0)
    world.assert_idle()


@virtual
async def test_few_fetches_of_a_connection_run_beside_each_other() -> None:
    """A thousand parked ones would each hold a reply of any size once they are woken."""
    world, client = await started()
    await client.create("t")
    began_s = asyncio.get_running_loop().time()
    asked = fetch_request({("t", 0): 0}, wait_ms=1_000)
    fetches = [client.send(ApiKey.FETCH, 12, asked) for _ in range(6)]
    await asyncio.sleep(0.5)
    assert len(world.gateway.hub.tasks) == READS_AT_ONCE_MAX_COUNT
    await asyncio.gather(*fetches)
    took_s = asyncio.get_running_loop().time() - began_s
    assert took_s == pytest.approx(6 / READS_AT_ONCE_MAX_COUNT)
    world.assert_idle()


@virtual
async def test_replies_that_wait_for_an_earlier_one_are_bounded() -> None:
    world, client = await started(partitions_max_count=20_000)
    await client.create("wide", partitions=15_000)
    await client.create("t")
    client.send(ApiKey.FETCH, 12, fetch_request({("t", 0): 0}, wait_ms=60_000))
    everything = MetadataRequest(topics=[MetadataRequestTopic(name="wide")])
    last = [client.send(ApiKey.METADATA, 9, everything) for _ in range(40)][-1]
    await asyncio.sleep(1)
    held = client.connection._line.held_bytes
    assert HELD_BYTES_MAX <= held < HELD_BYTES_MAX + (1 << 20)
    await last
    assert client.connection._line.held_bytes == 0
    await asyncio.sleep(0)
    world.assert_idle()


# --- a peer that makes no progress ---------------------------------------------------------------


@virtual
async def test_an_idle_connection_is_closed_after_a_while() -> None:
    """Kafka's connections.max.idle.ms; it begins anew with each request and with its answer."""
    world, client = await started()
    silent = world.client()
    await asyncio.sleep(599)
    assert silent.is_open
    assert await client.create("t") == [0]
    await asyncio.sleep(2)
    assert silent.transport.lost
    assert client.is_open
    await asyncio.sleep(599)
    assert client.transport.lost
    assert not world.gateway.hub.connections
    world.assert_idle()


@virtual
async def test_a_connection_with_a_request_under_way_is_not_idle() -> None:
    world, client = await started(connections_max_idle_ms=1_000)
    await client.create("t")
    asked = fetch_request({("t", 0): 0}, wait_ms=10_000)
    fetch = client.send(ApiKey.FETCH, 12, asked)
    await asyncio.sleep(10.5)
    assert fetch.done()
    assert client.is_open
    await asyncio.sleep(1)
    assert client.transport.lost
    world.assert_idle()


@virtual
async def test_who_does_not_take_the_last_reply_is_idle_too() -> None:
    world, client = await started()
    await client.create("t")
    client.transport.stall()
    client.produce("t", batch_of(b"x"))
    await asyncio.sleep(601)
    assert client.transport.lost
    world.assert_idle()


@virtual
async def test_idle_connections_live_for_ever_where_that_is_set() -> None:
    world, client = await started(connections_max_idle_ms=0)
    await asyncio.sleep(86_400)
    assert await client.create("t") == [0]
    await asyncio.sleep(0)
    world.assert_idle()


@virtual
async def test_a_frame_that_will_never_be_whole_is_freed_with_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At once: a crowd of them holds more than the garbage collector knows of."""
    blocks: list[weakref.ref[mmap.mmap]] = []
    take = BlockPool.take

    def watched(pool: BlockPool, size_bytes: int) -> mmap.mmap:
        block = take(pool, size_bytes)
        blocks.append(weakref.ref(block))
        return block

    monkeypatch.setattr(BlockPool, "take", watched)
    world, _ = await started(tail_cache_bytes=0)
    world.gateway.hub.pool._kept_bytes_max = 0
    client = world.client()
    client.transport.send((50 << 20).to_bytes(4, "big") + bytes(1 << 20))
    assert [block() is None for block in blocks] == [False]
    client.transport.close()
    await asyncio.sleep(0)
    assert [block() is None for block in blocks] == [True]


@virtual
async def test_memory_of_large_frames_is_given_back_when_their_senders_have_gone() -> None:
    world, first = await started(tail_cache_bytes=0)
    await first.create("t")
    senders = [world.client() for _ in range(5)]
    for client in senders:
        await client.produced("t", batch_of(bytes(1 << 20)))
    pool = world.gateway.hub.pool
    assert pool._kept_bytes
    for client in senders:
        client.transport.close()
    await asyncio.sleep(3 * TRIM_INTERVAL_S)
    assert pool._kept_bytes == 0
