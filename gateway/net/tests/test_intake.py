"""Past a limit a connection is read no further: the sender slows down, and nothing is lost."""

import asyncio
import random  # noqa: TID251 - seeded

import pytest

from gateway.net.frame_lanes import LAG_S_MAX, LOOP_TURN_BYTES_MAX
from gateway.net.stall_watch import STALL_TIMEOUT_S
from gateway.tests.harness import (
    Client,
    batch_of,
    fetch_request,
    produce_request,
    started,
    virtual,
)
from protocol import ApiKey

KIB = 1024
SMALL = {
    "message_bytes_max": 64 * KIB,
    "request_bytes_max": 128 * KIB,
    "connection_buffered_bytes_max": 256 * KIB,
    "buffered_bytes_max": 256 * KIB,
}


def _ok(reply: asyncio.Future) -> bool:
    return reply.result().responses[0].partition_responses[0].error_code == 0


@virtual
async def test_requests_in_flight_are_limited_per_connection() -> None:
    world, client = await started(connection_requests_in_flight_max_count=3)
    await client.create("t")
    world.objects.latency_s = 0.2
    client.transport.chunk_bytes = 50
    replies = [client.produce("t", batch_of(b"x" * 40)) for _ in range(20)]
    await asyncio.sleep(0.1)
    assert client.transport.is_paused
    # One read may bring several small requests; here each brings less than one.
    assert len(client.connection._line) == 3
    await asyncio.gather(*replies)
    assert all(map(_ok, replies))
    assert not client.transport.is_paused
    world.assert_idle()


@virtual
async def test_buffered_bytes_are_limited_per_connection() -> None:
    world, client = await started(**SMALL | {"buffered_bytes_max": 1024 * KIB})
    await client.create("t")
    world.objects.latency_s = 0.2
    replies = [client.produce("t", batch_of(b"x" * 60 * KIB)) for _ in range(20)]
    await asyncio.sleep(0.1)
    assert client.transport.is_paused
    assert 256 * KIB <= client.connection._line.buffered_bytes <= 256 * KIB + 61 * KIB
    await asyncio.gather(*replies)
    assert all(map(_ok, replies))
    world.assert_idle()


@virtual
async def test_buffered_bytes_are_limited_over_all_connections() -> None:
    world, first = await started(**SMALL)
    await first.create("t")
    world.objects.latency_s = 0.2
    clients = [world.client() for _ in range(6)]
    replies = [c.produce("t", batch_of(b"x" * 60 * KIB)) for c in clients for _ in range(3)]
    await asyncio.sleep(0.1)
    assert any(c.transport.is_paused for c in clients)
    # The read that crosses the limit, the rest of one frame, and a little of every connection.
    assert 256 * KIB < world.gateway.hub.budget.used_bytes < (256 + 2 * 61 + 6 * 4) * KIB
    await asyncio.gather(*replies)
    assert all(map(_ok, replies))
    assert not any(c.transport.is_paused for c in clients)
    world.assert_idle()


@virtual
async def test_frames_begun_are_finished_one_after_another() -> None:
    """Begun while there was room, they hold memory, and each needs more to give it back."""
    world, first = await started(**SMALL)
    await first.create("t")
    world.objects.latency_s = 0.2
    body = produce_request({("t", 0): batch_of(b"large" * 10 * KIB)})
    begun = []
    for client in [world.client() for _ in range(6)]:
        frame, reply = client.prepare(ApiKey.PRODUCE, 9, body)
        client.transport.send(frame[: 40 * KIB])
        begun.append((client, frame[40 * KIB :], reply))
    hoggers = [first.produce("t", batch_of(b"h" * 60 * KIB)) for _ in range(2)]
    hub = world.gateway.hub
    assert hub.budget.is_exceeded
    for client, rest, _ in begun:
        client.transport.send(rest)
    # The hogger crossed the limit inside its frame: it is its turn until its batch is durable.
    assert sum(c.connection._intake.is_inside_large for c, _, _ in begun) == 6
    assert hub.frames.used_bytes < (64 + 61 + 6 * 4) * KIB
    assert hub.budget.used_bytes < (256 + 2 * 61 + 6 * 4) * KIB
    replies = [reply for _, _, reply in begun]
    await asyncio.gather(*hoggers, *replies)
    assert all(map(_ok, replies))
    world.assert_idle()


@virtual
async def test_frames_that_are_never_finished_do_not_keep_the_memory() -> None:
    """They are let go one after another for as long as somebody waits for their memory."""
    world, first = await started(**SMALL)
    await first.create("t")
    silent = [world.client() for _ in range(4)]
    for client in silent:
        client.transport.send((100 * KIB).to_bytes(4, "big") + bytes(80 * KIB))
    reply = first.produce("t", batch_of(b"x" * 60 * KIB))
    await reply
    assert _ok(reply)
    assert asyncio.get_running_loop().time() < 10 * LAG_S_MAX
    await asyncio.sleep(STALL_TIMEOUT_S + 1)
    assert all(c.transport.is_closing() for c in silent)
    world.assert_idle()


@virtual
async def test_unfinished_frames_leave_what_others_need() -> None:
    """Sixty announce 4 MiB and send 200 KiB, more than there is: who finishes is not kept waiting,
    whatever its size, and who announces as much waits for a few seconds.
    """
    limits = {
        "request_bytes_max": 4096 * KIB,
        "connection_buffered_bytes_max": 8192 * KIB,
        "buffered_bytes_max": 8192 * KIB,
        "message_bytes_max": 3000 * KIB,
    }
    world, first = await started(**limits)
    await first.create("t")
    for client in [world.client() for _ in range(60)]:
        client.transport.send((4096 * KIB).to_bytes(4, "big") + bytes(200 * KIB))
    assert world.gateway.hub.frames.used_bytes < 8192 * KIB // 2
    loop = asyncio.get_running_loop()
    for size in (10, 100 * KIB, 1000 * KIB):
        assert (await first.produced("t", batch_of(bytes(size)))).error_code == 0
    assert loop.time() < 0.1
    large = world.client()
    assert (await large.produced("t", batch_of(bytes(2000 * KIB)))).error_code == 0
    assert loop.time() < 10 * LAG_S_MAX
    await asyncio.sleep(2 * STALL_TIMEOUT_S)
    await asyncio.sleep(0)
    assert list(world.gateway.hub.connections) == [first.connection, large.connection]
    world.assert_idle()


@virtual
async def test_large_frames_are_read_a_slice_in_each_turn_of_the_loop() -> None:
    world, client = await started(message_bytes_max=4 * LOOP_TURN_BYTES_MAX)
    await client.create("t", configs={"max.message.bytes": str(4 * LOOP_TURN_BYTES_MAX)})
    clients = [client, world.client(), world.client()]
    replies = []
    for one in clients:
        one.transport.chunk_bytes = LOOP_TURN_BYTES_MAX // 4
        replies.append(one.produce("t", batch_of(bytes(2 * LOOP_TURN_BYTES_MAX))))
    taken_bytes = [2 * LOOP_TURN_BYTES_MAX - len(one.transport.inbox) for one in clients]
    assert taken_bytes[0] <= LOOP_TURN_BYTES_MAX + 64 * KIB
    assert sum(taken_bytes[1:]) < LOOP_TURN_BYTES_MAX // 8
    await asyncio.gather(*replies)
    assert all(map(_ok, replies))
    assert not any(one.transport.is_paused for one in clients)
    world.assert_idle()


@virtual
async def test_a_large_frame_is_not_starved_by_those_that_fit() -> None:
    """Whoever asks for room later waits behind it."""
    world, first = await started(**SMALL | {"message_bytes_max": 128 * KIB})
    await first.create("t")
    world.objects.latency_s = 0.2
    clients = [world.client() for _ in range(6)]
    large = world.client()
    sent: list[asyncio.Future] = []

    async def keep_busy(client: Client) -> None:
        for _ in range(30):
            sent.append(client.produce("t", batch_of(b"x" * 40 * KIB)))
            await sent[-1]

    busy = [asyncio.ensure_future(keep_busy(c)) for c in clients]
    await asyncio.sleep(0.05)
    reply = large.produce("t", batch_of(b"x" * 120 * KIB))
    await reply
    done_count = sum(r.done() for r in sent)
    await asyncio.gather(*busy)
    assert _ok(reply)
    assert done_count < len(sent) / 2
    world.assert_idle()


@virtual
async def test_a_client_that_does_not_read_is_not_read() -> None:
    world, client = await started()
    await client.create("t")
    await client.produced("t", batch_of(b"x" * (1 << 19)))
    client.transport.stall()
    fetches = [
        client.send(ApiKey.FETCH, 12, fetch_request({("t", 0): 0}, partition_bytes_max=1 << 20))
        for _ in range(40)
    ]
    produces = [client.produce("t", batch_of(b"y")) for _ in range(5)]
    await asyncio.sleep(1)
    assert client.transport.is_paused
    assert len(client.transport.unsent) <= 1 << 20
    assert not any(r.done() for r in fetches)
    client.transport.take()
    await asyncio.gather(*fetches, *produces)
    assert not client.transport.is_paused
    world.assert_idle()


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_lost_and_nobody_is_stuck_under_random_pressure(seed: int) -> None:
    @virtual
    async def body() -> None:
        rng = random.Random(seed)
        world, first = await started(**SMALL, connection_requests_in_flight_max_count=5)
        await first.create("t")
        world.objects.latency_s = lambda *_: rng.choice((0.0, 0.01, 0.1))
        clients = [world.client() for _ in range(5)]
        for client in clients:
            client.transport.chunk_bytes = rng.choice((997, 10_000, 1 << 20))
        replies = []
        for _ in range(80):
            client = rng.choice(clients)
            size = rng.choice((10, 5_000, 32_000, 33_000, 60_000))
            if rng.random() < 0.7:
                replies.append(client.produce("t", batch_of(bytes(size))))
            else:
                asked = fetch_request({("t", 0): 0}, wait_ms=100, bytes_max=1 << 17)
                client.send(ApiKey.FETCH, 12, asked)
            if rng.random() < 0.1:
                client.transport.stall()
            if rng.random() < 0.3:
                await asyncio.sleep(rng.choice((0, 0.01, 0.1)))
                rng.choice(clients).transport.take()
        for client in clients:
            client.transport.take()
        await asyncio.sleep(60)
        assert all(map(_ok, replies))
        for client in clients:
            assert not client.is_waiting
            assert not client.transport.is_paused
        world.assert_idle()

    body()
