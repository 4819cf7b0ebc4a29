"""Claiming a tail: what is decided from which replies, and who may not serve after all."""

from __future__ import annotations

import asyncio
from itertools import product
from pathlib import Path

import pytest

from wal_core.errors import Fenced, Resigned, Unavailable
from wal_core.format.logstore_records import Final
from wal_core.format.places import Slot
from wal_core.logstore.replica import Asker, Tail
from wal_core.logstore.tests.logstores import block
from wal_core.quorum import owned_tail, spares
from wal_core.quorum.owned_tail import OwnedTail, decide
from wal_core.quorum.pointers import Pointer
from wal_core.quorum.tests.places import Place
from wal_core.testing.quorum_model import recovery, values
from wal_core.tests.harness import CountingRng

LOG = 3
FINALS = (values.NO_FINAL, values.Final(1, 1, "a"), values.Final(2, 0, "b"))


@pytest.mark.parametrize("replies_count", [2, 3])
def test_ends_are_decided_as_the_model_does(replies_count: int):
    ends = [(end, final) for end in range(4) for final in FINALS if final.end <= end]
    for replies in product(ends, repeat=replies_count):
        held = [values.Segment(("a0", "a1", "a2", "a3")[:end], final) for end, final in replies]
        found = recovery.decide(held, frozenset())
        assert found is not None
        tails = [
            Tail(0, end, Final(LOG, 0, final.term, final.end, b"") if final.term else None)
            for end, final in replies
        ]
        end, seen = decide(tails)
        assert (end, 0 if seen is None else seen.term) == (found[1], found[0].term), replies


async def claimed(place: Place, term_seen: int = 0) -> OwnedTail:
    tail = OwnedTail(LOG, place.registered, place.bucket, CountingRng())
    await tail.claim(term_seen)
    return tail


async def promised_elsewhere(place: Place, tail: OwnedTail, *stores: str) -> None:
    """Somebody of term 40 is promised the log there, and comes no further."""
    for member in tail._ensemble:
        if member.store in stores:
            await place.wire(member.store).promise(Asker(LOG, member.birth, 40, b"x" * 16))


async def test_a_claim_goes_above_all_that_was_promised(tmp_path: Path):
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    first = await claimed(place)
    assert first.term == 1
    await promised_elsewhere(place, first, "A", "B", "C")
    second = await claimed(place, 7)
    assert second.term == 41
    with pytest.raises(Fenced):
        await first.check()
    await second.check()
    for tail in (first, second):
        await tail.release()
    await place.close()


async def test_a_claim_by_whom_one_logstore_alone_refuses_goes_on_with_two(tmp_path: Path):
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    tail = await claimed(place)
    await promised_elsewhere(place, tail, "B")
    await tail.append(0, 0, block(0))
    await tail.check()
    await tail.release()
    await place.close()


async def test_who_is_refused_by_one_gives_up_when_another_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Nothing more comes of its term, while a higher one has two of three."""
    monkeypatch.setattr(owned_tail, "_TEND_S", 0.05)
    monkeypatch.setattr(spares, "MISSED_S", 0.2)
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    tail = await claimed(place)
    await tail.append(0, 0, block(0))
    await promised_elsewhere(place, tail, "B")
    await place.stop("C")
    with pytest.raises(Resigned, match="B is promised to term 40"):
        async with asyncio.timeout(10):
            await tail.append(0, 1, block(1))
    after = await claimed(place)
    assert after.term == 41
    assert after.parts[0].count >= 1
    for each in (tail, after):
        await each.release()
    await place.close()


async def test_who_waits_for_one_that_was_away_a_moment_does_not_give_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(owned_tail, "_TEND_S", 0.01)
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    tail = await claimed(place)
    await promised_elsewhere(place, tail, "B")
    await place.stop("C")
    appending = asyncio.ensure_future(tail.append(0, 0, block(0)))
    lane = next(lane for lane in tail._lanes.values() if lane.member.store == "B")
    async with asyncio.timeout(10):
        while not lane.refused_by or all(lane.is_up for lane in tail._lanes.values()):
            await asyncio.sleep(0.01)
    await place.start("C")
    async with asyncio.timeout(10):
        await appending
    await tail.release()
    await place.close()


async def test_a_claim_outbids_one_that_got_no_further(tmp_path: Path):
    """A logstore that promised the log to somebody who has gone would take nothing from us."""
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    first = await claimed(place)
    await first.release()
    await promised_elsewhere(place, first, "B")
    second = await claimed(place, first.term)
    assert second.term == 41
    assert not any(lane.refused_by for lane in second._lanes.values())
    await second.release()
    await place.close()


async def test_who_is_refused_by_two_is_fenced(tmp_path: Path):
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    tail = await claimed(place)
    await promised_elsewhere(place, tail, "A", "C")
    with pytest.raises(Fenced, match="term 40"):
        async with asyncio.timeout(5):
            await tail.append(0, 0, block(0))
    await tail.release()
    await place.close()


async def test_one_of_three_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    await (await claimed(place)).release()
    await place.stop("A", "C")
    monkeypatch.setattr(owned_tail, "CLAIM_S", 0.2)
    with pytest.raises(Unavailable, match="A is not registered"):
        await claimed(place)
    await place.close()


async def test_who_began_before_the_pointer_moved_does_not_serve(tmp_path: Path):
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    owner = await claimed(place)
    await owner.own()
    late = await claimed(place)
    await owner.trim(2)
    with pytest.raises(Fenced):
        await late.own()
    for tail in (owner, late):
        await tail.release()
    await place.close()


async def test_who_read_the_pointer_before_it_moved_begins_where_the_tail_does(tmp_path: Path):
    """What it says is there was trimmed before the promise: that is not the end of the log."""
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    owner = await claimed(place)
    await owner.own()
    await owner.append(0, 0, block(0))
    await owner.end(0, 1, b"footer")
    await owner.append(1, 0, block(0, segment=1))
    late = OwnedTail(LOG, place.registered, place.bucket, CountingRng())
    newest = late._pointers.newest
    seen = [await newest()]
    await owner.trim(1)

    async def one_that_was_newest() -> Pointer | None:
        return seen.pop() if seen else await newest()

    late._pointers.newest = one_that_was_newest  # type: ignore[method-assign]
    await late.claim(0)
    assert late.first == 1
    assert {number: part.count for number, part in late.parts.items()} == {1: 1}
    await late.own()
    await late.append(1, 1, block(1, segment=1))
    for tail in (owner, late):
        await tail.release()
    await place.close()


async def test_two_who_open_a_new_log_agree_on_its_logstores(tmp_path: Path):
    place = Place(tmp_path)
    await place.start("A", "B", "C", "D", "E", "F")
    tails = await asyncio.gather(claimed(place), claimed(place), return_exceptions=True)
    ensembles = {tail._ensemble for tail in tails if isinstance(tail, OwnedTail)}
    assert len(ensembles) == 1
    terms = [tail.term for tail in tails if isinstance(tail, OwnedTail)]
    assert len(set(terms)) == len(terms)
    for tail in tails:
        if isinstance(tail, OwnedTail):
            await tail.release()
    await place.close()


async def test_two_lost_disks_are_told(tmp_path: Path):
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    store = place.store()
    await store.lock(LOG)
    await store.append(Slot(LOG, 0, 0, 0), [block(0)], final=False)
    await store.close()
    await place.stop("A", "B")
    await place.start("A", "B", fresh=True)
    with pytest.raises(Unavailable, match="A, B have lost the log"):
        await place.store().lock(LOG)
    await place.close()


async def test_an_earlier_opener_that_tells_the_same_place_late_is_in_nobodys_way(tmp_path: Path):
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    first = await claimed(place)
    second = await claimed(place, first.term)
    await first.own()  # not knowing yet that it is fenced
    await second.own()
    with pytest.raises(Fenced):
        await first.own()
    await second.check()
    for tail in (first, second):
        await tail.release()
    await place.close()


async def test_a_logstore_that_is_back_by_another_way_is_asked_there(tmp_path: Path):
    """One with nothing to send does not see that the way it has leads nowhere any more."""
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    tail = await claimed(place)
    await tail.check()
    await place.stop("C")  # both others are needed
    before = place.registered.wires.pop("B")
    place.wire("B").logstore, before.logstore = before.logstore, None
    with pytest.raises(Unavailable):
        await tail.check()
    lane = next(lane for lane in tail._lanes.values() if lane.member.store == "B")
    async with asyncio.timeout(10):
        while lane.replica is before or not lane.is_up:
            tail._changed.clear()
            await tail._changed.wait()
    await tail.check()
    await tail.append(0, 0, block(0))
    await tail.release()
    await place.close()
