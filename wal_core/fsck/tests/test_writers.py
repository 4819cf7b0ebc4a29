"""Whose blocks are the strangers' in a segment that has one writer."""

from __future__ import annotations

import pytest

from wal_core.format.block import Block, BlockIds, encode_entries, parse_block
from wal_core.fsck.writers import Writers
from wal_core.types import Entry


def block_by(writer: str) -> Block:
    ids = BlockIds(1, 0, 0, 1, 0, writer.encode() * 16)
    return parse_block(b"".join(encode_entries(ids, [Entry(1, 0, 1, 1, 0, b"x")]).pieces))


@pytest.mark.parametrize(
    ("row", "strangers"),
    [
        ("", []),
        ("aaa", []),
        ("aab", [2]),
        ("abb", [0]),
        ("ab", [1]),  # of two with as many, the earlier is believed
        ("abcab", [1, 4, 2]),
    ],
)
def test_the_writer_of_most_is_believed(row: str, strangers: list[int]):
    writers: Writers[int] = Writers()
    for number, writer in enumerate(row):
        writers.note(block_by(writer), number)
    assert writers.strangers() == strangers
