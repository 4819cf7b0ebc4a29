"""When the loop steps aside for a thread: counted in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from wal_core.stores.give_way import BYTES_PER_S, LOOK_S, LOOK_S_MAX, GiveWay, waits_count
from wal_core.stores.sharing import LONG_S, SHORT_S, Sharing
from wal_core.testing import sim_loop

LOOKS_COUNT = 10


class Loop:
    """Whether it waited for anything is said here."""

    def __init__(self) -> None:
        self.waits_count = 0
        self.asides_count = 0
        self.turns_s: list[float] = []
        sharing = Sharing(self.turns_s.append)
        sharing.take_over()
        self.way = GiveWay(lambda: self.waits_count, self._step_aside, sharing)

    def _step_aside(self) -> None:
        self.asides_count += 1
        self.waits_count += 1

    async def looks(self, count: int = LOOKS_COUNT) -> None:
        await asyncio.sleep((count + 0.5) * LOOK_S)


def test_a_loop_that_is_never_idle_steps_aside_while_a_thread_works():
    async def main() -> None:
        loop = Loop()
        loop.way.begin()
        await loop.looks()
        assert loop.asides_count == LOOKS_COUNT
        loop.way.end()
        await loop.looks()
        assert loop.asides_count == LOOKS_COUNT

    sim_loop.run(main)


def test_a_loop_that_waits_by_itself_does_not():
    async def main() -> None:
        loop = Loop()
        loop.way.begin()
        for _ in range(LOOKS_COUNT):
            loop.waits_count += 1
            await asyncio.sleep(LOOK_S)
        assert loop.asides_count == 0

    sim_loop.run(main)


def test_nor_does_one_to_which_work_comes_back():
    async def main() -> None:
        loop = Loop()
        for _ in range(LOOKS_COUNT):
            loop.way.begin()
            await asyncio.sleep(LOOK_S / 2)
            loop.way.begin()
            loop.way.end()
            await asyncio.sleep(LOOK_S / 2)
        assert loop.asides_count == 0
        await loop.looks()
        assert loop.asides_count == pytest.approx(LOOKS_COUNT, abs=1)

    sim_loop.run(main)


def test_what_a_device_needs_long_for_is_not_kept_waiting_by_the_loop():
    async def main() -> None:
        loop = Loop()
        loop.way.begin(int(BYTES_PER_S * 4 * LOOK_S))
        await loop.looks(4)
        assert loop.asides_count == 0
        await loop.looks(1)
        assert loop.asides_count == 1
        loop.way.end(1, int(BYTES_PER_S * 4 * LOOK_S))
        loop.way.begin(1 << 40)  # however much
        await asyncio.sleep(LOOK_S_MAX)
        await asyncio.sleep(LOOK_S_MAX)
        assert loop.asides_count == 2

    sim_loop.run(main)


def test_turns_are_short_while_somebody_is_kept_waiting():
    async def main() -> None:
        loop = Loop()
        loop.way.begin()
        await loop.looks(1)
        assert loop.turns_s == [LONG_S]  # once is no more than chance
        await loop.looks(3)
        assert loop.turns_s == [LONG_S, SHORT_S]
        loop.waits_count += 1
        await loop.looks(1)
        assert loop.turns_s == [LONG_S, SHORT_S, LONG_S]
        await loop.looks(3)
        loop.way.end()
        await loop.looks(1)
        assert loop.turns_s == [LONG_S, SHORT_S] * 2 + [LONG_S]

    sim_loop.run(main)


def test_nothing_is_looked_at_once_all_is_back():
    async def main() -> None:
        loop = Loop()
        loop.way.begin()
        loop.way.end()
        await loop.looks()
        await asyncio.Event().wait()  # no timer is left that could end this

    with pytest.raises(sim_loop.SimDeadlock):
        sim_loop.run(main)


def test_a_pause_is_a_wait():
    async def main() -> None:
        before_count = waits_count()
        await asyncio.sleep(0.01)
        assert waits_count() > before_count

    asyncio.run(main())
