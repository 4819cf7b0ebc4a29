"""Past a limit a connection is read no further: the sender slows down, and nothing is lost."""

import asyncio
import mmap
import random  # noqa: TID251 - seeded
import weakref

import pytest

from gateway.net.buffers import BlockPool
from gateway.net.connection import STALL_TIMEOUT_S
from gateway.net.frame_lanes import LAG_S_MAX, LOOP_TURN_BYTES_MAX
from gateway.net.hub import TRIM_INTERVAL_S
from gateway.net.request_line import HELD_BYTES_MAX, READS_AT_ONCE_MAX_COUNT
from gateway.tests.harness import (
    Client,
    batch_of,
    fetch_request,
    produce_request,
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
    assert sum(c.connection._reader.is_inside_large for c, _, _ in begun) == 6
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
    assert _ok(reply)
    world.assert_idle()


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
            assert not client._expected
            assert not client.transport.is_paused
        world.assert_idle()

    body()


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
