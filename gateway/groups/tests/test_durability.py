"""Groups over a real log: tiny segments, a slow store, crashes at any moment (I1, I5)."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from gateway.cluster.view import Node
from gateway.groups import GroupCoordinators
from gateway.groups.coordinator import OffsetToCommit
from gateway.groups.members import Identity
from gateway.groups.tests.harness import Client, VirtualClock, virtual
from gateway.server import Gateway, _Journal
from gateway.settings.config import Config
from gateway.tests.harness import CountingRng
from protocol.error_codes import ErrorCode as E
from wal_core import LogConfig, MemoryStore
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.sampled import sampled

GROUPS = [f"group-{n}" for n in range(5)]
PARTITIONS_COUNT = 3


async def start(objects: MemoryStore) -> Gateway:
    """A gateway on `objects`; an older one on them is fenced by it, as after a crash."""
    store = ObjectSegmentStore(FaultyObjectStore(objects, latency_s=0.03))
    gateway = Gateway(
        Config(data="memory:", group_initial_rebalance_delay_ms=0),
        store,
        Node(1, "broker.test", 9092),
        VirtualClock(),
        CountingRng(),
    )
    small = dataclasses.replace(
        LogConfig.preset("object"), segment_bytes_max=3_000, block_bytes_max=1_000
    )
    journal = _Journal(gateway.broker)
    await gateway.broker.open(store, small, lambda log_id: gateway.groups.add(log_id, journal))
    await gateway.broker.offsets_topic.ready()
    gateway.groups.start()
    return gateway


def snapshot(gateway: Gateway) -> dict[bytes, bytes]:
    return dict(pair for coordinator in gateway.groups for pair in coordinator.snapshot())


async def commit_for_ever(
    groups: GroupCoordinators, group: str, partition: int, first: int, acked: dict
) -> None:
    for offset in range(first, first + 10_000):
        wanted = OffsetToCommit(
            topic="t", partition=partition, offset=offset, leader_epoch=1, metadata="m" * 40
        )
        (code,) = await groups.of(group).commit(group, Identity(""), -1, [wanted])
        if code is E.NONE:
            acked[group, partition] = offset
        else:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("seed", sampled(range(8), quick_count=2))
@virtual
async def test_an_acknowledged_commit_survives_any_crash(seed):
    objects = MemoryStore()
    acked: dict[tuple[str, int], int] = {}
    gateway = await start(objects)
    for turn in range(6):
        member = Client(gateway.groups.of("members"), group="members", session_ms=1_000_000)
        await member.enter()
        tasks = [
            asyncio.ensure_future(
                commit_for_ever(gateway.groups, group, partition, turn * 100_000, acked)
            )
            for group in GROUPS
            for partition in range(PARTITIONS_COUNT)
        ]
        await asyncio.sleep(0.1 + (seed * 0.377 + turn * 0.731) % 2.9)  # any moment
        for task in tasks:
            task.cancel()
        at_crash = dict(acked)
        old, gateway = gateway, await start(objects)
        assert at_crash
        for (group, partition), offset in at_crash.items():
            (found,) = gateway.groups.of(group).fetch(group, [("t", partition)])[1].values()
            assert found is not None and found.offset >= offset, (group, partition)
        restored = gateway.groups.of("members")._groups["members"]
        assert restored.generation == member.generation
        assert member.member_id in restored.members
        member.coordinator = gateway.groups.of("members")
        assert member.heartbeat() is E.NONE
        assert member.leave() is E.NONE
        # The old process has lost the log: it may serve nobody any more.
        wanted = OffsetToCommit(topic="t", partition=0, offset=1, leader_epoch=1, metadata="")
        codes = await old.groups.of("late").commit("late", Identity(""), -1, [wanted])
        assert codes[0] in (E.NOT_COORDINATOR, E.COORDINATOR_NOT_AVAILABLE)
    await gateway.stop()


@virtual
async def test_a_graceful_restart_changes_nothing():
    objects = MemoryStore()
    gateway = await start(objects)
    clients = [
        Client(gateway.groups.of(f"g{n}"), group=f"g{n}", instance=f"i{n}", session_ms=600_000)
        for n in range(20)
    ]
    for client in clients:
        await client.enter()
        for offset in range(30):
            assert await client.commit(offset, partition=offset % 7) is E.NONE
    before = snapshot(gateway)
    await gateway.stop()
    assert snapshot(gateway) == before
    again = await start(objects)
    assert snapshot(again) == before
    for client in clients:
        client.coordinator = again.groups.of(client.group)
        assert client.heartbeat() is E.NONE
    await again.stop()
