"""The end of a run: nothing fails any more, everything is read, and read again after restarts."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

from gateway.testing.sim.checks import check_history
from gateway.testing.sim.client import Client, Disconnected
from gateway.testing.sim.consumers import FinalLog, FinalReader
from gateway.testing.sim.group_admin import FinalGroups, check_short_groups
from gateway.testing.sim.history import Partition
from gateway.testing.sim.members import committed
from gateway.testing.sim.short_lived import FinalTopics, check_short_lived
from wal_core.fsck import check_log, stored_log_ids
from wal_core.fsck.findings import HARMLESS
from wal_core.testing.seeds import SeededRng
from wal_core.testing.sim_process import Process

if TYPE_CHECKING:
    from gateway.testing.sim.world import World

GRACE_MS = 8 * 86_400_000  # longer than any in wal_core.LogConfig
POLL_S = 0.1
ROUNDS_MAX_COUNT = 10

FinalLogs = dict[Partition, FinalLog]


async def judge(world: World) -> None:
    """Every promise that can be judged by what is left. The caller bounds the time."""
    final = await _read_all(world, "final1")
    check_history(world.history, final, world.trace)
    offsets = await _committed(world, "group1")
    short_lived: FinalTopics = {}
    short_groups: FinalGroups = {}
    await check_short_lived(world, "short1", short_lived)
    await check_short_groups(world, "groups1", short_groups)
    await world.restart()
    _compare(world, final, await _read_all(world, "final2"), "a restart")
    if await _committed(world, "group2") != offsets:
        world.trace.violation("I5 the store is the truth", f"{offsets} committed, then restarted")
    await check_short_lived(world, "short2", short_lived)
    await check_short_groups(world, "groups2", short_groups)
    await _collect_garbage(world)
    _compare(world, final, await _read_all(world, "final3"), "all garbage was deleted")
    await check_short_lived(world, "short3", short_lived)
    await check_short_groups(world, "groups3", short_groups)
    await _check_store(world)


async def _read_all(world: World, name: str) -> FinalLogs:
    return await FinalReader(world, name).read_all(world.plan.partitions)


async def _committed(world: World, name: str) -> dict[Partition, int]:
    """What the group has committed."""
    client = Client(world, name)
    while world.plan.members_count:
        try:
            found = await committed(client, world.plan.partitions)
        except Disconnected:
            continue
        if found is not None:
            return found
        await client.pause()
    return {}


def _compare(world: World, first: FinalLogs, second: FinalLogs, after: str) -> None:
    for partition, log in first.items():
        if second[partition] != log:
            world.trace.violation(
                "I5 the store is the truth", f"{partition} is another after {after}"
            )


async def _collect_garbage(world: World) -> None:
    """Let every grace pass, again and again, until nothing is left to be done."""
    await world.restart()
    while not world.served_logs():  # noqa: ASYNC110 - it belongs to another process
        await asyncio.sleep(POLL_S)
    logs = world.served_logs()
    for _ in range(ROUNDS_MAX_COUNT):
        await asyncio.sleep(POLL_S)
        for _, log in logs:
            await log.until_quiet()
        if not any(log._maintenance.manifest.garbage for _, log in logs):
            return
        world.set_clock(GRACE_MS)
        for node, log in logs:
            node.process.call(log._maintenance.poke)
    world.trace.violation("I9 garbage goes", f"not in {ROUNDS_MAX_COUNT} times {GRACE_MS} ms")


async def _check_store(world: World) -> None:
    """What is stored is exactly what the newest manifest and footers name (I9), and whole."""
    for node in world.nodes:
        node.kill()
    process = Process(world.loop, "fsck")
    rng = SeededRng(world.plan.seed, "fsck")
    store = await world.storage.look(process, rng)
    findings = []
    for log_id in await stored_log_ids(store, world.log_config, rng):
        config = dataclasses.replace(world.log_config, log_id=log_id)
        findings += (await check_log(store, config, rng)).findings
    await store.close()
    for finding in findings:
        if finding.kind not in HARMLESS:
            world.trace.violation(
                "I9 what is stored is what is named",
                f"{finding.kind.value} {finding.place}: {finding.text}",
            )
