"""A look is shared by all who came before it began, and by nobody who came later."""

from __future__ import annotations

import asyncio

import pytest

from gateway.broker.assurance import LOOK_S_MAX, Assurance
from gateway.tests.virtual import loop_ms, virtual


class Looking:
    def __init__(self, lasts_s: float = 1.0) -> None:
        self.began_ms: list[float] = []
        self.lasts_s = lasts_s
        self.assurance = Assurance(self._look)
        self.assurance.rests_on(lambda: False)

    async def _look(self) -> None:
        self.began_ms.append(loop_ms())
        await asyncio.sleep(self.lasts_s)


@virtual
async def test_who_is_sure_does_not_look() -> None:
    looking = Looking()
    looking.assurance.rests_on(lambda: True)
    await looking.assurance.until_sure()
    assert looking.assurance.is_sure
    assert looking.began_ms == []


@virtual
async def test_whoever_comes_during_a_look_waits_for_the_next() -> None:
    looking = Looking()
    first = [asyncio.ensure_future(looking.assurance.until_sure()) for _ in range(3)]
    await asyncio.sleep(0.5)
    later = [asyncio.ensure_future(looking.assurance.until_sure()) for _ in range(3)]
    await asyncio.gather(*first)
    assert loop_ms() == 1_000
    await asyncio.gather(*later)
    assert loop_ms() == 2_000
    assert looking.began_ms == [0, 1_000]


@virtual
async def test_a_look_that_takes_too_long_is_given_up_for_all_who_wait() -> None:
    looking = Looking(lasts_s=1_000)
    waiting = [asyncio.ensure_future(looking.assurance.until_sure()) for _ in range(2)]
    waiting[0].cancel()
    with pytest.raises(TimeoutError):
        await waiting[1]
    assert loop_ms() == LOOK_S_MAX * 1_000
    looking.lasts_s = 0
    await looking.assurance.until_sure()
