"""Where an offset is: borders, gaps, and what lies before and behind all."""

from __future__ import annotations

import pytest

from wal_core.format.stream_tables import Run
from wal_core.read.offsets import entry_of_offset, run_of_offset
from wal_core.types import Entry

# From 10 to 14 and from 20 to 21; what was between is gone.
ENTRIES = [Entry(0, 10, 2, 1, -1, b""), Entry(0, 12, 3, 1, -1, b""), Entry(0, 20, 2, 1, -1, b"")]


@pytest.mark.parametrize(
    ("offset", "at"), [(9, -1), (10, 0), (11, 0), (12, 1), (14, 1), (15, -1), (20, 2), (22, -1)]
)
def test_an_entry_holds_what_is_within_its_span(offset: int, at: int) -> None:
    assert entry_of_offset(ENTRIES, offset) == at
    assert entry_of_offset([], offset) == -1


@pytest.mark.parametrize(("offset", "at"), [(9, -1), (10, 0), (19, 0), (20, 1), (99, 1)])
def test_a_run_goes_up_to_the_next(offset: int, at: int) -> None:
    runs = [Run(0, number, first, -1, 0) for number, first in enumerate((10, 20))]
    assert run_of_offset(runs, offset) == at
    assert run_of_offset([], offset) == -1
