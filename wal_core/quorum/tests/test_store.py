"""A whole log on three logstores: written, left, taken over, sealed and trimmed."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from wal_core import Fenced, LogConfig, Unavailable
from wal_core.quorum.tests.places import Place
from wal_core.testing.seeds import stream
from wal_core.testing.sim_disk import Disk
from wal_core.testing.sim_loop import run
from wal_core.testing.sim_system import installed
from wal_core.tests.harness import Harness

QUORUM = LogConfig.preset("quorum")
SHORT = dataclasses.replace(
    QUORUM, segment_blocks_max=3, seal_segments_min_count=2, garbage_grace_ms=1
)
KEPT = dataclasses.replace(SHORT, garbage_grace_ms=1_000_000_000)  # on the logstores


async def written(h: Harness, count: int) -> list[bytes]:
    payloads = [b"%d" % number for number in range(count)]
    for payload in payloads:
        await h.add(1, payload)
    return payloads


async def test_what_was_acknowledged_is_there_after_a_crash(tmp_path: Path):
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    h = await Harness.open(place.store())
    payloads = await written(h, 10)
    await h.crash()
    again = await Harness.open(place.store())
    assert again.log.term == h.log.term + 1
    assert [payload for _, payload in await again.read_all(1)] == payloads
    await again.add(1, b"more")
    await again.log.close()
    third = await Harness.open(place.store())
    assert [payload for _, payload in await third.read_all(1)] == [*payloads, b"more"]
    await third.log.close()
    await place.close()


async def test_two_of_three_are_enough_and_one_is_not(tmp_path: Path):
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    h = await Harness.open(place.store())
    payloads = await written(h, 3)
    await place.stop("B")
    payloads.append(b"without B")
    await h.add(1, payloads[-1])
    await h.crash()
    await place.start("B")
    await place.stop("A")
    again = await Harness.open(place.store())
    assert [payload for _, payload in await again.read_all(1)] == payloads
    await place.stop("B")
    late = again.add(1, b"late")
    await asyncio.wait((late,), timeout=0.2)
    assert not late.done()
    await place.start("A")  # it missed the second opening and gets it all
    await asyncio.wait_for(late, 30)
    await again.log.close()
    await place.start("B")
    await place.close()


async def test_who_claims_the_log_fences_its_writer(tmp_path: Path):
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    h = await Harness.open(place.store())
    await written(h, 3)
    await h.log.check_owner()
    other = await Harness.open(place.store())
    with pytest.raises(Fenced):
        await h.add(1, b"too late")
    assert len(await other.read_all(1)) == 3
    third = await Harness.open(place.store())
    with pytest.raises(Fenced):
        await other.log.check_owner()
    await h.log.close()
    await other.log.close()
    await third.log.close()
    await place.close()


@pytest.mark.parametrize("is_claimed_again", [False, True])
async def test_who_asks_whose_a_log_is_while_it_is_let_go_of_is_answered(
    tmp_path: Path, is_claimed_again: bool
):
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    h = await Harness.open(place.store())
    await written(h, 1)
    await place.stop("B")
    await place.stop("C")
    asking = asyncio.ensure_future(h.log.check_owner())
    await asyncio.sleep(0)
    await h.crash()
    await place.start("B", "C")
    again = await Harness.open(h.store) if is_claimed_again else None
    with pytest.raises(Fenced):
        await asyncio.wait_for(asking, 30)
    if again is not None:
        await again.log.check_owner()
        await again.log.close()
    await place.close()


async def test_sealed_segments_leave_the_logstores(tmp_path: Path):
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    h = await Harness.open(place.store(), SHORT)
    payloads = await written(h, 40)
    async with asyncio.timeout(30):
        while min(h.store._tails[0].parts) < 6:  # type: ignore[attr-defined]
            await asyncio.sleep(0.05)
        await h.log.until_quiet()
    assert max(place.held_bytes()) < 10_000
    assert [payload for _, payload in await h.read_all(1)] == payloads
    await h.crash()
    again = await Harness.open(place.store(), SHORT)
    assert [payload for _, payload in await again.read_all(1)] == payloads
    await again.log.close()
    await place.close()


@pytest.mark.parametrize("more_count", [1, 9], ids=["first-segment", "later-segments"])
def test_a_logstore_that_is_away_is_replaced_where_a_segment_begins(more_count: int):
    """Whoever opens the log next asks those that the last final names, and finds all of them."""

    async def main(root: Any) -> None:
        place = Place(root)
        await place.start("A", "B", "C", "D")
        h = await Harness.open(place.store(), KEPT)
        payloads = await written(h, 3)
        await place.stop("B")
        await asyncio.sleep(20)
        payloads += await written(h, 1)
        await asyncio.sleep(1)
        tail = h.store._tails[0]  # type: ignore[attr-defined]
        assert sorted(member.store for member in tail._ensemble) == ["A", "C", "D"]
        await place.stop("A")
        payloads += await written(h, more_count)
        await h.crash()
        await place.start("A", "B")
        await place.stop("C")
        again = await Harness.open(place.store(), KEPT)
        assert [payload for _, payload in await again.read_all(1)] == payloads
        await again.log.close()
        await place.close()

    in_virtual_time(main)


def test_a_logstore_that_lost_its_disk_comes_anew():
    async def main(root: Any) -> None:
        place = Place(root)
        await place.start("A", "B", "C")
        h = await Harness.open(place.store(), SHORT)
        payloads = await written(h, 3)
        await place.stop("B")
        await place.start("B", fresh=True)
        await asyncio.sleep(20)
        payloads += await written(h, 9)
        await place.stop("C")
        payloads += await written(h, 9)
        await h.crash()
        await place.start("C")
        await place.stop("A")
        again = await Harness.open(place.store(), SHORT)
        assert [payload for _, payload in await again.read_all(1)] == payloads
        await again.log.close()
        await place.close()

    in_virtual_time(main)


def in_virtual_time(main: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    with installed(Disk(stream(1, "disk"))) as path:
        run(lambda: main(path("/data")))


async def test_too_few_logstores_are_named(tmp_path: Path):
    place = Place(tmp_path)
    await place.start("A", "B")
    store = place.store()
    with pytest.raises(Unavailable, match="needs 3 logstores, 2 are registered"):
        await store.lock(0)
    await place.close()


def test_a_bucket_that_does_not_answer_once_is_asked_again_by_who_claims():
    async def main(root: Any) -> None:
        place = Place(root)
        await place.start("A", "B", "C")
        names, hung = place.bucket.list, []

        async def hang_once(prefix: str, start_after: str = "") -> Any:
            if prefix.startswith("tails/") and not hung:
                hung.append(prefix)
                await asyncio.get_running_loop().create_future()
            return await names(prefix, start_after)

        place.bucket.list = hang_once  # type: ignore[method-assign]
        h = await Harness.open(place.store())
        await h.add(1, b"x")
        assert hung
        await h.log.close()
        await place.close()

    in_virtual_time(main)
