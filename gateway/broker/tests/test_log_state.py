"""Crashes: what was acknowledged before is there after, by checkpoint and by replay."""

import asyncio
import random  # noqa: TID251 - seeded
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from gateway.broker import state_keys
from gateway.broker.log_state import DataLogState, SavedStream
from gateway.tests.harness import Client, VirtualClock, World, batch_of, started, virtual
from protocol import ApiKey
from protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from wal_core import Corrupt
from wal_core.testing.faulty_object_store import Fault, Planned

SMALL_SEGMENTS = {"segment_bytes_max": 65_536, "block_bytes_max": 8_192}


class NoGroups:
    def replay(self, key: bytes, value: bytes | None, timestamp_ms: int) -> None: ...

    def watch(self, note: Callable[[bytes, int], None]) -> None: ...

    def values(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        return {}


def _picture(world: World) -> dict[str, Any]:
    """All that must not change by a crash."""
    broker = world.gateway.broker
    partitions = {}
    for partition in broker.topics.partitions():
        states = partition.producers
        partitions[partition.stream_id] = (
            SavedStream(list(partition.epochs), partition.deleted_below),
            # Not when they were last seen: of what is replayed that is now.
            {pid: (row[0], row[2]) for pid in states.ids() if (row := states.save(pid, 0))},
            partition.log_start_offset,
            partition.high_watermark,
        )
    return {
        "cluster": broker.cluster_id,
        "topics": {t.name: (t.id, t.configs, len(t.partitions)) for t in broker.topics},
        "next stream": dict(broker.topics.next_stream_ids),
        "partitions": partitions,
        "groups": sorted(pair for each in world.gateway.groups for pair in each.snapshot()),
    }


async def _work(world: World, rng: random.Random, rounds: int) -> None:
    """Everything a broker does, acknowledged before it returns."""
    client = world.client()
    broker = world.gateway.broker
    names = [f"t{n}" for n in range(5)]
    for _ in range(rounds):
        name, at = rng.choice(names), rng.random()
        topic = broker.topics.named(name)
        if topic is None:
            assert await client.create(name, partitions=rng.randrange(1, 4)) == [0]
        elif at < 0.04:
            await client.deleted_topics(name)
        elif at < 0.1:
            broker.new_producer_id()
        elif at < 0.12:
            configs = {"retention.bytes": str(rng.randrange(9))} if rng.random() < 0.7 else {}
            await broker.change_configs(topic, configs)
        elif at < 0.16:
            index = rng.randrange(len(topic.partitions))
            end = topic.partitions[index].high_watermark
            answer = await client.deleted(name, rng.randrange(end + 1), index=index)
            assert answer.error_code == 0
        elif at < 0.22:
            await _commit(client, f"g{rng.randrange(5)}", name, rng.randrange(100))
        else:
            index = rng.randrange(len(topic.partitions))
            times = [rng.randrange(10**6) for _ in range(rng.randrange(1, 4))]
            producer = {}
            if rng.random() < 0.6:
                pid = rng.randrange(4)
                known = topic.partitions[index].producers.save(pid, 0)
                due = known[2][-1][1] + 1 if known else 0
                producer = {"producer_id": pid, "producer_epoch": 0, "base_sequence": due}
            batch = batch_of(*[bytes(rng.randrange(3_000))] * len(times), times=times, **producer)
            assert (await client.produced(name, batch, index=index)).error_code == 0


async def _commit(client: Client, group_id: str, topic: str, offset: int) -> None:
    part = OffsetCommitRequestPartition(partition_index=0, committed_offset=offset)
    body = OffsetCommitRequest(
        group_id=group_id,
        generation_id_or_member_epoch=-1,
        topics=[OffsetCommitRequestTopic(name=topic, partitions=[part])],
    )
    reply = await client.call(ApiKey.OFFSET_COMMIT, 8, body)
    assert reply.topics[0].partitions[0].error_code == 0


@pytest.mark.parametrize("seed", range(8))
def test_the_state_after_a_crash_is_the_state_before(seed: int) -> None:
    @virtual
    async def body() -> None:
        rng = random.Random(seed)
        world = await World(**SMALL_SEGMENTS).start()
        for ending in ("crash", "stop", "crash", "crash"):
            await _work(world, rng, 60)
            before = _picture(world)
            await (world.crash() if ending == "crash" else world.stop())
            await world.start()
            after = _picture(world)
            assert after == before
        assert len(world.log._contents.chain.links) > 4  # it did roll

    body()


@pytest.mark.parametrize("seed", range(10))
def test_what_was_acknowledged_survives_a_crash_at_any_moment(seed: int) -> None:
    """With requests in flight, a slow store and rolls; and no offset is given twice."""

    @virtual
    async def body() -> None:
        rng = random.Random(seed)
        world, client = await started(**SMALL_SEGMENTS)
        await client.create("t", partitions=2)
        acked: dict[int, dict[int, bytes]] = {0: {}, 1: {}}

        async def produce(client: Any, index: int, value: bytes) -> None:
            answer = await client.produced("t", batch_of(value), index=index)
            if answer.error_code == 0:
                assert answer.base_offset not in acked[index]
                acked[index][answer.base_offset] = value

        for _ in range(4):
            world.objects.latency_s = lambda *_: rng.choice((0.0, 0.02, 0.1))
            tasks = []
            for n in range(80):
                value = b"%d-%d" % (n, rng.randrange(10**9)) + bytes(rng.randrange(4_000))
                tasks.append(asyncio.ensure_future(produce(client, rng.randrange(2), value)))
                if rng.random() < 0.2:
                    await asyncio.sleep(rng.random() * 0.05)
                if rng.random() < 0.05:
                    world.objects.plan.append(Planned("create", "", rng.choice(list(Fault))))
            await asyncio.sleep(rng.random() * 0.2)
            for task in tasks:
                task.cancel()
            world.objects.latency_s = 0.0
            world.objects.plan.clear()
            client = await world.restart()
            for index, expected in acked.items():
                values = await _read_all(client, index)
                for offset, value in expected.items():
                    assert values[offset] == value

    body()


async def _read_all(client: Any, index: int) -> list[bytes]:
    from protocol import iter_records, read_header

    values: list[bytes] = []
    while True:
        part = await client.fetched("t", len(values), index=index)
        raw, at = bytes(part.records), 0
        if not raw:
            assert part.high_watermark == len(values)
            return values
        while at < len(raw):
            size = read_header(raw, at).total_bytes
            for record in iter_records(raw[at : at + size]):
                assert record.offset == len(values)
                assert record.value is not None
                values.append(record.value)
            at += size


def _state() -> DataLogState:
    return DataLogState(1, NoGroups(), VirtualClock())


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        (b"?", b"", "newer release"),
        (b"", b"", "newer release"),
        (b"n" + bytes(8), b"x", "next stream id"),
        (b"t" + bytes(16), b"{}", "newer release"),
    ],
)
def test_what_cannot_be_read_is_refused(key: bytes, value: bytes, problem: str) -> None:
    with pytest.raises(Corrupt, match=problem):
        _state().restore(key, value)


def test_what_belongs_to_topics_that_are_gone_is_passed_over() -> None:
    state = _state()
    state.restore(state_keys.partition(4), b"whatever it says")
    state.restore(state_keys.producer(4, 9), b"whatever it says")
    state.restored()
    assert [*state.values([state_keys.partition(4)])] == [(state_keys.partition(4), None)]


@virtual
async def test_what_is_remembered_may_come_in_any_order() -> None:
    """Partitions before what opened them: that was written down again later."""
    values = {
        state_keys.partition(4): msgspec.msgpack.encode(SavedStream([(1, 0)], 7)),
        state_keys.producer(4, 9): msgspec.msgpack.encode((5, 1 << 50, [(0, 1, 0)])),
        state_keys.opened(4): msgspec.msgpack.encode((bytes(16), "t", 0, "records", 3)),
        state_keys.next_stream(1): state_keys.encode_stream_id(6),
    }
    for keys in (list(values), list(values)[::-1]):
        state = _state()
        for key in keys:
            state.restore(key, values[key])
        state.restored()
        assert dict(state.values(keys)) == values
