"""Which finished segments are compacted next."""

from __future__ import annotations

from wal_core.config import LogConfig
from wal_core.format.chain import Completed, Sealed
from wal_core.upkeep.compaction_plan import UNSEALED_COUNT, next_run

CONFIG = LogConfig()


def sealed(first: int, last: int) -> Sealed:
    return Sealed(first=first, last=last, index=f"{first}", index_bytes=1, live_bytes=1)


def completed(count: int) -> list[Completed]:
    """So many that may be sealed, and the newest, which never are."""
    return [Completed(number) for number in range(4, 4 + count + UNSEALED_COUNT)]


def test_enough_completed_segments_but_never_the_newest():
    assert next_run(completed(3), (), (), CONFIG) is None
    assert next_run(completed(4), (), (), CONFIG) == completed(4)[:4]


def test_a_segment_of_many_small_blocks_does_not_wait_for_others():
    links = completed(2)
    assert next_run(completed(1), (), {links[0]}, CONFIG) == links[:1]
    assert next_run(links, (), {links[1]}, CONFIG) == links[:2]
    assert next_run(links, (), set(links[2:]), CONFIG) is None  # a start needs them


def test_what_is_mostly_dead():
    links = [sealed(0, 3), *completed(1)]
    assert next_run(links, {links[0]}, (), CONFIG) == links[:1]
    assert next_run(links, {links[0], links[1]}, (), CONFIG) == links[1:2]
    assert next_run(links, set(links[2:]), (), CONFIG) is None


def test_neighbours_of_one_level_merge():
    links = [sealed(0, 7), *(sealed(number, number) for number in range(8, 16))]
    assert next_run(links[1:-1], (), (), CONFIG) is None
    assert next_run(links, (), (), CONFIG) == links[1:]
