"""Where bytes are: slots of segments, places in objects, and what is gone."""

from __future__ import annotations

from typing import NamedTuple


class Slot(NamedTuple):
    """The place of one block in a segment."""

    log_id: int
    segment: int
    block: int
    position: int  # bytes before it in the segment; stores of whole objects ignore it


class Place(NamedTuple):
    """A range of an object, and the block that must be there."""

    key: str
    position: int
    length: int | None  # None: to the end of the object
    log_id: int
    segment: int
    block: int

    def ids(self) -> dict[str, int]:
        """For an error about it."""
        return {"log_id": self.log_id, "segment": self.segment, "block": self.block}


class Lost(NamedTuple):
    """Blocks that were durable once and cannot be read any more."""

    block: int  # number of the first
    blocks_count: int  # 0: it was the footer
    span_bytes: int  # what there is of them in a segment file; 0 where blocks are objects
    text: str  # what is wrong, for people
