"""Which faults each round has: drawn from a seed, the same for the same seed.

One or two at a time, dealt like cards: every kind comes before one comes again.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from random import Random  # noqa: TID251 - for its type; made by `seeded`

from compat_tests.chaos.schedule import Cards
from compat_tests.support.deadline import seeded

NODES = (1, 2, 3)
GUEST = 4
"""Who joins for a round, and leaves."""
START_S_MAX = 1.5
CUT_S = (1.5, 7.0)
AWAY_S = (0.0, 6.0)
PAUSE_S = (0.5, 8.0)
LONG_PAUSE_S = (12.0, 60.0)
TWO_SHARE = 0.5
KILLED_COUNTS = (1, 1, 2, 3)
"""How many at once, each as often as it stands here."""
EVERYBODY_SHARE = 0.25


class Kind(enum.Enum):
    """What is done to one node, or to some."""

    KILL = "kill -9"
    PAUSE = "stop"
    LONG_PAUSE = "long stop"
    ETCD = "cut from etcd"
    STORE = "cut from the store"
    FRONT = "cut from clients and nodes"
    LEAVE = "leave"
    JOIN = "join"
    ROLL = "rolling restart"
    ETCD_DIES = "etcd killed"
    WIPE = "disk lost"
    FULL = "disk full"


OF_LOGSTORES = (Kind.WIPE, Kind.FULL)
"""In mode quorum: in others nodes have no disks."""
ALWAYS = tuple(kind for kind in Kind if kind not in OF_LOGSTORES)
CUTS = (Kind.ETCD, Kind.STORE, Kind.FRONT)


class Manner(enum.Enum):
    """How a link is cut: what its ends notice of it."""

    REFUSED = "refused"
    SILENT = "silent"
    THERE = "requests lost"
    BACK = "replies lost"


@dataclass(frozen=True)
class Fault:
    """It begins `at_s` after the round does, and lasts for `for_s`."""

    kind: Kind
    nodes: tuple[int, ...]
    at_s: float
    for_s: float
    manner: Manner = Manner.REFUSED

    def __str__(self) -> str:
        how = f" {self.manner.value}" if self.kind in CUTS else ""
        nodes = "+".join(map(str, self.nodes))
        return f"{self.kind.value} {nodes}{how} {self.for_s:.1f} s"


def rounds(seed: int, kinds: tuple[Kind, ...] = ALWAYS) -> Iterator[tuple[Fault, ...]]:
    """Without end."""
    random = seeded(seed)
    cards = Cards(random, tuple(kind.value for kind in kinds))
    for _ in count():
        dealt = cards.deal(2 if random.random() < TWO_SHARE else 1)
        yield tuple(_fault(random, Kind(word)) for word in dealt)


def _fault(random: Random, kind: Kind) -> Fault:
    nodes: tuple[int, ...] = (random.choice(NODES),)
    if kind is Kind.JOIN:
        nodes = (GUEST,)
    elif kind is Kind.KILL:
        nodes = tuple(sorted(random.sample(NODES, random.choice(KILLED_COUNTS))))
    elif kind in (Kind.ROLL, Kind.ETCD_DIES) or (
        kind in (*CUTS, Kind.FULL) and random.random() < EVERYBODY_SHARE
    ):
        nodes = NODES
    lasting = {Kind.PAUSE: PAUSE_S, Kind.LONG_PAUSE: LONG_PAUSE_S}
    lasting |= dict.fromkeys((*CUTS, Kind.FULL), CUT_S)
    at_s = random.uniform(0, START_S_MAX)
    for_s = random.uniform(*lasting.get(kind, AWAY_S))
    return Fault(kind, nodes, at_s, for_s, random.choice(list(Manner)))
