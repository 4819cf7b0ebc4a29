"""Who takes the place of a logstore that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from wal_core.logstore.tests.logstores import block
from wal_core.quorum.members import Candidate, Member
from wal_core.quorum.owned_tail import OwnedTail
from wal_core.quorum.spares import MISSED_S, Spares, is_missed
from wal_core.quorum.tests.places import Place
from wal_core.tests.harness import CountingRng

LOG = 3
A, B, C = (Member(name, name.encode() * 16) for name in "ABC")
THREE = (A, B, C)


def lane(*, down_s: float | None = None, is_lost: bool = False, refused_by: int = 0) -> Any:
    since_s = None if down_s is None else asyncio.get_running_loop().time() - down_s
    is_up = not is_lost and not refused_by and down_s is None
    return SimpleNamespace(
        is_up=is_up, is_lost=is_lost, refused_by=refused_by, down_since_s=since_s
    )


class Standing:
    """Spares over lanes that are as they are made here."""

    def __init__(self, stores: Sequence[str], **lanes: Any) -> None:
        self.lanes = {member: lanes.get(member.store, lane()) for member in THREE}
        self.begun: list[str] = []
        logstores: Any = SimpleNamespace(candidates=lambda: [Candidate(name) for name in stores])
        self.spares = Spares(LOG, logstores, self.lanes, self._begin)

    async def _begin(self, store: str) -> Member:
        self.begun.append(store)
        member = Member(store, b"new" + bytes(13))
        self.lanes[member] = lane()
        return member


async def test_who_is_away_a_moment_is_not_missed():
    assert not is_missed(lane())
    assert not is_missed(lane(down_s=MISSED_S / 2))
    assert is_missed(lane(down_s=2 * MISSED_S))
    assert is_missed(lane(is_lost=True))
    assert is_missed(lane(refused_by=7))
    standing = Standing("ABCD", B=lane(down_s=MISSED_S / 2))
    await standing.spares.look(THREE)
    assert standing.begun == []
    assert standing.spares.next_ensemble(THREE) == THREE


async def test_another_stands_by_once_and_takes_the_place_where_the_next_segment_begins():
    standing = Standing("ABCD", B=lane(down_s=2 * MISSED_S))
    for _ in range(2):
        await standing.spares.look(THREE)
    assert standing.begun == ["D"]
    (spare,) = standing.spares
    assert standing.spares.is_ready(THREE)
    assert not standing.spares.is_ready((A, spare, C))
    assert standing.spares.next_ensemble(THREE) == (A, spare, C)


async def test_who_is_back_by_then_keeps_its_place():
    standing = Standing("ABCD", B=lane(down_s=2 * MISSED_S))
    await standing.spares.look(THREE)
    standing.lanes[B] = lane()
    assert standing.spares.next_ensemble(THREE) == THREE


async def test_where_there_is_no_other_who_lost_its_disk_comes_anew_and_who_is_away_does_not():
    away = Standing("ABC", B=lane(down_s=2 * MISSED_S))
    await away.spares.look(THREE)
    assert away.begun == []
    lost = Standing("ABC", B=lane(is_lost=True))
    await lost.spares.look(THREE)
    assert lost.begun == ["B"]
    (anew,) = lost.spares
    assert lost.spares.next_ensemble(THREE) == (A, anew, C)


async def test_a_spare_takes_one_place_alone(tmp_path: Path):
    place = Place(tmp_path)
    await place.start("A", "B", "C", "D")
    tail = OwnedTail(LOG, place.registered, place.bucket, CountingRng())
    await tail.claim(0)
    a, _, c = sorted(tail._ensemble)
    spare = await tail._begin_spare("D")
    tail._spares._by_place.update({a: spare, c: spare})  # each was away once, at another time
    for segment, gone in enumerate((a, c)):
        await place.stop(gone.store)
        await tail.append(segment, 0, block(0, segment=segment))
        async with asyncio.timeout(10):
            while tail._lanes[gone].is_up or not tail._lanes[spare].is_up:
                await asyncio.sleep(0.01)
        await tail.end(segment, 1, b"footer")
        assert sorted(member.store for member in tail._ensemble) == ["B", "C", "D"]
    await tail.release()
    await place.close()
