"""Clusters: seeds pass, each kind of fault has hit something, and a broken promise is found."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import pytest

from gateway.cluster.allotment import Allotment
from gateway.cluster.ownership import Plan
from gateway.testing.sim.plan import draw_plan
from gateway.testing.sim.simulate import Outcome, simulate
from gateway.testing.sim.tests.passing import passing
from wal_core.testing.sampled import sampled

SEEDS = range(19)  # about a second each

HAPPENED = {
    "a node killed": r"g\d+ +is killed",
    "a node drained": r"g\d+ +is asked to stop",
    "a node stopped and awake again": r"g\d+ +goes on",
    "a node that was never there": r"fault +JoinNode",
    "a log taken over": r"g\d+ +has log \d, term [3-9]",
    "a log lost to another node": r"g\d+ +has lost log",
    "cut from the bucket": r"fault +CutFromStore",
    "cut from the coordination store": r"fault +CutFromCoordination",
    "cut from each other": r"fault +CutNodes",
    "a lease lost": r"log +lease lost",
    "late news": r"fault +LateWatch",
    "a coordination store of yesterday": r"log +coordination store is not what it was",
    "a topic deleted": r"topics +did delete",
    "a committed offset": r"m\d +committed ",
    "a record acknowledged": r"p\d +is told",
}


@cache
def run(seed: int) -> Outcome:
    return passing("cluster", seed)


@pytest.mark.xdist_group("cluster")
@pytest.mark.parametrize("seed", sampled(SEEDS, quick_count=2))
def test_seeds(seed: int) -> None:
    run(seed)


@pytest.mark.slow
@pytest.mark.xdist_group("cluster")
def test_every_kind_of_fault_hits_something() -> None:
    lines = "\n".join(line for seed in SEEDS for line in run(seed).lines)
    assert [name for name, pattern in HAPPENED.items() if not re.search(pattern, lines)] == []


def test_the_same_seed_gives_the_same_run() -> None:
    assert simulate(draw_plan(5, "cluster")).digest == simulate(draw_plan(5, "cluster")).digest


def _claims_nothing_that_had_an_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    may_claim = Allotment.may_claim

    def never_again(self: Allotment, log: int, plan: Plan, now_s: float) -> bool:
        return log not in self._roster.owners and may_claim(self, log, plan, now_s)

    monkeypatch.setattr(Allotment, "may_claim", never_again)


@pytest.mark.parametrize(
    ("mistake", "seed", "verdict"),
    [(_claims_nothing_that_had_an_owner, 6, "liveness")],
)
def test_a_broken_promise_is_found(
    monkeypatch: pytest.MonkeyPatch,
    mistake: Callable[[pytest.MonkeyPatch], None],
    seed: int,
    verdict: str,
) -> None:
    mistake(monkeypatch)
    found = {text.partition(":")[0] for text in simulate(draw_plan(seed, "cluster")).violations}
    assert verdict in found
