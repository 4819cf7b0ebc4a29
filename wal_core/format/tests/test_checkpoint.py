"""Pieces of the checkpoint: what is written comes back, and no cut goes unseen."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wal_core.errors import Corrupt, Invalid
from wal_core.format.checkpoint import encode_piece, iter_piece, pair_bytes
from wal_core.format.versions import PIECE

PAIRS = [(b"key", b"value"), (b"", b""), (b"gone", None), (b"k" * 300, bytes(1_000))]


@given(st.lists(st.tuples(st.binary(max_size=9), st.none() | st.binary(max_size=9)), max_size=5))
def test_pairs_come_back_in_their_order(pairs):
    piece = encode_piece(pairs)
    found = [(key, None if value is None else bytes(value)) for key, value in iter_piece(piece)]
    assert found == pairs
    heads_bytes = sum(pair_bytes(*pair) for pair in pairs)
    assert len(piece) == (heads_bytes + 2 if pairs else 0)


def test_nothing_takes_no_bytes():
    assert encode_piece([]) == b""
    assert list(iter_piece(b"")) == []


def test_a_piece_that_is_cut_is_damage_or_holds_less():
    whole = encode_piece(PAIRS)
    ends = [2]
    for pair in PAIRS:
        ends.append(ends[-1] + pair_bytes(*pair))
    for cut in range(1, len(whole)):
        if cut in ends[1:]:
            assert len(list(iter_piece(whole[:cut]))) == ends.index(cut)
            continue
        with pytest.raises(Corrupt):
            list(iter_piece(whole[:cut]))


def test_a_piece_of_another_version_is_refused():
    whole = encode_piece(PAIRS)
    with pytest.raises(Invalid):
        list(iter_piece(struct.pack("<H", PIECE.version + 1) + whole[2:]))
