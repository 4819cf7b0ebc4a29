"""Cuts a byte stream into Kafka frames without copying large ones.

A frame is a big-endian int32 length and that many bytes. Small frames arrive together in one buffer
and are copied out (a few microseconds); a larger one is received straight into a block of its own,
and exactly to its end, so that it is never copied and never holds bytes of its successor.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from gateway.net.buffers import BlockPool

LENGTH_BYTES = 4
# Per connection, idle ones too: memory per connection against bytes per read.
SMALL_BUFFER_BYTES = 32 * 1024
_length = Struct(">i")


class FrameTooLarge(Exception):
    """The announced length is negative or over the limit: the stream cannot be understood any
    further.
    """

    def __init__(self, length_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"a frame announces {length_bytes} bytes, this gateway takes 0 to {limit_bytes} "
            "(request_bytes_max); is the client speaking Kafka's protocol without TLS?"
        )


def is_large(length_bytes: int) -> bool:
    """Whether a frame of this length gets a block of its own."""
    return length_bytes > SMALL_BUFFER_BYTES - LENGTH_BYTES


class FrameReader:
    """`buffer()` is where the next bytes go; `received(n)` yields the frames that n more bytes
    complete.
    """

    __slots__ = ("_end", "_large", "_limit_bytes", "_pool", "_small", "_start", "large_bytes")

    def __init__(self, pool: BlockPool, limit_bytes: int) -> None:
        self._pool = pool
        self._limit_bytes = limit_bytes
        self._small = memoryview(bytearray(SMALL_BUFFER_BYTES))
        self._start = 0  # start <= end: the bytes of the small buffer that are not cut yet
        self._end = 0
        self._large: memoryview | None = None  # exactly one frame long
        self.large_bytes = 0  # of the large frame that is being received, as far as it has come

    def buffer(self) -> memoryview:
        """Never empty."""
        if self._large is not None:
            return self._large[self.large_bytes :]
        return self._small[self._end :]

    @property
    def is_inside_large(self) -> bool:
        return self._large is not None

    @property
    def announced_bytes(self) -> int:
        """The length of the large frame that is being received; 0 if there is none."""
        return 0 if self._large is None else len(self._large)

    @property
    def is_inside_frame(self) -> bool:
        """Whether the peer owes us the rest of a frame."""
        return self._large is not None or self._end > self._start

    def received(self, count_bytes: int) -> Iterator[memoryview]:
        """Frames without their length prefix; each is writable and its memory is the caller's own.

        Raises FrameTooLarge.
        """
        if self._large is not None:
            self.large_bytes += count_bytes
            if self.large_bytes == len(self._large):
                frame, self._large, self.large_bytes = self._large, None, 0
                yield frame
            return
        self._end += count_bytes
        yield from self._cut_small()
        self._make_room()

    def drop(self) -> None:
        """The stream has ended: its memory is free now, though what it brought may still run."""
        self._large, self.large_bytes = None, 0
        self._small, self._start, self._end = memoryview(b""), 0, 0

    def _cut_small(self) -> Iterator[memoryview]:
        while self._end - self._start >= LENGTH_BYTES:
            (length,) = _length.unpack_from(self._small, self._start)
            if not 0 <= length <= self._limit_bytes:
                raise FrameTooLarge(length, self._limit_bytes)
            at = self._start + LENGTH_BYTES
            if at + length <= self._end:
                self._start = at + length
                yield memoryview(bytearray(self._small[at : at + length]))
            elif is_large(length):
                self._begin_large(at, length)
                return
            else:
                return

    def _begin_large(self, at: int, length: int) -> None:
        have = self._end - at
        self._large = memoryview(self._pool.take(length))[:length]
        self._large[:have] = self._small[at : self._end]
        self.large_bytes = have
        self._start = self._end = 0

    def _make_room(self) -> None:
        if self._start:
            left = self._end - self._start
            self._small[:left] = self._small[self._start : self._end]
            self._start, self._end = 0, left
