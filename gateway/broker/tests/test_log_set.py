"""The logs of a process together: none pays for what lies on the others."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from pathlib import Path
from typing import NamedTuple

from gateway.broker.owned_log import OwnedLog
from gateway.broker.producer_state import ProducerMemory
from gateway.groups import GroupCoordinator
from gateway.groups.coordinators import group_hash
from gateway.groups.members import Identity
from gateway.groups.offsets import OffsetToCommit
from gateway.groups.tests.harness import FakeJournal
from gateway.groups.tests.harness import make as new_coordinator
from gateway.testing.scale.filling import Size
from gateway.testing.scale.measuring import measure
from gateway.tests.harness import World, batch_of, virtual
from wal_core import Budgets
from wal_core.stores.objects.memory import MemoryStore
from wal_core.types import Buffer

OURS, OTHERS = 2, 1  # logs
MUCH = 300  # partitions, and as many groups
_NONCE = re.compile("-[0-9a-f]{16}")  # in a key: whose it is


class MeteredStore(MemoryStore):
    """Counts the bytes that are read, by key."""

    def __init__(self) -> None:
        super().__init__()
        self.read_bytes: dict[str, int] = {}

    async def get_range(self, key: str, start: int, length: int | None) -> Buffer:
        body = await super().get_range(key, start, length)
        self.read_bytes[key] = self.read_bytes.get(key, 0) + len(body)
        return body


class Cost(NamedTuple):
    """Of one log beside another."""

    ends: list[dict[str, int]]  # objects that a segment's end made, and their bytes
    listed: list[str]
    read: dict[str, int]
    streams_count: int
    group_records_count: int
    remembered_bytes: int


async def with_logs(world: World, count: int) -> World:
    """A restart; what is created from now on goes to so many logs."""
    if world.gateway is not None:
        await world.stop()
    world.config = dataclasses.replace(world.config, logs_count=count)
    return await world.start()


async def fill(world: World, topic: str, partitions: int, groups: int, log_id: int | None) -> None:
    """Partitions with a producer's record each, and groups with a committed offset, on that log."""
    client = world.client()
    for index in range(partitions):
        batch = batch_of(b"x" * 20, producer_id=index, producer_epoch=0, base_sequence=0)
        assert (await client.produced(topic, batch, index=index)).error_code == 0
    gateway = world.gateway
    await gateway.broker.offsets_topic.ready()
    names = (f"{topic}-{number}" for number in range(100 * groups))
    chosen = [n for n in names if gateway.broker.offsets_topic.log_of(group_hash(n)) == log_id][
        :groups
    ]
    assert len(chosen) == groups
    for name in chosen:
        offset = OffsetToCommit(topic=topic, partition=0, offset=1, leader_epoch=1, metadata="")
        assert await gateway.groups.of(name).commit(name, Identity(""), -1, [offset]) == [0]


async def cost_beside(others_count: int) -> Cost:
    """What our log costs, whose contents are always the same, beside a log with so much."""
    world = World()
    store = MeteredStore()
    world.objects.inner = store
    await with_logs(world, 2)
    assert await world.client().create("ours", partitions=4) == [0]
    await fill(world, "ours", 4, 4, OURS)
    await with_logs(world, 1)
    if others_count:
        assert await world.client().create("theirs", partitions=others_count) == [0]
    await with_logs(world, 2)
    await fill(world, "theirs", others_count, others_count, OTHERS)
    # What the cost is compared with: the other log has what it is said to have.
    assert len(world.gateway.broker.logs[OTHERS].log.stream_ids()) >= others_count
    ends = [await end_of_segment(world, store) for _ in range(2)]
    await world.crash()
    return await opened_alone(world, store, ends)


async def end_of_segment(world: World, store: MeteredStore) -> dict[str, int]:
    (index, *_) = (p.index for p in world.gateway.broker.topics.partitions() if p.log_id == OURS)
    assert (await world.client().produced("ours", batch_of(b"x"), index=index)).error_code == 0
    await until_quiet(world)
    before = {*store.objects}
    world.gateway.broker.logs[OURS].log.complete_segment()
    await asyncio.sleep(1)
    await until_quiet(world)
    new = {key: len(body) for key, body in store.objects.items() if key not in before}
    made = {_NONCE.sub("", key): size for key, size in new.items()}
    assert made, "no segment ended"
    return made


async def until_quiet(world: World) -> None:
    """Logs compact in turn: nobody is in our log's way any more."""
    for owned in world.gateway.broker.logs:
        await owned.log.until_quiet()


async def opened_alone(world: World, store: MeteredStore, ends: list[dict[str, int]]) -> Cost:
    """As by a process that owns no other log."""
    gateway = world.gateway
    groups: GroupCoordinator = new_coordinator(FakeJournal(), start=False)
    broker = gateway.broker
    owned = OwnedLog(
        OURS, groups, ProducerMemory(), clock=broker._clock, steady=broker._steady, rng=broker._rng
    )
    config = dataclasses.replace(gateway.log_config, log_id=OURS)
    store.read_bytes.clear()
    calls_before = len(world.objects.calls)
    await owned.open(world.store, config, Budgets(config))
    calls = world.objects.calls[calls_before:]
    snapshot = groups.snapshot()
    cost = Cost(
        ends,
        [call.key for call in calls if call.operation == "list"],
        {_NONCE.sub("", key): size for key, size in store.read_bytes.items()},
        len(owned.log.stream_ids()),
        len(snapshot),
        sum(len(key) + len(value) for key, value in snapshot),
    )
    await owned.close()
    return cost


@virtual
async def test_nothing_that_a_log_costs_depends_on_what_the_others_hold() -> None:
    alone, beside = await cost_beside(0), await cost_beside(MUCH)
    assert beside == alone


@virtual
async def test_opening_a_log_reads_its_own_objects_alone() -> None:
    cost = await cost_beside(20)
    for key in (*cost.listed, *cost.read, *(key for end in cost.ends for key in end)):
        assert key.split("/")[1:2] == [str(OURS)], key


def test_the_measurement_at_scale_runs(tmp_path: Path) -> None:
    size = Size(2, 30, 30)
    for on_first in (False, True):
        folder = tmp_path / str(on_first)
        found = asyncio.run(measure(folder, "file", size, on_first=on_first))
        assert [one.log_id for one in found] == [1, 2]
        # Each log has a journal; with few groups their records are on one log or the other.
        assert sum(one.groups_count for one in found) == 30
        assert sum(one.streams_count for one in found) >= 30
        assert all(one.first.footer_bytes > 0 and one.opened_ms > 0 for one in found)
