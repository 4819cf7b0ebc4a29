"""A log that another process writes: what is confirmed is seen, nothing else, and nobody is
disturbed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from wal_core import Follower, LogConfig, Unavailable
from wal_core.format.logstore_records import Final
from wal_core.logstore.replica import Asker, Tail
from wal_core.logstore.tests.logstores import LOG, block
from wal_core.quorum.members import Member, encode_ensemble
from wal_core.quorum.owned_tail import OwnedTail
from wal_core.quorum.seen_tail import SeenPart, SeenTail
from wal_core.quorum.tests.places import Place
from wal_core.quorum.tests.test_store import QUORUM, SHORT, in_virtual_time, written
from wal_core.tests.harness import CountingRng, Harness, Recorder

MEMBERS = tuple(Member(name, bytes(16)) for name in "ABC")
FOOTER = encode_ensemble(MEMBERS) + b"footer"


def follower(place: Place, config: LogConfig = QUORUM) -> Follower[Recorder]:
    return Follower(place.store(), Recorder, config, rng=CountingRng())


def test_what_is_acknowledged_is_seen_by_who_looks_then():
    async def main(root: Any) -> None:
        place = Place(root)
        await place.start("A", "B", "C")
        follow = follower(place)
        await follow.catch_up()
        assert follow.end_offset(1) == 0
        h = await Harness.open(place.store())
        for count in range(1, 6):
            await h.add(1, b"%d" % count)
            await asyncio.sleep(0.05)  # what is confirmed is said after that
            await follow.catch_up()
            assert follow.end_offset(1) == count
        await place.stop("B")
        await h.add(1, b"without B")
        await asyncio.sleep(0.05)
        await follow.catch_up()
        assert follow.end_offset(1) == 6
        await h.crash()
        again = await Harness.open(place.store())
        await again.add(1, b"of another writer")
        await asyncio.sleep(0.05)
        await follow.catch_up()
        assert follow.end_offset(1) == 7
        await again.log.close()
        await place.close()

    in_virtual_time(main)


def test_an_end_that_was_decided_and_never_said_is_seen():
    async def main(root: Any) -> None:
        place = Place(root)
        await place.start("A", "B", "C")
        h = await Harness.open(place.store())
        await written(h, 3)
        await h.crash()  # before anybody heard that the last is confirmed
        again = await Harness.open(place.store())
        follow = follower(place)
        await follow.catch_up()
        assert follow.end_offset(1) == 3
        await again.log.close()
        await place.close()

    in_virtual_time(main)


def test_a_logstore_that_began_again_shows_what_it_is_told_again():
    async def main(root: Any) -> None:
        place = Place(root)
        await place.start("A", "B", "C")
        h = await Harness.open(place.store())
        await written(h, 3)
        await asyncio.sleep(0.05)
        for name in ("A", "B", "C"):
            await place.stop(name)
            await place.start(name)
        await asyncio.sleep(10)  # the lanes come again
        await h.add(1, b"more")
        await asyncio.sleep(0.05)
        follow = follower(place)
        await follow.catch_up()
        assert follow.end_offset(1) == 4
        await h.log.close()
        await place.close()

    in_virtual_time(main)


async def test_one_of_three_tells_no_end(tmp_path: Path):
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    h = await Harness.open(place.store())
    await written(h, 3)
    store = place.store()
    assert await store.segments(0) == await h.store.segments(0)
    await place.stop("A", "B")
    with pytest.raises(Unavailable, match="two of three logstores"):
        await store.segments(0)
    await place.start("A", "B")
    await h.log.close()
    await place.close()


def test_who_follows_goes_on_where_segments_are_sealed_and_leave():
    async def main(root: Any) -> None:
        place = Place(root)
        await place.start("A", "B", "C")
        h = await Harness.open(place.store(), SHORT)
        follow = follower(place, SHORT)
        for round_number in range(5):
            await written(h, 20)
            await h.log.until_quiet()
            await asyncio.sleep(1)
            await follow.catch_up()
            assert follow.end_offset(1) == 20 * (round_number + 1)
        await h.log.close()
        await place.close()

    in_virtual_time(main)


def test_a_final_counts_once_two_tell_it_or_another_segment_follows():
    final = Final(0, 4, 7, 3, FOOTER)
    a, b, c = MEMBERS

    def seen(*told: tuple[Member, dict[int, Tail]]) -> tuple[int, bool]:
        part = SeenPart(4, dict(told))
        return part.readable_count, part.is_chosen

    has_it, lacks_it = {4: Tail(4, 2, final)}, {4: Tail(4, 1, None)}
    assert seen((a, has_it), (b, lacks_it)) == (2, False)
    assert seen((a, has_it), (b, has_it)) == (3, True)
    proposed_again = {4: Tail(4, 1, final._replace(term=8))}
    assert seen((a, has_it), (b, proposed_again)) == (2, False)
    assert seen((a, has_it), (b, has_it), (c, proposed_again)) == (3, True)
    assert seen((a, has_it), (b, proposed_again), (c, proposed_again)) == (3, True)
    other = {4: Tail(4, 2, final._replace(term=8, end=2))}
    assert seen((a, has_it), (c, other)) == (2, False)
    assert seen((a, has_it), (b, lacks_it | {5: Tail(5, 0, None)})) == (3, True)
    assert seen((a, {4: Tail(4, 0, None)}), (b, lacks_it)) == (1, False)


async def test_an_end_taken_by_two_under_two_terms_shows_nothing_that_another_end_drops(
    tmp_path: Path,
):
    """Openers who die on their way. Of the first, A has the end; of the second, C has another one;
    the third meets A, and brings its end to B."""
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    tail = OwnedTail(LOG, place.registered, place.bucket, CountingRng())
    await tail.claim(0)
    ensemble = {member.store: member for member in tail._ensemble}
    await tail.release()

    def asker(name: str, term: int) -> Asker:
        return Asker(LOG, ensemble[name].birth, term, bytes([term]) * 16)

    async def promised(term: int, names: str) -> None:
        for name in names:
            await place.wire(name).promise(asker(name, term))

    async def taken(name: str, term: int, end: int, footer: bytes) -> None:
        stored = encode_ensemble(tail._ensemble) + footer
        await place.wire(name).end(asker(name, term), Final(LOG, 0, term, end, stored))

    await promised(2, "ABC")
    for name, number in [("A", 0), ("B", 0), ("C", 0), ("A", 1)]:
        await place.wire(name).append(asker(name, 2), block(number))
    await promised(3, "AB")
    await taken("A", 3, 2, b"two blocks")
    await promised(4, "BC")
    await taken("C", 4, 1, b"one block")
    await promised(5, "AB")
    await place.wire("B").append(asker("B", 5), block(1))
    await taken("B", 5, 2, b"two blocks")

    seen = SeenTail(LOG, place.registered, place.bucket)
    await place.stop("C")
    await seen.look()
    assert seen.parts[0].readable_count <= 1
    await place.start("C")
    await promised(6, "AC")  # C has the end of the highest term
    for name in "AC":
        await taken(name, 6, 1, b"one block")
    await seen.look()
    assert (seen.parts[0].is_chosen, seen.parts[0].readable_count) == (True, 1)
    await place.close()
