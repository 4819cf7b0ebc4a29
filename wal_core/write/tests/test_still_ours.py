"""Who writes nothing can ask whether the log was taken; who writes meanwhile is not misled."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from wal_core import Fenced, LogConfig, MemoryStore, open_store
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import Harness

CONFIG = dataclasses.replace(LogConfig.preset("object"), writes_per_s_max=0)


async def opened(bucket: MemoryStore, latency_s: float = 0.0) -> tuple[Harness, FaultyObjectStore]:
    objects = FaultyObjectStore(bucket, latency_s=latency_s)
    return await Harness.open(await open_store("", "object", objects=objects), CONFIG), objects


@pytest.mark.parametrize("written_count", [0, 1])
@pytest.mark.parametrize("is_ended", [False, True])
def test_what_was_taken_is_found_out_without_a_write(written_count: int, is_ended: bool):
    async def main() -> None:
        bucket = MemoryStore()
        ours, objects = await opened(bucket)
        for _ in range(written_count):
            await ours.add(0, b"x")
        if is_ended:
            ours.log.complete_segment()
            await asyncio.sleep(1)
        await ours.log.check_owner()
        theirs, _ = await opened(bucket)
        before = objects.count("create")
        for _ in range(2):
            with pytest.raises(Fenced):
                await ours.log.check_owner()
        assert ours.log.failed.done()
        assert objects.count("create") == before
        await theirs.log.check_owner()

    run(main)


def test_it_is_found_out_though_the_fence_was_sealed_and_deleted_long_ago():
    async def main() -> None:
        bucket = MemoryStore()
        ours, _ = await opened(bucket)
        theirs, _ = await opened(bucket)
        await theirs.add(0, b"x")
        for key in [key for key in bucket.objects if key.startswith("logs/")]:
            del bucket.objects[key]
        with pytest.raises(Fenced):
            await ours.log.check_owner()

    run(main)


def test_whoever_writes_and_ends_segments_meanwhile_finds_itself_the_owner():
    async def main() -> None:
        ours, _ = await opened(MemoryStore(), latency_s=0.02)
        for number in range(60):
            ours.add(0, b"%d" % number)
            if number % 7 == 0:
                ours.log.complete_segment()
            asking = asyncio.ensure_future(ours.log.check_owner())
            await asyncio.sleep(0.003 * (number % 11))
            ours.add(0, b"more")
            await asking

    run(main)


def test_asking_costs_three_requests():
    async def main() -> None:
        ours, objects = await opened(MemoryStore())
        before = len(objects.calls)
        await ours.log.check_owner()
        assert [call.operation for call in objects.calls[before:]] == ["size", "list", "get_range"]

    run(main)
