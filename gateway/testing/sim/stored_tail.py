"""What logstores hold for certain, followed on their disks: what counts whatever happens next.

A block counts once two disks have it from its own writer, under the promise it was written under.
One that a later opener has copied counts with the end that opener decided on; an end counts once
two disks have it under the same term.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from gateway.testing.sim.durable_blocks import DurableFiles, durable_blocks
from gateway.testing.sim.oracle import StoredLog
from gateway.testing.sim.trace import Trace
from wal_core.format.block import Block, parse_block, parse_header
from wal_core.format.logstore_records import Final, parse_final
from wal_core.quorum.members import ACKS_COUNT, parse_ensemble
from wal_core.testing.sim_disk import Disk, Inode

_SEGMENT_NAME = re.compile(r"(\d{20})\.seg")
_FINAL_NAME = re.compile(r"(\d{20})\.final-(\d{20})")


class _Slot(NamedTuple):
    log_id: int
    segment: int
    number: int


class StoredTail:
    """Tells `stored` of what counts, in any order."""

    def __init__(self, disk: Disk, stored: StoredLog, trace: Trace) -> None:
        self._files = DurableFiles(disk)
        self._stored = stored
        self._trace = trace
        self._read: dict[tuple[PurePosixPath, int], tuple[Inode, int, int]] = {}
        self._finals_read: set[tuple[PurePosixPath, str]] = set()
        self._direct: dict[tuple[PurePosixPath, _Slot], bool] = {}
        self._holders: dict[tuple[_Slot, bytes], set[PurePosixPath]] = {}
        self._blocks: dict[_Slot, Block] = {}
        self._counted: set[_Slot] = set()
        self._enders: dict[tuple[int, int, int], set[PurePosixPath]] = {}  # log, segment, term
        self._ends: dict[tuple[int, int], tuple[int, bytes]] = {}
        self._footers: set[tuple[int, int]] = set()

    def sent(self, folder: PurePosixPath, stored: bytes, term: int) -> None:
        """A logstore is about to write a block, for whom it has promised the log under a term."""
        header = parse_header(stored)
        slot = _Slot(header.log_id, header.segment, header.block)
        self._direct[folder, slot] = header.term == term

    def synced(self, folder: PurePosixPath) -> None:
        """Something in the folder of a logstore's log became durable."""
        if not folder.name.isdecimal():
            return
        files = self._files.changed(folder)
        for name, inode in files:
            if (match := _SEGMENT_NAME.fullmatch(name)) is not None:
                self._follow(folder, int(match[1]), inode)
        for name, inode in files:
            if _FINAL_NAME.fullmatch(name) and (folder, name) not in self._finals_read:
                self._finals_read.add((folder, name))
                self._ended(folder, parse_final(bytes(inode.durable)))

    def _follow(self, folder: PurePosixPath, segment: int, inode: Inode) -> None:
        known, count, position = self._read.get((folder, segment), (inode, 0, 0))
        if known is not inode:
            count = position = 0
        blocks, position = durable_blocks(inode, count, position)
        for block in blocks:
            self._held(folder, _Slot(int(folder.name), segment, count), block)
            count += 1
        self._read[folder, segment] = (inode, count, position)

    def _held(self, folder: PurePosixPath, slot: _Slot, block: Block) -> None:
        if slot in self._counted:
            return
        self._blocks[slot] = block
        if self._direct.get((folder, slot)):
            holders = self._holders.setdefault((slot, block.header.nonce), set())
            holders.add(folder)
            if len(holders) >= ACKS_COUNT:
                self._count(slot)

    def _count(self, slot: _Slot) -> None:
        if slot not in self._counted:
            self._counted.add(slot)
            self._stored.add(*slot, self._blocks.pop(slot))

    def _ended(self, folder: PurePosixPath, final: Final) -> None:
        enders = self._enders.setdefault((final.log_id, final.segment, final.term), set())
        enders.add(folder)
        if len(enders) < ACKS_COUNT:
            return
        place = (final.log_id, final.segment)
        end = (final.end, final.footer)
        if self._ends.setdefault(place, end) != end:
            self._trace.violation("an end that is chosen stays", f"{place} has another: {final}")
            return
        for number in range(final.end):
            slot = _Slot(*place, number)
            if slot not in self._counted and slot not in self._blocks:
                self._trace.violation("an end has its blocks", f"nobody has {slot}")
                return
            self._count(slot)
        if place not in self._footers:
            self._footers.add(place)
            slot = _Slot(*place, final.end)
            if slot in self._counted:
                self._trace.violation("what two disks have counts", f"{place} ends before {slot}")
            _, footer = parse_ensemble(final.footer)
            self._stored.add(*slot, parse_block(footer))
