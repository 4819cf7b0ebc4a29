"""Reading a segment file after a crash: which blocks count, and where the torn tail begins.

Blocking; called in a thread. A write cut short leaves a prefix of good blocks and then anything:
half a block, zeros where pages never arrived, even a good later block whose write overtook. None
of that was confirmed, so it is cut. Damage to a *confirmed* block looks the same from its own
bytes; it is told apart by the blocks behind it, each of which states how many blocks of the
segment were durable when it was written.

What is read may be in the system's memory only. A killed writer may not have lived to sync it, or
have seen a sync fail: then its pages are marked clean, and no later sync would write them. So what
no later block proves to be durable is written again before anything is built on it.
"""

from __future__ import annotations

import mmap
import os
from collections import deque
from collections.abc import Collection
from pathlib import Path

from wal_core.errors import Corrupt, WalError
from wal_core.format.block import (
    BLOCK_MAGIC,
    HEADER_BYTES,
    NONCE_AT,
    NONCE_BYTES,
    Block,
    BlockHeader,
    parse_block,
    parse_header,
)
from wal_core.format.footer import TRAILER_BYTES, parse_trailer
from wal_core.format.places import Lost
from wal_core.stores.files import opened, pread_exact, pwrite_all

_BATCH_BYTES = 8 * 1024 * 1024
"""Blocks handed over per hop between thread and event loop."""


def read_footer_block(path: Path) -> Block | None:
    """The footer a finished file's trailer points to; None when file, trailer or footer is not
    whole (in the last segment: a torn write; in any other: damage, for the caller to report)."""
    try:
        with opened(path, os.O_RDONLY) as fd:
            end = os.fstat(fd).st_size - TRAILER_BYTES
            trailer = parse_trailer(pread_exact(fd, TRAILER_BYTES, end)) if end > 0 else None
            if trailer is None or trailer[0] + trailer[1] != end:
                return None
            block = parse_block(pread_exact(fd, trailer[1], trailer[0]))
            return block if block.is_footer else None
    except (FileNotFoundError, Corrupt):
        return None


def make_footer_durable(path: Path) -> None:
    """If the file is finished; its blocks have been durable since before the footer was written."""
    footer = read_footer_block(path)
    if footer is not None:
        with opened(path, os.O_RDWR) as fd:
            end = os.fstat(fd).st_size
            _write_again(fd, end - TRAILER_BYTES - footer.header.total_bytes, end)
            os.ftruncate(fd, end)  # as the writer had: without the padding of a direct write
            os.fsync(fd)


def _write_again(fd: int, start: int, end: int) -> None:
    for position in range(start, end, _BATCH_BYTES):
        piece = pread_exact(fd, min(_BATCH_BYTES, end - position), position)
        pwrite_all(fd, [piece], position)


class FileScan:
    """Walks an unfinished segment file from its start."""

    def __init__(self, path: Path, log_id: int, segment: int, nonce: bytes | None = None) -> None:
        self.path = path
        self.log_id = log_id
        self.segment = segment
        self.position = 0
        self.blocks_count = 0
        self._nonce: bytes | None = None  # of the segment's writer
        self._noted_nonce = nonce  # what somebody noted it to be
        self._durable_count = 0  # so many blocks are, as later ones state
        self._doubtful: deque[int] = deque()  # positions of the others

    def next_blocks(self, end: int | None = None) -> list[Block | Lost]:
        """The next few good data blocks, and what is lost between them; empty at the end of what
        counts, or at `end`."""
        found: list[Block | Lost] = []
        batch_end = self.position + _BATCH_BYTES
        if end is not None:
            batch_end = min(batch_end, end)
        with opened(self.path, os.O_RDONLY) as fd:
            while self.position < batch_end:
                block = self._block_at(fd, self.position)
                if block is None and (lost := self._lost(fd)):
                    # The file may be growing: look again, now that a later block is there.
                    block = self._block_at(fd, self.position)
                    if block is None:
                        self._pass_over(lost)
                        found.append(lost)
                        continue
                if block is None or block.is_footer:
                    # A footer without a whole trailer was never confirmed; it is written anew.
                    break
                self._doubtful.append(self.position)
                self.position += block.header.total_bytes
                self.blocks_count += 1
                self._note_durable(block.header.durable_count)
                self._nonce = block.header.nonce
                found.append(block)
        return found

    def _pass_over(self, lost: Lost) -> None:
        self._doubtful.extend([self.position] * lost.blocks_count)
        self.position += lost.span_bytes
        self.blocks_count += lost.blocks_count

    def _note_durable(self, count: int) -> None:
        while self._durable_count < min(count, self.blocks_count):
            self._durable_count += 1
            self._doubtful.popleft()

    def _block_at(self, fd: int, position: int) -> Block | None:
        try:
            header = parse_header(pread_exact(fd, HEADER_BYTES, position))
            if not self._belongs(header) or header.block != self.blocks_count:
                return None
            if position + header.total_bytes > os.fstat(fd).st_size:
                return None
            return parse_block(pread_exact(fd, header.total_bytes, position))
        except Corrupt:
            return None

    def _belongs(self, header: BlockHeader) -> bool:
        own = self._nonce is None or header.nonce == self._nonce
        return own and (header.log_id, header.segment) == (self.log_id, self.segment)

    def cut(self) -> int:
        """Truncate behind the last good block and make all before it durable; returns the bytes
        cut."""
        with opened(self.path, os.O_RDWR) as fd:
            size = os.fstat(fd).st_size
            if self._doubtful:
                _write_again(fd, self._doubtful[0], self.position)
            os.ftruncate(fd, self.position)
            os.fsync(fd)
            return size - self.position

    def _lost(self, fd: int) -> Lost | None:
        """What is damaged between here and the next good block, if a later one proves that the
        block missing here was durable; None: what is here is a torn tail."""
        size = os.fstat(fd).st_size
        if size <= self.position + HEADER_BYTES:
            return None
        with mmap.mmap(fd, size, access=mmap.ACCESS_READ) as content:
            # Only the writer knows its nonce, so bytes inside somebody's records that look like
            # a block cannot pass for evidence. Without a good block, the one that was noted and
            # the bad header's stand in: the latter is damaged as well, or right.
            nonce_at = self.position + NONCE_AT
            stand_ins = (self._noted_nonce, content[nonce_at : nonce_at + NONCE_BYTES])
            nonces = stand_ins if self._nonce is None else (self._nonce,)
            following: tuple[int, BlockHeader] | None = None
            at = content.find(BLOCK_MAGIC, self.position + 1)
            while at >= 0:
                header = self._later(content, at, nonces)
                if header is not None:
                    following = following or (at, header)
                    if header.durable_count > self.blocks_count:
                        count = following[1].block - self.blocks_count
                        text = f"damaged at byte {self.position}"
                        return Lost(self.blocks_count, count, following[0] - self.position, text)
                at = content.find(BLOCK_MAGIC, at + 1)
        return None

    def _later(
        self, content: mmap.mmap, at: int, nonces: Collection[bytes | None]
    ) -> BlockHeader | None:
        """The header of a whole block behind the missing one."""
        try:
            header = parse_header(content[at : at + HEADER_BYTES])
            own = (header.log_id, header.segment) == (self.log_id, self.segment)
            # No more blocks can be missing than there is room for.
            room_count = (at - self.position) // HEADER_BYTES
            if not own or not 0 < header.block - self.blocks_count <= room_count:
                return None
            if header.nonce not in nonces:
                return None
            return parse_block(content[at : at + header.total_bytes]).header
        except WalError:
            return None
