"""Frames between a logstore and those who ask it: put together, and cut out of a stream.

A frame is a head, which says what it is and is covered by a CRC, and maybe a body: blocks, which
have CRCs of their own. Pure: no sockets here. Source: WIRE.md.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from wal_core.errors import Corrupt, Invalid
from wal_core.format.block import crc32c
from wal_core.types import Buffer

FRAME_BYTES_MAX = 64 * 1024 * 1024
"""Larger: larger blocks and footers; more memory for one frame."""
BUFFER_BYTES = 256 * 1024
"""What is received at a stretch; a frame that is larger gets memory of its own."""

_PREFIX = struct.Struct("<III")
_LENGTHS = struct.Struct("<II")
_LENGTH_BYTES = 4


class Frame:
    """One that was received: its bytes are its own."""

    __slots__ = ("body", "head", "total_bytes")

    def __init__(self, head: memoryview, body: memoryview, total_bytes: int) -> None:
        self.head = head
        self.body = body
        self.total_bytes = total_bytes


def encode_frame(head: bytes, body: Sequence[Buffer] = ()) -> list[Buffer]:
    """In pieces, to be written without joining them."""
    body_bytes = sum(map(len, body))
    length = _PREFIX.size - _LENGTH_BYTES + len(head) + body_bytes
    if length > FRAME_BYTES_MAX:
        raise Invalid(f"a frame of {length} bytes; {FRAME_BYTES_MAX} are allowed")
    lengths = _LENGTHS.pack(length, len(head))
    crc = crc32c(head, crc32c(lengths))
    return [lengths + crc.to_bytes(4, "little") + head, *body]


def parse_frame(stored: Buffer) -> Frame:
    """A whole one. Raises Corrupt."""
    view = memoryview(stored)
    _, head_bytes, crc = _PREFIX.unpack_from(view)
    end = _PREFIX.size + head_bytes
    if end > len(view):
        raise Corrupt(f"a frame of {len(view)} bytes with a head of {head_bytes}")
    head = view[_PREFIX.size : end]
    if crc32c(head, crc32c(view[: _LENGTHS.size])) != crc:
        raise Corrupt("CRC-32C of a frame's head does not match")
    return Frame(head, view[end:], len(view))


class FrameReceiver:
    """Cuts frames out of what a connection receives. `room`, then `received`, again and again."""

    def __init__(self) -> None:
        self._buffer = bytearray(BUFFER_BYTES)
        self._start = self._end = 0  # what has come and is in no frame yet
        self._large: bytearray | None = None
        self._large_end = 0
        self.awaited_bytes = 0
        """Of a large frame whose begin has come, and for which `receive_large` must be called."""

    @property
    def is_within_frame(self) -> bool:
        """Has part of a frame come?"""
        return self._large is not None or self._end > self._start

    def room(self) -> memoryview:
        """Where to put what comes; never empty, unless a large frame is awaited."""
        if self._large is not None:
            return memoryview(self._large)[self._large_end :]
        return memoryview(self._buffer)[self._end :]

    def received(self, count: int) -> list[Frame]:
        """So many bytes have been put there. Raises Corrupt for what is no frame: then nothing that
        follows can be understood."""
        if self._large is not None:
            self._large_end += count
            if self._large_end < len(self._large):
                return []
            whole, self._large = self._large, None
            return [parse_frame(whole)]
        self._end += count
        frames: list[Frame] = []
        view = memoryview(self._buffer)
        while self._end - self._start >= _LENGTH_BYTES:
            length = int.from_bytes(view[self._start : self._start + _LENGTH_BYTES], "little")
            if not _PREFIX.size - _LENGTH_BYTES <= length <= FRAME_BYTES_MAX:
                raise Corrupt(f"a frame of {length} bytes; {FRAME_BYTES_MAX} are allowed")
            end = self._start + _LENGTH_BYTES + length
            if end > self._end:
                break
            # Its own memory: a block is kept until it is written, this buffer is used again.
            frames.append(parse_frame(bytes(view[self._start : end])))
            self._start = end
        self._make_room(view)
        return frames

    def _make_room(self, view: memoryview) -> None:
        left = self._end - self._start
        if left and self._start:
            view[:left] = bytes(view[self._start : self._end])
        self._start, self._end = 0, left
        if left >= _LENGTH_BYTES:
            total = _LENGTH_BYTES + int.from_bytes(view[:_LENGTH_BYTES], "little")
            if total > BUFFER_BYTES:
                self.awaited_bytes = total

    def receive_large(self) -> None:
        """There is memory for the frame that is awaited."""
        self._large = bytearray(self.awaited_bytes)
        self._large[: self._end] = memoryview(self._buffer)[: self._end]
        self._large_end, self._start, self._end = self._end, 0, 0
        self.awaited_bytes = 0
