"""The schedule of faults: repeatable, bounded, varied."""

import pytest

from compat_tests.chaos.schedule import COMMON, STORE, Phase, phases

HOUR_S = 3600.0


def first(seed: int, kind: str, total_s: float = HOUR_S) -> list[Phase]:
    """The phases of that time."""
    elapsed_s, found = 0.0, []
    for phase in phases(seed, kind, total_s):
        found.append(phase)
        elapsed_s += phase.duration_s
        if elapsed_s >= total_s:
            break
    return found


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_the_same_seed_gives_the_same_faults(kind: str) -> None:
    assert first(7, kind) == first(7, kind)
    assert first(7, kind) != first(8, kind)


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_everything_happens_and_a_quarter_of_the_time_nothing(kind: str) -> None:
    found = first(1, kind)
    expected = set(COMMON) | (set(STORE) if kind == "s3" else set())
    assert {what for phase in found for what in phase.kinds} == expected
    quiet = sum(not phase.kinds for phase in found) / len(found)
    assert 0.15 < quiet < 0.35


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_a_short_run_has_nearly_everything(kind: str) -> None:
    expected = set(COMMON) | (set(STORE) if kind == "s3" else set())
    for seed in range(20):
        found = {what for phase in first(seed, kind, 60) for what in phase.kinds}
        assert len(expected - found) <= len(expected) / 3


def test_acts_lie_in_their_phase_and_in_order() -> None:
    for phase in first(3, "s3"):
        times = [act.at_s for act in phase.acts]
        assert times == sorted(times)
        assert all(0 <= at_s <= phase.duration_s for at_s in times)
        assert phase.kinds or not phase.acts


def test_outages_last_up_to_a_minute_in_a_long_run_and_seconds_in_a_short_one() -> None:
    def longest_s(total_s: float) -> float:
        acts = [act for n in range(20) for p in first(n, "s3", total_s) for act in p.acts]
        return max(act.amount for act in acts if act.what == "outage")

    assert 50 < longest_s(1800) <= 60
    assert longest_s(60) <= 7.5
