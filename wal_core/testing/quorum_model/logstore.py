"""What a logstore does with a request. Nothing is the reply of who refuses, or does not know."""

from __future__ import annotations

from wal_core.testing.quorum_model.rules import Rule
from wal_core.testing.quorum_model.values import HERE, LOST, NO_FINAL, Disk, Final


class Logstore:
    """The acts of one. `terms` are those of the writers, by name."""

    def __init__(self, terms: dict[str, int], broken: frozenset[Rule]) -> None:
        self._terms = {**terms, "": 0}
        self._broken = broken

    def answers(self, disk: Disk) -> bool:
        known = disk.presence == HERE
        return known or (disk.presence == LOST and Rule.UNKNOWN_IS_SILENT in self._broken)

    def promise(self, disk: Disk, name: str) -> Disk | None:
        last, term = self._terms[disk.promised], self._terms[name]
        above = term >= last if Rule.PROMISE_ABOVE in self._broken else term > last
        return disk._replace(promised=name) if above or disk.promised == name else None

    def append(self, disk: Disk, name: str, segment: int, at: int, block: str) -> Disk | None:
        """Only what changes something: a block that is there is a success, and nothing new."""
        if disk.promised != name and Rule.APPEND_PROMISED not in self._broken:
            return None
        old = disk.segment(segment)
        blocks = old.blocks
        if Rule.APPEND_DENSE in self._broken and len(blocks) < at:
            blocks += ("",) * (at - len(blocks))
        if old.final != NO_FINAL and Rule.APPEND_DESPITE_FINAL in self._broken:
            return None
        if len(blocks) != at:
            return None
        return disk.with_segment(segment, old._replace(blocks=(*blocks, block)))

    def accept(self, disk: Disk, name: str, segment: int, final: Final) -> Disk | None:
        if disk.promised != name and Rule.FINAL_PROMISED not in self._broken:
            return None
        old = disk.segment(segment)
        if len(old.blocks) < final.end and Rule.FINAL_WITH_DATA not in self._broken:
            return None
        return disk.with_segment(segment, old._replace(final=final))
