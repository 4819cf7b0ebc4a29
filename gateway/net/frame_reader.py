"""Cuts a byte stream into Kafka frames without copying large ones.

A frame is a big-endian int32 length and that many bytes. Small frames arrive together in one buffer
and are copied out (a few microseconds); a larger one is received straight into a block of its own,
and exactly to its end, so that it is never copied and never holds bytes of its successor.
"""

from __future__ import annotations

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
    """`buffer()` is where the next bytes go; after `received(n)`, `next_frame()` says which frames
    they complete, one after another, until it says None.
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

    def received(self, count_bytes: int) -> None:
        """So many bytes have come."""
        if self._large is None:
            self._end += count_bytes
        else:
            self.large_bytes += count_bytes

    def next_frame(self) -> memoryview | None:
        """A frame without its length prefix, writable, whose memory is the caller's own; None:
        there is none, until more bytes have come.

        Raises FrameTooLarge.
        """
        frame = self._cut_small() if self._large is None else self._whole_large()
        if frame is None:
            self._make_room()
        return frame

    def _whole_large(self) -> memoryview | None:
        frame = self._large
        if frame is None or self.large_bytes < len(frame):
            return None
        self._large, self.large_bytes = None, 0
        return frame

    def drop(self) -> None:
        """The stream has ended: its memory is free now, though what it brought may still run."""
        self._large, self.large_bytes = None, 0
        self._small, self._start, self._end = memoryview(b""), 0, 0

    def _cut_small(self) -> memoryview | None:
        at = self._start + LENGTH_BYTES
        if at > self._end:
            return None
        (length,) = _length.unpack_from(self._small, self._start)
        if not 0 <= length <= self._limit_bytes:
            raise FrameTooLarge(length, self._limit_bytes)
        end = at + length
        if end <= self._end:
            self._start = end
            return memoryview(bytearray(self._small[at:end]))
        if is_large(length):
            self._begin_large(at, length)
        return None

    def _begin_large(self, at: int, length: int) -> None:
        have = self._end - at
        self._large = memoryview(self._pool.take(length))[:length]
        self._large[:have] = self._small[at : self._end]
        self.large_bytes = have
        self._start = self._end = 0

    def _make_room(self) -> None:
        if self._start:
            left = self._end - self._start
            if left:
                self._small[:left] = self._small[self._start : self._end]
            self._start, self._end = 0, left
