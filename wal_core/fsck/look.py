"""What the parts of a check share: where they look, what they have found."""

from __future__ import annotations

import dataclasses

from wal_core.errors import Corrupt
from wal_core.format.places import Place, Slot
from wal_core.fsck.findings import Finding, Kind, LogReport
from wal_core.fsck.inventory import Inventory
from wal_core.fsck.reading import BlockReader, Problem
from wal_core.fsck.streams import StreamCheck
from wal_core.state.checkpoint import Checkpoint
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.base import SegmentStore
from wal_core.types import Entry, LogState


@dataclasses.dataclass(slots=True)
class Look:
    """One look at a log."""

    store: SegmentStore
    log_id: int
    deep: bool  # every block is read
    persist: Persistence
    reader: BlockReader
    inventory: Inventory
    report: LogReport
    streams: StreamCheck
    state: LogState | None
    checkpoint: Checkpoint | None  # told what rides on the log, as far as it can be read

    def place(
        self, segment: int, block: int, position: int = 0, length: int | None = None
    ) -> Place:
        return self.store.place(Slot(self.log_id, segment, block, position), length)

    def segment_name(self, segment: int) -> str:
        """The folder of a segment, or its file."""
        if self.store.segment_is_one_object:
            return self.place(segment, 0).key
        return f"logs/{self.log_id}/{segment:020d}"

    def blocks_of(self, segment: int) -> list[str]:
        """Keys of everything in a segment."""
        name = self.segment_name(segment)
        return self.inventory.under(name if self.store.segment_is_one_object else f"{name}/")

    def hole(self, kind: Kind, key: str, text: str) -> Finding:
        """Something that held nobody knows which records cannot be read."""
        finding = self.report.add(kind, key, text)
        self.streams.hole(finding)
        return finding

    async def size_bytes(self, key: str, least_bytes: int) -> int | None:
        """Of an object; None when it is not there. Files grow, and a log may be in use: what the
        listing has too small or not at all is asked for again."""
        listed = self.inventory.sizes.get(key)
        if listed is None or listed < least_bytes:
            listed = await self.persist(lambda: self.store.objects.size(key))
        return listed

    def apply(self, entry: Entry, key: str) -> None:
        """An entry behind the newest footer, as a start would take it."""
        if self.checkpoint is None:
            return
        try:
            self.checkpoint.apply(entry)
        except Corrupt as error:
            self.not_understood(error, key)

    def not_understood(self, error: Corrupt, key: str) -> None:
        """A step of a start failed; there are no more."""
        self.report.add(Kind.DAMAGED, key, f"no start understands it: {error.message}")
        self.checkpoint = None

    def problem(self, key: str, problem: Problem, text: str) -> Finding:
        return self.report.add(problem.kind, key, f"{problem.text}; {text}")
