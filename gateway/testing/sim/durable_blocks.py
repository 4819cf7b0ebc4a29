"""The blocks of a segment's file that are on a simulated device."""

from __future__ import annotations

from wal_core import Corrupt
from wal_core.format.block import HEADER_BYTES, Block, parse_block, parse_header
from wal_core.testing.sim_disk import Inode


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
