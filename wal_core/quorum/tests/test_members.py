"""Who keeps a segment: the choice, and its bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from wal_core.errors import Corrupt
from wal_core.quorum.members import Candidate, Member, chosen, encode_ensemble, parse_ensemble

ENSEMBLE = tuple(Member(name, name.encode() * 4) for name in ("node", "host", "disk"))
PAGE = Path(__file__).parents[2] / "FORMAT.md"


def test_an_ensemble_comes_back_with_what_is_behind_it():
    stored = encode_ensemble(ENSEMBLE)
    found, rest = parse_ensemble(stored + b"footer")
    assert found == ENSEMBLE
    assert bytes(rest) == b"footer"


def test_the_example_on_the_page_is_an_ensemble():
    lines = PAGE.read_text().partition("```hex ensemble\n")[2].partition("```")[0].split("\n")
    stored = b"".join(bytes.fromhex(line[6:]) for line in lines)
    assert parse_ensemble(stored) == (ENSEMBLE, b"")


@pytest.mark.parametrize("end", range(len(encode_ensemble(ENSEMBLE))))
def test_a_part_of_one_is_damage(end: int):
    with pytest.raises(Corrupt):
        parse_ensemble(encode_ensemble(ENSEMBLE)[:end])


def test_three_means_three_logstores():
    for members in (ENSEMBLE[:2], (ENSEMBLE[0], ENSEMBLE[0], ENSEMBLE[1])):
        with pytest.raises(Corrupt, match="has 3 logstores"):
            parse_ensemble(encode_ensemble(members))


def test_a_member_is_in_a_rack_of_its_own_if_there_is_one():
    a, b, c = Candidate("a", "r1"), Candidate("b", "r1"), Candidate("c", "r2")
    assert chosen([a, b, c], []) == a
    assert chosen([a, b, c], [a]) == c
    assert chosen([a, b, c], [a, c]) == b
    assert chosen([a, b, c], [a, b, c]) is None
    assert chosen([Candidate("d"), b], [a]) == Candidate("d")
