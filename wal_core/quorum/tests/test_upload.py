"""What two of three logstores have goes to the bucket seconds behind, and then leaves them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from wal_core import Fenced, Follower, LogConfig, Unavailable, check_log
from wal_core.copy import copy_log
from wal_core.quorum.tests.places import Place, copied
from wal_core.stores.objects.base import ObjectStore
from wal_core.stores.objects.memory import MemoryStore
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.seeds import stream
from wal_core.testing.sim_disk import Disk
from wal_core.testing.sim_loop import run
from wal_core.testing.sim_system import installed
from wal_core.tests.compaction_load import VirtualClock
from wal_core.tests.harness import CountingRng, Harness, Recorder
from wal_core.upkeep.garbage import UPLOADED_GRACE_MS

CONFIG = dataclasses.replace(LogConfig.preset("quorum"), retry_max_ms=500)
SEALED_S = CONFIG.segment_age_max_ms / 1000 + 1
GONE_S = UPLOADED_GRACE_MS / 1000 + 1


async def in_bucket(bucket: ObjectStore) -> Harness:
    """The log as the bucket alone has it."""
    return await Harness.open(ObjectSegmentStore(await copied(bucket)))


async def opened(place: Place, config: LogConfig = CONFIG) -> Harness:
    return await Harness.open(place.store(), config, clock=VirtualClock())


async def payloads_of(h: Harness) -> list[bytes]:
    return [payload for _, payload in await h.read_all(1)]


async def written(h: Harness, count: int, size: int = 1) -> list[bytes]:
    payloads = [b"%d" % number * size for number in range(count)]
    for payload in payloads:
        await h.add(1, payload)
    return payloads


def in_virtual_time(main: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    with installed(Disk(stream(1, "disk"))) as path:
        run(lambda: main(path("/data")))


def test_the_bucket_has_what_was_acknowledged_seconds_later() -> None:
    async def main(root: Any) -> None:
        place = Place(root)
        await place.start("A", "B", "C")
        h = await opened(place)
        payloads = await written(h, 5)
        await asyncio.sleep(SEALED_S)
        other = await in_bucket(place.bucket)
        assert await payloads_of(other) == payloads
        assert other.state.entries == h.state.entries  # with what rides on the log
        payloads += await written(h, 5)
        assert await payloads_of(await in_bucket(place.bucket)) == payloads[:5]
        await asyncio.sleep(SEALED_S)
        other = await in_bucket(place.bucket)
        assert await payloads_of(other) == payloads
        assert other.state.entries == h.state.entries
        await h.log.close()
        await place.close()

    in_virtual_time(main)


def test_whoever_has_nothing_but_the_bucket_reads_a_whole_log() -> None:
    async def main(root: Any) -> None:
        place = Place(root)
        await place.start("A", "B", "C")
        h = await opened(place)
        bucket = ObjectSegmentStore(place.bucket, mode="quorum")
        follower = Follower(bucket, Recorder, CONFIG, rng=CountingRng())
        await follower.catch_up()
        payloads = await written(h, 5)
        await asyncio.sleep(SEALED_S)
        await written(h, 3)  # which it does not have yet
        await follower.catch_up()
        assert follower.end_offset(1) == 5
        assert follower.state.entries == h.state.entries[:5]
        report = await check_log(bucket, CONFIG, CountingRng(), new_state=Recorder)
        assert report.findings == []
        target = ObjectSegmentStore(MemoryStore())
        await copy_log(bucket, target, CONFIG, CountingRng())
        copy = await Harness.open(target)
        assert await payloads_of(copy) == payloads
        assert copy.state.entries == h.state.entries[:5]
        await copy.log.close()
        await h.log.close()
        await place.close()

    in_virtual_time(main)


def test_whoever_follows_goes_on_behind_what_was_uploaded_meanwhile() -> None:
    """It happens to each segment seconds after its end: to begin anew would cost the whole log."""

    async def main(root: Any) -> None:
        place = Place(root)
        await place.start("A", "B", "C")
        h = await opened(place)
        await written(h, 3)
        follower = Follower(place.store(), Recorder, CONFIG, rng=CountingRng())
        await follower.catch_up()
        state = follower.state
        await asyncio.sleep(SEALED_S)
        assert h.log._contents.chain.links  # sealed, and in the bucket
        await written(h, 2)
        await asyncio.sleep(0.05)
        await follower.catch_up()
        assert follower.end_offset(1) == 5
        assert follower.state is state
        await h.log.close()
        await place.close()

    in_virtual_time(main)


def test_logstores_forget_what_the_bucket_has_and_nothing_else() -> None:
    async def main(root: Any) -> None:
        place = Place(root)
        bucket = place.bucket
        await place.start("A", "B", "C")
        h = await opened(place)
        payloads = await written(h, 5, 100)
        held = place.held_bytes()
        bucket.is_away = True
        await asyncio.sleep(SEALED_S + GONE_S)
        assert place.held_bytes() == held
        tally = h.log.tally()
        assert SEALED_S + GONE_S <= tally.upload_lag_s < SEALED_S + GONE_S + 1
        assert tally.upload_lag_bytes == min(held)
        payloads += await written(h, 5, 100)  # what is acknowledged does not wait for the bucket
        await asyncio.sleep(SEALED_S + GONE_S)
        bucket.is_away = False
        await asyncio.sleep(5)
        assert min(place.held_bytes()) > max(held)  # for readers that have begun
        await asyncio.sleep(SEALED_S + GONE_S)
        assert max(place.held_bytes()) == 0
        assert h.log.tally().upload_lag_s == 0
        assert await payloads_of(h) == payloads
        assert await payloads_of(await in_bucket(bucket)) == payloads
        await h.crash()
        again = await opened(place)
        assert await payloads_of(again) == payloads
        assert again.state.entries == h.state.entries
        await again.log.close()
        await place.close()

    in_virtual_time(main)


def test_a_log_that_nobody_writes_moves_away_from_disks_that_are_lost_one_after_the_other() -> None:
    """Else the second would take it down, though all of it is in the bucket."""

    async def main(root: Any) -> None:
        place = Place(root)
        await place.start("A", "B", "C")
        h = await opened(place)
        payloads = await written(h, 3)
        await asyncio.sleep(SEALED_S + GONE_S)
        for lost, new in ("AD", "BE", "CF"):
            await place.stop(lost)
            await asyncio.sleep(60)
            assert h.log.tally().logstores_away_count == 1  # nobody takes its place
            await place.start(new)
            await asyncio.sleep(SEALED_S + GONE_S)
            assert h.log.tally().logstores_away_count == 0
        assert max(place.held_bytes()) == 0
        segments_count = h.log.tally().segments_count
        await asyncio.sleep(600)
        assert h.log.tally().segments_count == segments_count  # that was all
        await h.crash()
        again = await opened(place)
        assert await payloads_of(again) == payloads
        payloads += await written(again, 2)
        await asyncio.sleep(SEALED_S + GONE_S)
        assert await payloads_of(await in_bucket(place.bucket)) == payloads
        bucket = ObjectSegmentStore(place.bucket, mode="quorum")
        report = await check_log(bucket, CONFIG, CountingRng(), new_state=Recorder)
        assert report.findings == []
        await again.log.close()
        await place.close()

    in_virtual_time(main)


def test_an_outage_is_bridged_until_logstores_are_full_and_then_ends_by_itself() -> None:
    # What is not finished must fit in there: else nothing would ever make room.
    config = dataclasses.replace(
        CONFIG, unconfirmed_bytes_max=20_000, block_bytes_max=1_000, segment_bytes_max=10_000
    )

    async def main(root: Any) -> None:
        place = Place(root, bytes_max=50_000)
        bucket = place.bucket
        await place.start("A", "B", "C")
        h = await opened(place, config)
        bucket.is_away = True
        adding: list[asyncio.Future[None]] = []
        payloads: list[bytes] = []
        with pytest.raises(Unavailable, match="already wait for the store"):
            while len(payloads) < 1_000:
                payload = b"%04d" % len(payloads) + bytes(500)
                if len(payloads) % 10 == 0:
                    await asyncio.sleep(1)
                base = h.log.end_offset(1)
                adding.append(h.log.append(1, base, 1, -1, payload))
                h.state.add((1, base, 1, -1, payload))
                payloads.append(payload)
        confirmed_count = h.log.confirmed_offset(1)
        assert confirmed_count > 60
        await asyncio.sleep(100)
        assert h.log.confirmed_offset(1) == confirmed_count
        assert max(place.held_bytes()) <= 50_000
        bucket.is_away = False
        async with asyncio.timeout(200):
            await asyncio.gather(*adding)
        assert await payloads_of(h) == payloads
        await asyncio.sleep(SEALED_S)
        assert await payloads_of(await in_bucket(bucket)) == payloads
        await h.log.close()
        await place.close()

    in_virtual_time(main)


def test_who_lost_the_log_uploads_and_trims_nothing_of_it() -> None:
    async def main(root: Any) -> None:
        place = Place(root)
        slow = FaultyObjectStore(place.bucket)
        await place.start("A", "B", "C")
        plain, place.bucket = place.bucket, slow
        old = await opened(place)
        place.bucket = plain
        payloads = await written(old, 5)
        # It goes on sealing for a while, and comes with its manifest when another has the log.
        slow.latency_s = lambda operation, key: 60.0 if key.startswith("sealed/") else 0.0
        await asyncio.sleep(SEALED_S)
        new = await opened(place)
        payloads += await written(new, 5)
        await asyncio.sleep(200)
        with pytest.raises(Fenced):
            await old.log.check_owner()
        payloads += await written(new, 5)
        assert await payloads_of(new) == payloads
        await asyncio.sleep(SEALED_S)
        assert await payloads_of(await in_bucket(plain)) == payloads
        await new.log.close()
        await old.log.close()
        await place.close()

    in_virtual_time(main)


def test_what_was_deleted_is_gone_once_the_bucket_knows_of_it() -> None:
    config = dataclasses.replace(CONFIG, dead_check_ms=100)

    async def main(root: Any) -> None:
        place = Place(root)
        await place.start("A", "B", "C")
        h = await opened(place, config)
        payloads = await written(h, 5)
        await asyncio.sleep(SEALED_S)
        kept = [row.key for row in await place.bucket.list("sealed/") if row.size_bytes > 400]
        await h.add(2, b"all of them are deleted")
        h.log.truncate(1, 5)
        await asyncio.sleep(SEALED_S / 2)
        assert await payloads_of(await in_bucket(place.bucket)) == payloads
        await asyncio.sleep(SEALED_S)
        assert await payloads_of(await in_bucket(place.bucket)) == []
        await asyncio.sleep(CONFIG.garbage_grace_ms / 1000 + 1)
        left = {row.key for row in await place.bucket.list("sealed/")}
        assert kept
        assert not left & {*kept}
        await h.log.close()
        await place.close()

    in_virtual_time(main)
