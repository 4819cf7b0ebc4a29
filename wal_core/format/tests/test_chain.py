"""The chain of finished segments: what may follow what, and what takes the place of what."""

import pytest

from wal_core import Corrupt
from wal_core.format.chain import Chain, Completed, Sealed


def sealed(first: int, last: int) -> Sealed:
    return Sealed(first=first, last=last, index="i", index_bytes=1, live_bytes=1)


def chain(*segments: int) -> Chain:
    return Chain(Completed(segment) for segment in segments)


def test_an_empty_one_ends_before_the_first_segment() -> None:
    assert (Chain().last, Chain().completed_count) == (-1, 0)


def test_it_grows_at_its_end_and_may_skip_numbers() -> None:
    grown = Chain([sealed(0, 3)])
    grown.append(Completed(4))
    grown.append(Completed(7))
    assert (grown.last, grown.completed_count) == (7, 2)
    for again in (Completed(7), Completed(5), sealed(6, 9)):
        with pytest.raises(Corrupt, match="comes after 7"):
            grown.append(again)
    assert grown.last == 7


def test_who_searches_keeps_the_links_it_began_with() -> None:
    grown = chain(0, 1)
    before = grown.links
    grown.append(Completed(2))
    grown.replace(grown.links[:2], sealed(0, 1))
    assert before == (Completed(0), Completed(1))
    assert grown.links == (sealed(0, 1), Completed(2))


def test_one_sealed_segment_takes_the_place_of_a_run() -> None:
    grown = Chain([sealed(0, 1), Completed(2), Completed(3), Completed(4)])
    grown.replace([sealed(0, 1), Completed(2), Completed(3)], sealed(0, 3))
    assert grown.links == (sealed(0, 3), Completed(4))
    with pytest.raises((ValueError, AssertionError)):
        grown.replace([sealed(0, 3), Completed(5)], sealed(0, 5))
    assert grown.links == (sealed(0, 3), Completed(4))


def test_what_others_sealed_covers_the_beginning() -> None:
    grown = chain(0, 1, 2, 3)
    grown.cover([sealed(0, 1), sealed(2, 2)])
    assert grown.links == (sealed(0, 1), sealed(2, 2), Completed(3))


@pytest.mark.parametrize("covered", [4, 1])
def test_a_hole_behind_the_sealed_ones_is_damage(covered: int) -> None:
    grown = chain(0, 3)
    with pytest.raises(Corrupt, match="behind the sealed ones are missing") as hole:
        grown.cover([sealed(0, covered)])
    assert hole.value.segment == covered + 1
    assert grown.links == (Completed(0), Completed(3))
