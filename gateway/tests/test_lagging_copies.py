"""A broker on what `recover` has made of a lagging copy of another one's bucket."""

from __future__ import annotations

import asyncio
import dataclasses
import random  # noqa: TID251 - seeded

import pytest

from gateway.cli.stream_names import StreamNames
from gateway.settings.log_settings import log_config
from gateway.tests.harness import (
    Client,
    CountingRng,
    VirtualClock,
    World,
    batch_of,
    run,
    virtual,
)
from protocol import ApiKey, iter_records
from protocol.messages.init_producer_id import InitProducerIdRequest
from wal_core import MemoryStore, check_log, cut_log
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.faulty_object_store import FaultyObjectStore

TOPICS = [f"t{number}" for number in range(6)]


async def filled(rng: random.Random) -> tuple[World, dict[str, list[bytes]]]:
    """Topics made one after the other, records in all that there are."""
    world = await World().start()
    client = world.client()
    sent: dict[str, list[bytes]] = {}
    for number in range(60):
        if number % 10 == 0:
            name = TOPICS[number // 10]
            assert await client.create(name) == [0]
            sent[name] = []
        name = rng.choice([*sent])
        value = b"%d" % number
        assert (await client.produced(name, batch_of(value))).error_code == 0
        sent[name].append(value)
        if number % 9 == 8:
            world.log.complete_segment()
        await asyncio.sleep(rng.random())
    await world.crash()
    return world, sent


async def fetched(client: Client, name: str) -> list[bytes | None]:
    """All records of a partition."""
    found: list[bytes | None] = []
    while True:
        part = await client.fetched(name, len(found))
        assert part.error_code == 0
        if part.high_watermark == len(found):
            return found
        data = memoryview(bytes(part.records))
        while data:
            size = 12 + int.from_bytes(data[8:12])
            found += [record.value for record in iter_records(data[:size])]
            data = data[size:]


async def recovered(copy: World) -> None:
    """What `recover` does."""
    for log_id in (1, 0):
        names = StreamNames(log_id)
        config = dataclasses.replace(log_config(copy.config, "object"), log_id=log_id)
        clock, own = VirtualClock(), CountingRng()
        await cut_log(copy.store, names.new(), config, clock=clock, rng=own, to_commit=True)
        report = await check_log(copy.store, config, own, new_state=names.new)
        report.findings += names.findings(report)
        assert report.sound, report.findings


async def producer_id(client: Client) -> int:
    reply = await client.call(ApiKey.INIT_PRODUCER_ID, 4, InitProducerIdRequest())
    assert reply.error_code == 0
    found: int = reply.producer_id
    return found


async def one_draw(seed: int) -> None:
    rng = random.Random(seed)
    source, sent = await filled(rng)
    bucket = source.objects.inner
    assert isinstance(bucket, MemoryStore)
    newest = [key for key in bucket.objects if key != "woodpecker.json"][-50:]
    await bucket.delete(*rng.sample(newest, rng.randint(0, len(newest))))
    copy = World()
    copy.objects = FaultyObjectStore(bucket)
    copy.store = source.store
    await recovered(copy)
    await copy.start()
    client = copy.client()
    for name, wanted in sent.items():
        if copy.gateway.broker.topics.named(name) is None:
            continue
        kept = await fetched(client, name)
        assert kept == wanted[: len(kept)]
        again = await client.produced(name, batch_of(b"again"))
        assert (again.error_code, again.base_offset) == (0, len(kept))
    assert await client.create("new") == [0]
    assert (await client.produced("new", batch_of(b"new"))).base_offset == 0
    await copy.stop()


@pytest.mark.parametrize("seed", range(8))
def test_a_broker_serves_a_prefix_of_each_partition_and_goes_on(seed: int) -> None:
    run(one_draw, seed)


@virtual
async def test_a_copy_gives_out_no_producer_id_that_its_source_gives_out_as_well() -> None:
    """Ids are made of terms. Those that the source takes after the copy was made are not in the
    copy, which would take them, too: two producers of one id, when their records come together
    again, are one that sends its sequence twice.
    """
    source, _ = await filled(random.Random(1))
    bucket = source.objects.inner
    assert isinstance(bucket, MemoryStore)
    copy = World()
    copied = MemoryStore()
    copied.objects.update(bucket.objects)
    copy.objects = FaultyObjectStore(copied)
    copy.store = ObjectSegmentStore(copy.objects)
    of_source = set()
    for _ in range(3):
        await source.start()
        of_source |= {await producer_id(source.client()) for _ in range(3)}
        await source.crash()
    await recovered(copy)
    of_copy = set()
    for _ in range(3):
        await copy.start()
        of_copy |= {await producer_id(copy.client()) for _ in range(3)}
        await copy.crash()
    assert (len(of_source), len(of_copy)) == (9, 9)
    assert not of_source & of_copy
