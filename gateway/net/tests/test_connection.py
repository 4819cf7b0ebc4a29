"""Order of requests and replies on one connection, and how a connection ends."""

import asyncio
import random  # noqa: TID251 - seeded

import pytest

from gateway.tests.harness import (
    Client,
    batch_of,
    fetch_request,
    loop_ms,
    produce_request,
    started,
    virtual,
)
from protocol import ApiKey, ErrorCode
from protocol.messages.api_versions import ApiVersionsRequest
from protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest
from protocol.messages.metadata import MetadataRequest, MetadataRequestTopic

UNKNOWN_API = b"\x00\x00\x00\x0a\x03\xe7\x00\x00\x00\x00\x00\x63\xff\xff"  # key 999, id 99


def _metadata(*names: str) -> MetadataRequest:
    return MetadataRequest(topics=[MetadataRequestTopic(name=n) for n in names])


# --- order ---------------------------------------------------------------------------------------


@virtual
async def test_a_slow_fetch_holds_back_the_reply_of_a_fast_request() -> None:
    _, client = await started()
    await client.create("t")
    began_ms = loop_ms()
    fetch = client.send(ApiKey.FETCH, 12, fetch_request({("t", 0): 0}, wait_ms=500))
    metadata = client.send(ApiKey.METADATA, 9, _metadata("t"))
    await metadata
    assert fetch.done()
    assert loop_ms() - began_ms == pytest.approx(500)
    assert [r.correlation_id for r in client.replies] == [1, 2, 3]


@virtual
async def test_a_produce_behind_a_parked_fetch_is_appended_and_wakes_it() -> None:
    world, client = await started()
    await client.create("t")
    began_ms = loop_ms()
    fetch = client.send(ApiKey.FETCH, 12, fetch_request({("t", 0): 0}, wait_ms=60_000))
    produce = client.produce("t", batch_of(b"x"))
    found = (await fetch).responses[0].partitions[0]
    assert (found.high_watermark, found.error_code) == (1, 0)
    assert (await produce).responses[0].partition_responses[0].base_offset == 0
    assert loop_ms() - began_ms < 50
    await asyncio.sleep(0)
    world.assert_idle()


@virtual
async def test_what_is_not_pipelined_holds_back_what_follows() -> None:
    """A client may create a topic and produce to it without waiting in between."""
    world, client = await started()
    world.objects.latency_s = 0.2
    create = CreateTopicsRequest(
        topics=[CreatableTopic(name="new", num_partitions=1, replication_factor=1)],
        timeout_ms=9_000,
    )
    created = client.send(ApiKey.CREATE_TOPICS, 7, create)
    produced = client.produce("new", batch_of(b"x"))
    began_ms = loop_ms()
    assert (await created).topics[0].error_code == 0
    assert (await produced).responses[0].partition_responses[0].error_code == 0
    assert loop_ms() - began_ms == pytest.approx(400)


@virtual
async def test_appends_happen_in_order_of_arrival_within_and_across_requests() -> None:
    _, client = await started()
    await client.create("t")
    replies = [client.produce("t", batch_of(*[b"x"] * n)) for n in range(1, 30)]
    answers = [r.responses[0].partition_responses[0] for r in await asyncio.gather(*replies)]
    assert [a.base_offset for a in answers] == [n * (n - 1) // 2 for n in range(1, 30)]


@virtual
async def test_acks_0_is_not_answered() -> None:
    world, client = await started()
    await client.create("t")
    world.objects.latency_s = 0.2
    client.transport.send(_unanswered(client, "t"))
    names = await client.call(ApiKey.METADATA, 9, _metadata("t"))
    assert names.topics[0].name == "t"
    await asyncio.sleep(1)
    assert (await client.fetched("t", 0)).high_watermark == 1
    world.assert_idle()


def _unanswered(client: Client, topic: str, timeout_ms: int = 30_000) -> bytes:
    request = produce_request({(topic, 0): batch_of(b"x")}, acks=0, timeout_ms=timeout_ms)
    return client.prepare(ApiKey.PRODUCE, 9, request)[0]


@virtual
async def test_a_failed_produce_with_acks_0_closes_the_connection() -> None:
    """As Kafka: the client then asks for metadata again."""
    world, client = await started()
    client.transport.send(_unanswered(client, "missing"))
    await asyncio.sleep(0.1)
    assert client.transport.lost
    world.assert_idle()


@virtual
async def test_acks_0_survives_a_store_slower_than_the_requests_timeout() -> None:
    """The batch was taken: a hiccup of the store is nothing the client could act on (I10)."""
    world, client = await started()
    await client.create("t")
    world.objects.latency_s = 5.0
    client.transport.send(_unanswered(client, "t", timeout_ms=100))
    await asyncio.sleep(20)
    assert client.is_open
    assert (await client.fetched("t", 0)).high_watermark == 1


def _script(client: Client, rng: random.Random, topics: list[str]) -> None:
    """One random request."""
    topic = rng.choice(topics)
    match rng.randrange(6):
        case 0:
            client.send(ApiKey.METADATA, 9, _metadata(topic))
        case 1:
            offsets = {(topic, 0): rng.randrange(3)}
            wait_ms = rng.choice((0, 5, 50, 300))
            client.send(ApiKey.FETCH, 12, fetch_request(offsets, wait_ms=wait_ms))
        case 2:
            client.transport.send(_unanswered(client, topic))
        case _:
            client.produce(topic, batch_of(*[b"v" * rng.randrange(100)] * rng.randrange(1, 4)))


@pytest.mark.parametrize("seed", range(15))
def test_replies_leave_in_order_whatever_takes_how_long(seed: int) -> None:
    @virtual
    async def body() -> None:
        rng = random.Random(seed)
        world, first = await started()
        topics = [f"t{n}" for n in range(4)]
        await first.create(*topics)
        world.objects.latency_s = lambda *_: rng.choice((0.0, 0.001, 0.05, 0.2))
        clients = [world.client() for _ in range(3)]
        for client in clients:
            client.transport.chunk_bytes = rng.choice((1, 7, 100, 1 << 20))
        for _ in range(120):
            _script(rng.choice(clients), rng, topics)
            if rng.random() < 0.3:
                await asyncio.sleep(rng.choice((0, 0.001, 0.03)))
        await asyncio.sleep(60)
        for client in clients:
            assert client.is_open
            assert not client.is_waiting
        world.assert_idle()

    body()


# --- ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_disconnects_at_any_moment_leave_nothing_behind(seed: int) -> None:
    @virtual
    async def body() -> None:
        rng = random.Random(seed)
        world, keeper = await started()
        topics = [f"t{n}" for n in range(3)]
        await keeper.create(*topics)
        world.objects.latency_s = lambda *_: rng.choice((0.0, 0.01, 0.2))
        for _ in range(12):
            client = world.client()
            client.transport.chunk_bytes = rng.choice((13, 40, 1 << 20))
            if rng.random() < 0.3:
                client.transport.stall()
            for _ in range(rng.randrange(12)):
                _script(client, rng, topics)
                if rng.random() < 0.3:
                    await asyncio.sleep(rng.choice((0, 0, 0.005)))
            if rng.random() < 0.5:  # in the middle of a frame
                frame = _unanswered(client, topics[0]) + bytes(rng.choice((0, 60_000)))
                client.transport.send(frame[: rng.randrange(1, len(frame))])
            if rng.random() < 0.5:
                await asyncio.sleep(rng.choice((0, 0.005, 0.1)))
            client.transport.abort() if rng.random() < 0.5 else client.transport.lose()
        await asyncio.sleep(400)
        world.assert_idle()
        assert list(world.gateway.hub.connections) == [keeper.connection]
        for topic in topics:
            # Dense and readable, whatever was cut off.
            assert (await keeper.fetched(topic, 0)).error_code == 0

    body()


@virtual
async def test_what_was_received_whole_is_written_though_the_client_has_gone() -> None:
    """Also when it stands behind a request that dies with the connection."""
    world, keeper = await started()
    await keeper.create("t")
    client = world.client()
    client.send(ApiKey.METADATA, 9, _metadata("t"))
    for _ in range(3):
        client.transport.send(_unanswered(client, "t"))
    client.transport.lose()  # before any of them took its first step
    await asyncio.sleep(1)
    assert (await keeper.fetched("t", 0)).high_watermark == 3
    world.assert_idle()


@virtual
async def test_requests_before_one_that_closes_the_connection_are_answered() -> None:
    world, client = await started()
    await client.create("t")
    world.objects.latency_s = 0.2
    produced = client.produce("t", batch_of(b"x"))
    client.transport.send(UNKNOWN_API)
    await asyncio.sleep(1)
    assert produced.done()
    assert produced.result().responses[0].partition_responses[0].error_code == 0
    assert client.transport.lost
    world.assert_idle()


@virtual
async def test_nothing_behind_a_request_that_closes_is_answered() -> None:
    world, client = await started()
    await client.create("t")
    fetch = client.send(ApiKey.FETCH, 12, fetch_request({("t", 0): 0}, wait_ms=300))
    client.transport.send(UNKNOWN_API)
    late = client.send(ApiKey.METADATA, 9, _metadata("t"))
    await asyncio.sleep(1)
    assert fetch.done()
    assert not late.done()
    assert client.transport.lost
    world.assert_idle()


@virtual
async def test_an_unknown_version_of_api_versions_is_answered_in_version_0() -> None:
    """KIP-511: error 35, the range of ApiVersions itself, connection kept."""
    _, client = await started()
    for version in (6, 99, -1):
        frame = bytearray(client.prepare(ApiKey.API_VERSIONS, 0, ApiVersionsRequest())[0])
        frame[6:8] = version.to_bytes(2, "big", signed=True)
        client.transport.send(frame)
        await asyncio.sleep(0.01)
        reply = client.replies[-1].body
        assert reply.error_code == ErrorCode.UNSUPPORTED_VERSION
        own = [(k.min_version, k.max_version) for k in reply.api_keys if k.api_key == 18]
        assert own == [(0, 5)]
    assert client.is_open


@pytest.mark.parametrize(
    "frame",
    [
        UNKNOWN_API,
        b"\x00\x00\x00\x0a\x00\x03\x00\x63\x00\x00\x00\x63\xff\xff",  # Metadata version 99
        b"\x7f\xff\xff\xff",  # a length no request has
        b"\x80\x00\x00\x00",
        b"\x00\x00\x00\x00",  # no header
        b"\x00\x00\x00\x05\x00\x03\x00\x01\x00",  # half a header
        b"\x00\x00\x00\x0e\x00\x03\x00\x01\x00\x00\x00\x63\xff\xff\x7f\xff\xff\xff",  # array
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_cannot_be_parsed_closes_only_its_own_connection(frame: bytes) -> None:
    @virtual
    async def body() -> None:
        world, other = await started()
        client = world.client()
        client.transport.send(frame)
        await asyncio.sleep(0.1)
        assert client.transport.lost
        assert await other.create("t") == [0]
        world.assert_idle()

    body()


@virtual
async def test_a_connection_too_many_is_refused_and_harms_none() -> None:
    world, first = await started(connections_max_count=2)
    second, third = world.client(), world.client()
    await asyncio.sleep(0)
    assert third.transport.lost
    assert await first.create("t") == [0]
    assert await second.create("u") == [0]
    second.transport.lose()
    assert await world.client().create("v") == [0]
    world.assert_idle()
