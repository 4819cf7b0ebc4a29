"""Who neither takes replies nor finishes a frame is let go, and who is only slow is not."""

import asyncio

import pytest

from gateway.net.stall_watch import STALL_TIMEOUT_S
from gateway.tests.harness import (
    batch_of,
    fetch_request,
    produce_request,
    started,
    virtual,
)
from protocol import ApiKey
from protocol.messages.metadata import MetadataRequest

KIB = 1024
SMALL = {
    "message_bytes_max": 64 * KIB,
    "request_bytes_max": 128 * KIB,
    "connection_buffered_bytes_max": 256 * KIB,
    "buffered_bytes_max": 256 * KIB,
}


@virtual
async def test_a_slow_frame_that_comes_steadily_has_its_time() -> None:
    """Where nobody wants its memory; a flat deadline would end each large frame of a slow link."""
    world, client = await started()
    await client.create("t")
    frame, reply = client.prepare(
        ApiKey.PRODUCE, 9, produce_request({("t", 0): batch_of(bytes(9 << 20))})
    )
    for at in range(0, len(frame), 40 * KIB):
        client.transport.send(frame[at : at + 40 * KIB])
        await asyncio.sleep(1)
    assert asyncio.get_running_loop().time() > 1.5 * STALL_TIMEOUT_S
    await reply
    assert reply.result().responses[0].partition_responses[0].error_code == 0
    world.assert_idle()


@pytest.mark.parametrize("cut", [1, 3, 4, 30, 20_000, 70_000])
def test_half_a_frame_is_not_waited_for_for_ever(cut: int) -> None:
    @virtual
    async def body() -> None:
        world, client = await started()
        await client.create("t")
        frame = client.prepare(ApiKey.METADATA, 9, MetadataRequest())[0] + bytes(80_000)
        frame = (len(frame) - 4).to_bytes(4, "big") + frame[4:]
        client.transport.send(frame[:cut])
        await asyncio.sleep(STALL_TIMEOUT_S - 1)
        assert client.is_open
        await asyncio.sleep(2)
        assert client.transport.lost
        world.assert_idle()

    body()


@virtual
async def test_a_slow_client_that_reads_is_kept_and_one_that_does_not_is_let_go() -> None:
    world, client = await started()
    await client.create("t")
    await client.produced("t", batch_of(b"x" * (4 << 20)))
    client.transport.stall()
    asked = fetch_request({("t", 0): 0}, partition_bytes_max=8 << 20)
    reply = client.send(ApiKey.FETCH, 12, asked)
    for _ in range(20):
        await asyncio.sleep(STALL_TIMEOUT_S / 2)
        client.transport.take(10_000)
    assert client.is_open
    assert not reply.done()
    await asyncio.sleep(2 * STALL_TIMEOUT_S + 1)
    assert client.transport.lost
    world.assert_idle()


@virtual
async def test_the_time_to_read_replies_begins_when_they_pause() -> None:
    """Not when the last frame began, which may be nearly two minutes before."""
    world, client = await started()
    await client.create("t")
    await client.produced("t", batch_of(b"x" * (4 << 20)))
    client.transport.stall()
    world.objects.latency_s = STALL_TIMEOUT_S - 10
    asked = fetch_request({("t", 0): 0}, partition_bytes_max=8 << 20)
    produced = client.produce("t", batch_of(b"y"))
    reply = client.send(ApiKey.FETCH, 12, asked)  # its reply waits behind that of the produce
    client.transport.send(b"\x00\x00")  # the next frame begins
    await asyncio.sleep(STALL_TIMEOUT_S - 5)  # the replies came 5 s ago
    assert client.transport.writing_paused
    await asyncio.sleep(20)
    assert client.is_open
    client.transport.take()
    await asyncio.gather(produced, reply)
    assert not client.transport.is_paused


@virtual
async def test_our_own_slowness_is_not_held_against_the_sender() -> None:
    world, first = await started(**SMALL, store_timeout_ms=600_000)
    await first.create("t")
    world.objects.latency_s = 300.0
    replies = [first.produce("t", batch_of(b"h" * 60 * KIB), timeout_ms=300_000) for _ in range(5)]
    other = world.client()
    late = other.produce("t", batch_of(b"x" * 60 * KIB), timeout_ms=300_000)
    await asyncio.sleep(2 * STALL_TIMEOUT_S)
    assert first.is_open
    assert other.is_open
    world.objects.latency_s = 0.0
    await asyncio.gather(*replies, late)
    world.assert_idle()
