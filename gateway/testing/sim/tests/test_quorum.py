"""Mode quorum: 500 seeds pass, each kind of fault has hit something, a broken promise is found."""

from __future__ import annotations

import re
from functools import cache

import pytest

from gateway.testing.sim.plan import draw_plan
from gateway.testing.sim.simulate import simulate
from gateway.testing.sim.tests.passing import passing
from wal_core.quorum import part
from wal_core.testing.sampled import sampled

SEEDS_COUNT = 500  # half a second each
CHUNK_COUNT = 10

HAPPENED = {
    "a logstore killed": r"s\d+ +is killed",
    "several at once": r"fault +KillLogstores\(.*count=[23]",
    "a power cut that takes data": r"disk +keeps \d+ of \d+ bytes",
    "death in a system call": r"s\d+ +dies in a system call",
    "a logstore stopped and awake again": r"s\d+ +is paused",
    "a slow logstore": r"fault +SlowLogstore",
    "a logstore that nobody reaches": r"fault +CutFromLogstore\(.*everybody=True",
    "one that the gateway does not reach": r"fault +CutFromLogstore\(.*everybody=False",
    "a disk lost": r"s\d+ +loses its disk",
    "sync fails": r"disk +sync fails by s\d",
    "sync of names fails": r"disk +folder fails by s\d",
    "no room for data": r"disk +write fails by s\d",
    "no room for a file": r"disk +create fails by s\d",
    "the bucket fails": r"bucket +create .*: (fails|hangs|ok, then)",
    "an upload": r"bucket +create sealed/.*: ok",
    "a gateway killed": r"g\d+ +is killed",
    "a log taken by another process": r"fault +TakeLog",
    "a log taken over": r"g\d+ +has log \d, term [3-9]",
    "records deleted": r"deleter +is told .* starts at [1-9]",
    "a topic deleted": r"topics +did delete",
    "a committed offset": r"m\d +committed ",
    "a record acknowledged": r"p\d +is told",
}
"""What must have happened in some run before all was healed, by a pattern of its trace."""


@cache
def run(seed: int) -> frozenset[str]:
    """Let one pass; returns what happened in it."""
    trace = "\n".join(passing("quorum", seed).lines)
    faulty, _, _ = trace.partition("world    heals")
    return frozenset(name for name, pattern in HAPPENED.items() if re.search(pattern, faulty))


@pytest.mark.parametrize("first", sampled(range(0, SEEDS_COUNT, CHUNK_COUNT), quick_count=1))
def test_seeds(first: int) -> None:
    for seed in range(first, first + CHUNK_COUNT):
        run(seed)


@pytest.mark.slow
def test_every_kind_of_fault_hits_something() -> None:
    missing = set(HAPPENED)
    for seed in range(SEEDS_COUNT):
        missing -= run(seed)
        if not missing:
            return
    pytest.fail(f"in {SEEDS_COUNT} runs this never happened: {sorted(missing)}")


def test_a_block_that_one_logstore_has_is_not_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part, "ACKS_COUNT", 1)
    found = {text.partition(":")[0] for text in simulate(draw_plan(5, "quorum")).violations}
    assert "I1 acknowledged is durable" in found
