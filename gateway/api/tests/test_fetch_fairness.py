"""No partition of a fetch starves, however its client names them, and no fetch keeps the loop."""

import asyncio
import itertools
import random  # noqa: TID251 - seeded
from typing import Any, cast

import pytest

from gateway.tests.harness import Client, batch_of, fetch_request, started, virtual
from protocol import ApiKey
from protocol.messages.metadata import MetadataRequest
from wal_core import Log
from wal_core.testing.sim_loop import SimLoop

BATCH_BYTES = 5_000
REQUESTS_COUNT = 80
ONE_BATCH, THREE_BATCHES = BATCH_BYTES + 200, 3 * BATCH_BYTES + 600


async def _filled(client: Client, partitions_count: int) -> None:
    await client.create("t", partitions=partitions_count)
    for index in range(partitions_count):
        await client.produced("t", batch_of(bytes(BATCH_BYTES)), index=index)


async def _served(client: Client, asked: list[int], bytes_max: int, **fields: Any) -> set[int]:
    """Which of the partitions had records in the reply."""
    offsets = {("t", index): 0 for index in asked}
    reply = await client.call(
        ApiKey.FETCH, 12, fetch_request(offsets, bytes_max=bytes_max, **fields)
    )
    return {p.partition_index for p in reply.responses[0].partitions if p.records}


def _asked(order: int | str, number: int, count: int, rng: random.Random) -> list[int]:
    everything = list(range(count))
    if isinstance(order, int):
        at = order * number % count
        return everything[at:] + everything[:at]
    rng.shuffle(everything)
    return everything if order == "shuffled" else everything[: rng.randint(1, count)]


ORDERS: tuple[int | str, ...] = (0, 1, -1, "subset", "shuffled")
PATTERNS = [
    (order, count, between, bytes_max, logs_count)
    for at, (order, count) in enumerate(itertools.product(ORDERS, range(2, 10)))
    for between in ((0, 1, 2, 3)[at % 4],)
    for bytes_max in ((ONE_BATCH, THREE_BATCHES, 1)[at % 3],)
    for logs_count in ((1, 3)[at % 2],)
]


@pytest.mark.parametrize(
    ("order", "partitions_count", "between", "bytes_max", "logs_count"), PATTERNS
)
def test_no_partition_waits_more_than_twice_its_turn(
    order: int | str, partitions_count: int, between: int, bytes_max: int, logs_count: int
) -> None:
    """`between`: requests of another kind before each fetch."""

    @virtual
    async def body() -> None:
        _, client = await started(logs_count=logs_count)
        await _filled(client, partitions_count)
        rng = random.Random(f"{order} {partitions_count}")
        turn = -(-partitions_count // (3 if bytes_max == THREE_BATCHES else 1))
        waited = dict.fromkeys(range(partitions_count), 0)
        for number in range(REQUESTS_COUNT):
            for _ in range(between):
                client.send(ApiKey.METADATA, 9, MetadataRequest(topics=[]))
            asked = _asked(order, number, partitions_count, rng)
            served = await _served(client, asked, bytes_max)
            assert served
            for index in asked:
                waited[index] = 0 if index in served else waited[index] + 1
                assert waited[index] < 2 * turn, f"partition {index}, request {number}"

    body()


@virtual
async def test_two_connections_have_turns_of_their_own() -> None:
    world, client = await started()
    await _filled(client, 3)
    for reader in (client, world.client()):
        assert [await _served(reader, [0, 1, 2], 1) for _ in range(4)] == [{0}, {1}, {2}, {0}]


@virtual
async def test_a_batch_too_large_for_what_is_left_is_first_in_the_next_reply() -> None:
    """Small ones behind it would otherwise pass it again and again."""
    _, client = await started()
    await client.create("t", partitions=3)
    for index, size in enumerate((3_000, 4_000, 10)):
        await client.produced("t", batch_of(bytes(size)), index=index)
    assert await _served(client, [0, 1, 2], 5_000) == {0}
    assert await _served(client, [0, 1, 2], 5_000) == {1, 2}


@virtual
async def test_a_reply_that_is_cut_is_not_waited_with() -> None:
    """There is more than fits: waiting for `min_bytes` brings nothing."""
    _, client = await started()
    await _filled(client, 2)
    assert len(await _served(client, [0, 1], ONE_BATCH, min_bytes=1 << 20, wait_ms=60_000)) == 1
    assert asyncio.get_running_loop().time() < 1


class _SlowTail:
    """Makes each look into the tail cost `seconds` of the loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.count = 0
        read_tail = Log.read_tail

        def slow(log: Log, *args: Any) -> Any:
            self.count += 1
            cast("SimLoop", asyncio.get_running_loop()).advance(seconds)
            return read_tail(log, *args)

        monkeypatch.setattr(Log, "read_tail", slow)


def test_a_fetch_lets_others_have_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    @virtual
    async def body() -> None:
        _, client = await started()
        await _filled(client, 50)
        tail = _SlowTail(monkeypatch, 0.004)
        seen = []

        async def other() -> None:
            while True:
                seen.append(tail.count)
                await asyncio.sleep(0)

        task = asyncio.ensure_future(other())
        await _served(client, list(range(50)), 1 << 26)
        task.cancel()
        steps = [b - a for a, b in itertools.pairwise(seen)]
        assert max(steps) <= 2

    body()


def test_a_crowd_of_fetches_lets_others_have_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them is quick: it is their number that takes long."""

    @virtual
    async def body() -> None:
        world, client = await started()
        await _filled(client, 1)
        tail = _SlowTail(monkeypatch, 0.001)
        crowd = [world.client() for _ in range(60)]
        fetches = [c.send(ApiKey.FETCH, 12, fetch_request({("t", 0): 0})) for c in crowd]
        counts = [0]
        while tail.count < len(crowd):
            await asyncio.sleep(0)
            counts.append(tail.count)
        await asyncio.gather(*fetches)
        assert max(b - a for a, b in itertools.pairwise(counts)) <= 5

    body()


def test_a_fetch_that_has_used_its_time_answers_with_what_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the next one begins where it ended."""

    @virtual
    async def body() -> None:
        _, client = await started()
        await _filled(client, 50)
        _SlowTail(monkeypatch, 0.004)
        served: set[int] = set()
        for _ in range(10):
            more = await _served(client, list(range(50)), 1 << 26)
            assert 0 < len(more) < 10
            assert not more & served
            served |= more
        assert served == set(range(50))

    body()


@virtual
async def test_storage_is_not_waited_for_beyond_the_time_of_the_client() -> None:
    world, client = await started(tail_cache_bytes=0, block_cache_bytes=0)
    await _filled(client, 20)
    client = await world.restart()
    world.objects.latency_s = 0.1
    began_s = asyncio.get_running_loop().time()
    served = await _served(client, list(range(20)), 1 << 26, wait_ms=500)
    assert 1 < len(served) < 20
    assert asyncio.get_running_loop().time() - began_s < 1
