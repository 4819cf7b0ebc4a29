"""The tables of a finished segment, whoever left them: and where its blocks are."""

from __future__ import annotations

from typing import TypeAlias

from wal_core.format.footer import Footer
from wal_core.format.places import Place, Slot
from wal_core.format.sealed_index import SealedIndex
from wal_core.format.segment_index import SegmentIndex
from wal_core.stores.segments.base import SegmentStore

Tables: TypeAlias = Footer | SealedIndex


def place_of(store: SegmentStore, log_id: int, view: Tables | SegmentIndex, number: int) -> Place:
    """Where a block of a segment is, finished or not."""
    if isinstance(view, SealedIndex):
        return view.place(number)
    at = view.extent(number)
    return store.place(Slot(log_id, view.segment, number, at.position), at.length)
