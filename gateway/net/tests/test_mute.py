"""For how long a connection is not read."""

import asyncio

import pytest

from gateway.net.mute import Mute
from gateway.tests.harness import loop_ms, virtual


class _Intake:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def mute(self) -> None:
        self.seen.append("mute")

    def unmute(self) -> None:
        self.seen.append("unmute")

    def resume_if_room(self) -> None:
        self.seen.append("resume")


@virtual
async def test_the_longest_time_counts() -> None:
    intake, ended = _Intake(), asyncio.Event()
    mute = Mute(intake)  # type: ignore[arg-type]
    began_ms = loop_ms()
    for duration_s in (1.0, 3.0, 2.0):
        mute.begin(duration_s, ended.set)
    assert mute.is_on
    await ended.wait()
    assert loop_ms() - began_ms == pytest.approx(3_000)
    assert intake.seen == ["mute", "mute", "unmute", "resume"]
    assert not mute.is_on


@virtual
async def test_one_that_is_ended_goes_on_no_more() -> None:
    intake, ended = _Intake(), asyncio.Event()
    mute = Mute(intake)  # type: ignore[arg-type]
    mute.begin(1.0, ended.set)
    mute.end()
    mute.end()
    await asyncio.sleep(2)
    assert not ended.is_set()
    assert intake.seen == ["mute", "unmute"]
