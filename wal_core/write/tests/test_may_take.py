"""An opener that may not have the log after all leaves its writer in peace."""

from __future__ import annotations

import pytest

from wal_core import Fenced, Log, LogConfig, MemoryStore, SystemClock, open_store
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import CountingRng, Harness, Recorder


class Permission:
    """Given so many times; before each answer the log's writer may do something."""

    def __init__(self, times: int, writer: Harness | None = None) -> None:
        self.left = times
        self.asked_count = 0
        self._writer = writer

    async def ask(self) -> None:
        self.asked_count += 1
        self.left -= 1
        if self.left < 0:
            raise Fenced("another has what this one needs for it")
        if self._writer is not None:
            await self._writer.add(0, b"meanwhile")


async def take(objects: FaultyObjectStore, permission: Permission) -> Log:
    return await Log.open(
        await open_store("", "object", objects=objects),
        Recorder(),
        LogConfig.preset("object"),
        clock=SystemClock(),
        rng=CountingRng(),
        may_take=permission.ask,
    )


async def written(bucket: MemoryStore) -> Harness:
    writer = await Harness.open(await open_store("", "object", objects=bucket))
    await writer.add(0, b"before")
    return writer


@pytest.mark.parametrize("times", [0, 1])
def test_whoever_loses_the_permission_on_the_way_takes_nothing_and_asks_nobody_to_wait(times: int):
    async def main() -> None:
        bucket = MemoryStore()
        writer = await written(bucket)
        objects = FaultyObjectStore(bucket)
        permission = Permission(times, writer)
        with pytest.raises(Fenced, match="needs for it"):
            await take(objects, permission)
        # Where it was allowed, what the writer did meanwhile lies where the fence was to be.
        assert objects.count("create") == times
        assert not objects.count("create", "handover/")
        await writer.add(0, b"after")
        await writer.log.check_owner()

    run(main)


def test_whoever_has_the_permission_takes_the_log():
    async def main() -> None:
        bucket = MemoryStore()
        writer = await written(bucket)
        permission = Permission(1)
        log = await take(FaultyObjectStore(bucket), permission)
        assert permission.asked_count == 1
        with pytest.raises(Fenced):
            await writer.log.check_owner()
        await log.close()

    run(main)
