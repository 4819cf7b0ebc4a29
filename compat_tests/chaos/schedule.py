"""Which faults happen when: drawn from a seed, the same for the same seed.

A run is a row of phases of a few seconds. A quarter of them are quiet; the others have up to three
kinds of trouble at once, dealt like cards: every kind comes before one comes again. When a phase
ends everything is healed, and the next one begins.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from random import Random  # noqa: TID251 - for its type; made by `seeded`

from compat_tests.support.deadline import seeded

QUIET_SHARE = 0.25
PHASE_S = (3.0, 7.0)
KINDS_MAX_COUNT = 3
OUTAGE_S_MIN = 1.0
LONG_OUTAGE_SHARE = 0.15
FLOODED_OUTAGE_SHARE = 0.5
PAUSE_S = (0.2, 6.0)

# Trouble that anybody can have, and what only a store over a network has.
COMMON = ("kill", "kill again", "pause", "cut", "slow", "stall", "flood")
STORE = (
    "latency",
    "spikes",
    "errors",
    "storm",
    "hangs",
    "partial",
    "repeats",
    "outage",
    "takeover",
)


@dataclass(frozen=True)
class Act:
    """Something that happens once, `at_s` after the phase began; `amount` depends on what."""

    at_s: float
    what: str
    amount: float = 0.0


@dataclass(frozen=True)
class Phase:
    """`kinds` is what is wrong; a quiet phase has none. `acts` are in the order of time."""

    number: int
    duration_s: float
    kinds: tuple[str, ...]
    acts: tuple[Act, ...]


def phases(seed: int, mode: str, total_s: float) -> Iterator[Phase]:
    """Without end: how many there are in `total_s` depends on how soon all is well after each."""
    random = seeded(seed)
    cards = Cards(random, COMMON + (STORE if mode == "s3" else ()))
    # A short run has short outages, or it would consist of one.
    outage_s_max = min(60.0, max(5.0, total_s / 8))
    for number in count():
        yield _phase(number, random, cards, outage_s_max)


def peace(number: int) -> Phase:
    """A quiet phase to end with."""
    return Phase(number, PHASE_S[0], (), ())


@dataclass
class Cards:
    """All kinds in random order, then again in another."""

    random: Random
    kinds: tuple[str, ...]
    left: list[str] = field(default_factory=list)

    def deal(self, count: int) -> tuple[str, ...]:
        """Different ones; fewer where the pack ends."""
        if not self.left:
            self.left = self.random.sample(self.kinds, len(self.kinds))
        dealt, self.left = self.left[:count], self.left[count:]
        return tuple(dealt)


def _phase(number: int, random: Random, cards: Cards, outage_s_max: float) -> Phase:
    duration_s = random.uniform(*PHASE_S)
    if random.random() < QUIET_SHARE:
        return Phase(number, duration_s, (), ())
    kinds = cards.deal(random.randint(1, KINDS_MAX_COUNT))
    acts: list[Act] = []
    for kind in kinds:
        if kind == "outage":
            outage_s = random.uniform(OUTAGE_S_MIN, duration_s)
            if random.random() < LONG_OUTAGE_SHARE:
                outage_s = random.uniform(outage_s_max / 2, outage_s_max)
            duration_s = max(duration_s, outage_s + 0.5)
            acts.append(Act(0.0, "outage", outage_s))
            if random.random() < FLOODED_OUTAGE_SHARE:  # when nothing flows off
                acts.append(Act(outage_s / 4, "flood"))
        else:
            acts += _acts_of(kind, random, duration_s)
    return Phase(number, duration_s, kinds, tuple(sorted(acts, key=lambda act: act.at_s)))


def _acts_of(kind: str, random: Random, duration_s: float) -> list[Act]:
    def moment() -> float:
        return random.uniform(0, 0.8 * duration_s)

    if kind == "kill again":  # one that is still recovering
        at_s = moment()
        return [Act(at_s, "kill"), Act(at_s + random.uniform(0, 0.5), "kill")]
    if kind in ("pause", "stall"):
        # Not longer than the phase: what it ends is the next one's.
        at_s = random.uniform(0, 0.3 * duration_s)
        return [Act(at_s, kind, min(random.uniform(*PAUSE_S), duration_s - at_s))]
    if kind == "takeover":
        # How long the old one sleeps, from before the new one comes.
        return [Act(0.3 * moment(), kind, random.uniform(0.5, 4.0))]
    if kind == "cut":
        return [Act(moment(), kind, random.choice((0.3, 1.0))) for _ in range(random.randint(1, 6))]
    if kind == "slow":
        return [Act(moment() / 2, kind, random.choice((2e4, 1e5, 5e5)))]
    if kind in ("kill", "flood"):
        return [Act(moment(), kind)]
    return [Act(0.0, kind)]
