"""Which finished segments are compacted next."""

from __future__ import annotations

from wal_core.chain import Completed, Sealed
from wal_core.compaction_plan import next_run
from wal_core.config import LogConfig

CONFIG = LogConfig()


def sealed(first: int, last: int) -> Sealed:
    return Sealed(first=first, last=last, index=f"{first}", index_bytes=1, live_bytes=1)


def test_enough_completed_segments_but_never_the_newest():
    links = [Completed(number) for number in range(5)]
    assert next_run(links[:4], (), (), CONFIG) is None
    assert next_run(links, (), (), CONFIG) == links[:4]


def test_a_segment_of_many_small_blocks_does_not_wait_for_others():
    links = [Completed(number) for number in range(3)]
    assert next_run(links[:2], (), {links[0]}, CONFIG) == links[:1]
    assert next_run(links, (), {links[1]}, CONFIG) == links[:2]
    assert next_run(links, (), {links[2]}, CONFIG) is None  # a start needs its checkpoint


def test_what_is_mostly_dead():
    links = [sealed(0, 3), Completed(4), Completed(5)]
    assert next_run(links, {links[0]}, (), CONFIG) == links[:1]
    assert next_run(links, {links[0], links[1]}, (), CONFIG) == links[1:2]
    assert next_run(links, {links[2]}, (), CONFIG) is None


def test_neighbours_of_one_level_merge():
    links = [sealed(0, 7), *(sealed(number, number) for number in range(8, 16))]
    assert next_run(links[1:-1], (), (), CONFIG) is None
    assert next_run(links, (), (), CONFIG) == links[1:]
