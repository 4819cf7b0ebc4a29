"""Memory for replies through a whole gateway whose clients do not read."""

import asyncio
from typing import Any

import pytest

from gateway.fairness.reply_budget import ReplyBudget
from gateway.fairness.reply_share import (
    PRESSED_S,
    SHARE_DIVISOR,
    WINDOW_BYTES_MIN,
    ReplyRoom,
    ReplyShare,
)
from gateway.tests.harness import Client, World, batch_of, fetch_request, started, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.fetch import FetchResponse
from protocol.messages.metadata import MetadataRequest

MIB = 1024 * 1024
LIMIT_BYTES = 4 * MIB
PARTITIONS_COUNT = 20


async def _world(batch_bytes: int) -> tuple[World, Client]:
    """Every partition holds one batch, which only storage has."""
    world, client = await started(
        reply_bytes_max=LIMIT_BYTES, tail_cache_bytes=0, block_cache_bytes=0
    )
    await client.create("t", partitions=PARTITIONS_COUNT)
    for index in range(PARTITIONS_COUNT):
        await client.produced("t", batch_of(bytes(batch_bytes)), index=index)
    return world, client


def _fetch(client: Client, **fields: Any) -> asyncio.Future[FetchResponse]:
    offsets = {("t", index): 0 for index in range(PARTITIONS_COUNT)}
    return client.send(ApiKey.FETCH, 12, fetch_request(offsets, wait_ms=500, **fields))


def _silent(world: World, count: int) -> list[Client]:
    """Clients that ask again and again and read nothing."""
    clients = [world.client() for _ in range(count)]
    for client in clients:
        client.transport.stall()
        for _ in range(4):
            _fetch(client)
    return clients


def _unsent_bytes(clients: list[Client]) -> int:
    return sum(len(client.transport.unsent) for client in clients)


async def _served_at_once(client: Client, **fields: Any) -> int:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    reply = await _fetch(client, **fields)
    assert loop.time() - began_s < 0.5
    return sum(len(p.records) for p in reply.responses[0].partitions)


@pytest.mark.parametrize("batch_bytes", [1_000, 100_000])
def test_what_nobody_reads_stays_within_the_budget(batch_bytes: int) -> None:
    @virtual
    async def body() -> None:
        world, client = await _world(batch_bytes)
        silent = _silent(world, 60)
        for _ in range(20):
            await asyncio.sleep(0.1)
            assert _unsent_bytes(silent) <= world.gateway.hub.replies.used_bytes <= LIMIT_BYTES
        for one in silent:
            one.transport.lose()
        await asyncio.sleep(1)
        world.assert_idle()
        await _served_at_once(client)

    body()


@virtual
async def test_those_who_read_are_served_beside_those_who_do_not() -> None:
    world, client = await _world(10_000)
    silent = _silent(world, 60)
    await asyncio.sleep(1)
    assert _unsent_bytes(silent) > LIMIT_BYTES / 2
    for _ in range(50):
        assert await _served_at_once(client) >= 10_000
    assert all(one.is_open for one in silent)


@virtual
async def test_a_batch_for_which_there_is_no_room_comes_when_others_have_been_let_go() -> None:
    world, client = await _world(700_000)
    await _served_at_once(client)  # it is known to read
    silent = _silent(world, 20)
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0.2)
    began_s = loop.time()
    reply = await _fetch(client)
    assert sum(len(p.records) for p in reply.responses[0].partitions) >= 700_000
    assert loop.time() - began_s < PRESSED_S + 2
    assert not all(one.is_open for one in silent)
    assert world.gateway.hub.replies.used_bytes <= LIMIT_BYTES


@virtual
async def test_a_batch_larger_than_the_whole_budget_comes_alone() -> None:
    world, client = await started(reply_bytes_max=MIB, tail_cache_bytes=0)
    await client.create("t")
    await client.produced("t", batch_of(bytes(3 * MIB)))
    readers = [world.client() for _ in range(3)]
    replies = [
        await one.call(ApiKey.FETCH, 12, fetch_request({("t", 0): 0}, wait_ms=100))
        for one in readers
    ]
    assert all(len(r.responses[0].partitions[0].records) > 3 * MIB for r in replies)
    world.assert_idle()


@virtual
async def test_what_is_too_little_to_answer_with_is_not_kept_meanwhile() -> None:
    world, client = await _world(1_000)
    fetch = _fetch(client, min_bytes=1 << 30)
    await asyncio.sleep(0.4)
    assert world.gateway.hub.replies.used_bytes == 0
    assert sum(len(p.records) for p in (await fetch).responses[0].partitions) > 1_000


@virtual
async def test_a_client_that_takes_its_replies_gets_larger_ones() -> None:
    world, client = await started(reply_bytes_max=64 * MIB)
    await client.create("t", partitions=PARTITIONS_COUNT)
    for index in range(PARTITIONS_COUNT):
        await client.produced("t", batch_of(bytes(400_000)), index=index)
    sizes = [await _served_at_once(client) for _ in range(4)]
    assert sizes[0] <= WINDOW_BYTES_MIN < sizes[1] <= 2 * WINDOW_BYTES_MIN < sizes[2]
    assert 64 * MIB // SHARE_DIVISOR >= sizes[3] > 6 * MIB
    await asyncio.sleep(0)
    world.assert_idle()


@virtual
async def test_only_who_asks_again_after_a_reply_has_read_it() -> None:
    """The system takes the replies of one that sends all its requests first."""
    world, client = await started(reply_bytes_max=64 * MIB)
    await client.create("t", partitions=PARTITIONS_COUNT)
    for index in range(PARTITIONS_COUNT):
        await client.produced("t", batch_of(bytes(400_000)), index=index)
    crowd = world.client()
    for reply in await asyncio.gather(*(_fetch(crowd) for _ in range(8))):
        assert sum(len(p.records) for p in reply.responses[0].partitions) <= WINDOW_BYTES_MIN


@virtual
async def test_other_large_replies_begin_while_there_is_room_and_are_refused_in_the_end() -> None:
    world, client = await started(reply_bytes_max=MIB, partitions_max_count=20_000)
    await client.create("wide", partitions=10_000)
    silent = [world.client() for _ in range(20)]
    for one in silent:
        one.transport.stall()
        one.send(ApiKey.METADATA, 9, MetadataRequest(topics=None))
    await asyncio.sleep(1)
    reply_bytes = len(silent[0].transport.unsent)
    assert reply_bytes > 100_000
    assert _unsent_bytes(silent) <= MIB + reply_bytes
    # Small replies never wait.
    assert (await client.produced("wide", batch_of(b"x"))).error_code == ErrorCode.NONE
    # Those who take nothing make room for those who do.
    assert (await client.call(ApiKey.METADATA, 9, MetadataRequest(topics=None))).topics
    assert asyncio.get_running_loop().time() < 10


def test_each_byte_is_given_back_once() -> None:
    budget = ReplyBudget(MIB)

    @virtual
    async def body() -> None:
        share = ReplyShare(budget, lambda: 10, lambda: None)
        for unsent_bytes in (0, 10):
            room = ReplyRoom(share)
            with room.reserved(500):
                assert budget.used_bytes == 500
                with room.reserved(300):
                    assert budget.used_bytes == 500
            room.done(200)
            assert (budget.used_bytes, share.owed_bytes) == (200, 200)
            room.sent(unsent_bytes)
            room.close()
            assert budget.used_bytes == (200 if unsent_bytes else 0)
        in_line, begun = ReplyRoom(share), ReplyRoom(share)
        in_line.done(50)
        begun.become(7)
        share.lost()  # with what was in the transport
        assert budget.used_bytes == 57
        in_line.close()
        begun.close()
        assert (budget.used_bytes, share.held_bytes, share.owed_bytes) == (0, 0, 0)

    body()
