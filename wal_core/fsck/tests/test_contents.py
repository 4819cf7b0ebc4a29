"""Block against table: each way in which they can differ is told in words."""

from __future__ import annotations

import pytest

from wal_core.format.block import BlockIds, encode_entries, parse_block
from wal_core.format.stream_tables import Run
from wal_core.fsck.contents import disagreement
from wal_core.state.survey import LiveRun
from wal_core.types import Entry

IDS = BlockIds(1, 0, 0, 1, 0, bytes(16))
ENTRIES = [Entry(1, 10, 2, 2, 5, b"aaaa"), Entry(2, 0, 1, 1, 7, b"b"), Entry(1, 12, 1, 1, 3, b"cc")]
TRUE = [LiveRun(Run(1, 0, 10, 5, 0), 13, 6), LiveRun(Run(2, 0, 0, 7, 0), 1, 1)]


def differ(entries: list[Entry], runs: list[LiveRun], alive: set[int] | None = None) -> str:
    block = parse_block(b"".join(encode_entries(IDS, entries).pieces))
    return disagreement(block, runs, alive)


def test_nothing_is_said_where_they_agree():
    assert differ(ENTRIES, TRUE) == ""
    assert differ(ENTRIES, TRUE, {1, 2}) == ""
    assert differ(ENTRIES, TRUE[:1], {1}) == ""  # stream 2 is dropped
    assert differ(ENTRIES, TRUE[:1], None) == ""


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (TRUE[0]._replace(end_offset=14), "it has offsets 10 to 12 of stream 1, the table says"),
        (TRUE[0]._replace(payload_bytes=7), "6 bytes of stream 1, the table says 7"),
        (
            TRUE[0]._replace(run=Run(1, 0, 10, 6, 0)),
            "stream 1 has timestamps up to 5 in it, the table says 6",
        ),
        (TRUE[0]._replace(run=Run(3, 0, 10, 5, 0)), "of stream 3; it has none of them"),
    ],
)
def test_what_the_table_has_wrong_is_named(run: LiveRun, text: str):
    assert text in differ(ENTRIES, [run, TRUE[1]])


def test_what_the_table_does_not_know_is_named_if_it_is_alive():
    said = differ(ENTRIES, TRUE[:1], {1, 2})
    assert said == "it has offsets 0 to 0 of stream 2, which the table does not know"


def test_a_gap_inside_a_block_is_named():
    gap = [ENTRIES[0], ENTRIES[2]._replace(base_offset=13)]
    assert differ(gap, []) == "stream 1 jumps from 12 to 13 in it"
