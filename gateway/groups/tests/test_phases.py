"""The two halves of a rebalance end in time, whoever is missing."""

from __future__ import annotations

import asyncio

import pytest

from gateway.groups.phases import JoinPhase, SyncPhase
from gateway.groups.tests.harness import virtual


class Ended:
    """When a phase said that its time is up."""

    def __init__(self) -> None:
        self.at_s: list[float] = []

    def __call__(self) -> None:
        self.at_s.append(asyncio.get_running_loop().time())


@virtual
async def test_gathering_goes_on_while_somebody_comes_and_not_past_the_timeout():
    ended = Ended()
    phase = JoinPhase(100, ended)
    phase.gather(350)
    for _ in range(10):
        await asyncio.sleep(0.09)
        phase.somebody_comes()
    assert ended.at_s == [pytest.approx(0.35)]
    assert not phase.is_gathering


@virtual
async def test_gathering_ends_when_nobody_comes():
    ended = Ended()
    phase = JoinPhase(100, ended)
    phase.somebody_comes()  # before it began: the one who began it
    phase.gather(350)
    assert phase.is_gathering
    await asyncio.sleep(1)
    assert ended.at_s == [pytest.approx(0.1)]


@virtual
async def test_without_a_delay_nothing_is_gathered_and_the_members_are_waited_for():
    ended = Ended()
    phase = JoinPhase(0, ended)
    phase.gather(350)
    assert not phase.is_gathering
    await asyncio.sleep(1)
    assert ended.at_s == [pytest.approx(0.35)]


@virtual
async def test_a_phase_that_ended_says_nothing():
    ended = Ended()
    phase = JoinPhase(100, ended)
    phase.gather(350)
    phase.end()
    assert not phase.is_gathering
    phase.wait(350)
    phase.end()
    await asyncio.sleep(1)
    assert ended.at_s == []


@virtual
async def test_somebody_who_does_not_come_for_its_assignment_is_told_of():
    ended = Ended()
    phase = SyncPhase(ended)
    phase.begin(["a", "b"], 500)
    phase.came("a")
    assert (phase.is_missing("a"), phase.is_missing("b")) == (False, True)
    await asyncio.sleep(1)
    assert ended.at_s == [pytest.approx(0.5)]
    assert phase.is_missing("b")


@virtual
async def test_when_all_have_come_or_the_phase_ended_nobody_is_missing():
    ended = Ended()
    phase = SyncPhase(ended)
    phase.begin(["a", "b"], 500)
    phase.came("b")
    phase.came("a")
    await asyncio.sleep(1)
    phase.begin(["c"], 500)
    phase.end()
    await asyncio.sleep(1)
    assert not phase.is_missing("c")
    assert ended.at_s == []
