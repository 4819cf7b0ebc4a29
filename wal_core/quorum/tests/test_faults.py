"""Whatever happens to writers, messages and one disk of three: no record that was acknowledged is
lost, none comes twice, and the log can be opened."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

from wal_core import LogConfig, WalError
from wal_core.quorum.store import QuorumSegmentStore
from wal_core.quorum.tests.places import Bucket, Place, copied
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.seeds import Random, SeededRng, stream
from wal_core.testing.sim_disk import Disk
from wal_core.testing.sim_loop import run
from wal_core.testing.sim_system import installed
from wal_core.tests.harness import Harness

NAMES = ("A", "B", "C", "D")
"""One of them to spare."""
CONFIG = dataclasses.replace(
    LogConfig.preset("quorum"),
    segment_blocks_max=5,
    seal_segments_min_count=2,
    garbage_grace_ms=5_000,
    gather_ms=1,
    gather_bytes=1,
    close_timeout_ms=60_000,
    retry_max_ms=500,
)
UPLOADED_S = CONFIG.segment_age_max_ms / 1000 + 5


class Story:
    """One run: writers that come, write and go; what they were told."""

    def __init__(self, place: Place, seed: int, *, wipes: bool) -> None:
        self.place = place
        self.rng: Random = stream(seed, "story")
        self.seed = seed
        self.acked: list[bytes] = []
        self.owners: list[Harness] = []
        self.opened_count = 0
        self.changed = False  # an ensemble
        self._said_count = 0
        self._wipes = wipes
        self._saying: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        await self.place.start(*NAMES)
        self.place.weather.late_s = self.rng.choice((0.0, 0.01, 0.3))
        self.place.weather.lost_share = self.rng.choice((0.0, 0.02, 0.1))
        self.place.weather.again_share = self.rng.choice((0.0, 0.1))
        acts = [self._open, self._kill, self._cut, self._restart, self._wait, *[self._write] * 6]
        acts.append(self._lose_bucket)
        if self._wipes:
            acts.append(self._wipe)
        await self._open()
        for _ in range(50):
            await self.rng.choice(acts)()
        await self._end()

    # -- what happens ----------------------------------------------------------------------

    async def _open(self) -> None:
        """Beside an owner, who is not told, or after it."""
        self.opened_count += 1
        rng = SeededRng(self.seed, "opener", self.opened_count)
        store: QuorumSegmentStore = self.place.store(rng)
        try:
            async with asyncio.timeout(self.rng.choice((1, 60))):
                owner = await Harness.open(store, CONFIG, rng)
        except (WalError, TimeoutError):
            return
        self.owners.append(owner)

    async def _write(self) -> None:
        """Anybody who believes to be the owner, without waiting for it."""
        for owner in self.owners:
            for _ in range(self.rng.randrange(8)):
                self._said_count += 1
                saying = asyncio.ensure_future(self._say(owner, b"%d" % self._said_count))
                self._saying.add(saying)
        await asyncio.sleep(self.rng.random() * self.rng.choice((0.01, 0.1, 5)))

    async def _say(self, owner: Harness, payload: bytes) -> None:
        try:
            await owner.add(1, payload)
        except WalError:
            return
        self.acked.append(payload)

    async def _kill(self) -> None:
        if self.owners:
            await self.owners.pop(self.rng.randrange(len(self.owners))).crash()

    async def _cut(self) -> None:
        """One wire, or none; now and then two."""
        for name in NAMES:
            self.place.wire(name).is_cut = False
        for _ in range(self.rng.choice((0, 1, 1, 2))):
            self.place.wire(self.rng.choice(NAMES)).is_cut = True

    async def _restart(self) -> None:
        name = self.rng.choice(NAMES)
        await self.place.stop(name)
        await asyncio.sleep(self.rng.random() * 3)
        await self.place.start(name)

    async def _wait(self) -> None:
        await asyncio.sleep(self.rng.random() * 20)

    async def _lose_bucket(self) -> None:
        """For a while, or nobody has reached it since the last time."""
        assert isinstance(self.place.bucket, Bucket)
        self.place.bucket.is_away = not self.place.bucket.is_away
        await asyncio.sleep(self.rng.random() * self.rng.choice((1, 30)))

    async def _wipe(self) -> None:
        """One disk, once."""
        if self._wipes:
            self._wipes = False
            name = self.rng.choice(NAMES)
            await self.place.stop(name)
            await self.place.start(name, fresh=True)

    # -- what must be true -----------------------------------------------------------------

    async def _end(self) -> None:
        weather = self.place.weather
        assert isinstance(self.place.bucket, Bucket)
        self.place.bucket.is_away = False
        weather.late_s = weather.lost_share = weather.again_share = 0
        for name in NAMES:
            self.place.wire(name).is_cut = False
        await asyncio.sleep(30)
        rng = SeededRng(self.seed, "last")
        async with asyncio.timeout(300):
            last = await Harness.open(self.place.store(rng), CONFIG, rng)
            found = [payload for _, payload in await last.read_all(1)]
            assert len(set(found)) == len(found)
            lost = set(self.acked) - set(found)
            assert not lost, f"{len(lost)} of {len(self.acked)} acknowledged are lost: {lost}"
            await last.add(1, b"more")
            for owner in self.owners:
                await owner.crash()
            assert [payload for _, payload in await last.read_all(1)] == [*found, b"more"]
            assert isinstance(last.store, QuorumSegmentStore)
            members = last.store._tails[0]._ensemble
            self.changed = {member.store for member in members} != {"A", "B", "C"}
            await asyncio.sleep(UPLOADED_S)
            alone = await Harness.open(ObjectSegmentStore(await copied(self.place.bucket)))
            assert [payload for _, payload in await alone.read_all(1)] == [*found, b"more"]
            assert alone.state.entries == last.state.entries
            await last.log.close()
        await asyncio.gather(*self._saying)


def play(seed: int, *, wipes: bool) -> Story:
    stories: list[Story] = []

    async def main(root: Any) -> None:
        # Room for what is not finished, and little more.
        bytes_max = stream(seed, "room").choice((5_000, 1 << 30))
        place = Place(root, bytes_max=bytes_max, seed=seed)
        stories.append(Story(place, seed, wipes=wipes))
        await stories[0].run()
        await place.close()

    with installed(Disk(stream(seed, "disk"))) as path:
        run(lambda: main(path("/data")), seed=seed)
    return stories[0]


def test_nothing_acknowledged_is_lost() -> None:
    stories = [play(seed, wipes=wipes) for seed in range(100, 112) for wipes in (False, True)]
    assert sum(len(story.acked) for story in stories) > 300
    assert sum(story.opened_count for story in stories) > 40
    assert any(story.changed for story in stories)
