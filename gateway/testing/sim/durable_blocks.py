"""What came onto a simulated device: files that changed there, and the blocks of a segment's."""

from __future__ import annotations

from pathlib import PurePosixPath

from wal_core import Corrupt
from wal_core.format.block import HEADER_BYTES, Block, parse_block, parse_header
from wal_core.testing.sim_disk import Disk, Inode


class DurableFiles:
    """Those of a disk's folders, each told once for what it holds."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._told: dict[str, dict[str, tuple[Inode, int]]] = {}  # by folder and name

    def changed(self, folder: PurePosixPath) -> list[tuple[str, Inode]]:
        """By name, since the last time."""
        told = self._told.setdefault(str(folder), {})
        rows = []
        for name, inode in self._disk.durable_files(folder).items():
            now = (inode, inode.kept_count)
            if told.get(name) != now:
                told[name] = now
                rows.append((name, inode))
        return sorted(rows)


def durable_blocks(inode: Inode, number: int, position: int) -> tuple[list[Block], int]:
    """The whole ones from that number on, which begins at that position, and where they end."""
    view = memoryview(bytes(inode.durable[position:]))
    blocks: list[Block] = []
    at = 0
    while at + HEADER_BYTES <= len(view):
        try:
            header = parse_header(view[at : at + HEADER_BYTES])
            block = parse_block(view[at : at + header.total_bytes])
        except Corrupt:
            break
        if header.block != number + len(blocks):
            break
        blocks.append(block)
        at += header.total_bytes
    return blocks, position + at
