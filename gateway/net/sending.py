"""Replies with parts of files in them, from the page cache to the socket: sendfile(2), past the
transport, which must have nothing to send meanwhile.

A part that is in memory no more, for its reader was slow, is read by a thread: the loop never waits
for a device. Where there is no plain socket, such parts are read and go by the transport.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from protocol import BUFFERS, Buffer, all_in_memory, in_memory

if TYPE_CHECKING:
    from protocol import Piece
    from wal_core import Lane, Region

TURN_BYTES_MAX = 2 * 1024 * 1024
"""In one step of the loop: some half a millisecond."""
CALL_BYTES_MAX = 1024 * 1024
_MORE = getattr(socket, "MSG_MORE", 0)  # Linux: what follows joins it in a packet


class Sending:
    """Of one connection. What could not be sent at once `ended`, or `failed`, in a later step."""

    def __init__(
        self,
        transport: asyncio.Transport,
        readers: Lane,
        ended: Callable[[], None],
        failed: Callable[[OSError], None],
    ) -> None:
        self._transport = transport
        self._readers = readers
        self._ended, self._failed = ended, failed
        self._pieces: deque[Piece] = deque()
        self._socket: socket.socket | None = None
        """The transport's, by a descriptor of our own: that one may be closed, and another
        connection have its number, before we are told."""
        self._is_watched = False
        self._reading: asyncio.Future[bytes] | None = None
        self.left_bytes = 0

    @property
    def is_busy(self) -> bool:
        """Whether some of what was given is left."""
        return self.left_bytes > 0

    def send(self, pieces: Sequence[Piece]) -> None:
        """All of them, now or as the peer takes them; not while it is busy."""
        assert not self.is_busy
        if all_in_memory(pieces):
            _write(self._transport, pieces)
        elif not self._open():
            _write(self._transport, [in_memory(piece) for piece in pieces])
        else:
            self._pieces.extend(pieces)
            self.left_bytes = sum(map(len, pieces))
            self._go_on()

    def stop(self) -> None:
        """The connection is gone."""
        self._reading = None
        self._pieces.clear()
        self.left_bytes = 0
        self._close()
        self._ended, self._failed = _nobody_left, _nobody_left  # neither may keep the other

    def _open(self) -> bool:
        transport = self._transport
        own = transport.get_extra_info("socket")
        if own is None or transport.get_extra_info("ssl_object") is not None:
            return False
        if transport.get_write_buffer_size():
            return False  # which comes first
        try:
            fd = os.dup(own.fileno())
        except OSError:
            return False  # no more descriptors
        self._socket = socket.socket(own.family, socket.SOCK_STREAM, 0, fd)
        self._socket.setblocking(False)
        return True

    def _close(self) -> None:
        if self._socket is not None:
            self._watch(is_wanted=False)
            self._socket.close()
            self._socket = None

    def _watch(self, *, is_wanted: bool) -> None:
        """Be called when the peer takes more, or not any more."""
        if is_wanted != self._is_watched:
            assert self._socket is not None
            loop: Any = asyncio.get_running_loop()  # uvloop's does not return what asyncio's does
            if is_wanted:
                loop.add_writer(self._socket, self._resumed)
            else:
                loop.remove_writer(self._socket)
            self._is_watched = is_wanted

    def _resumed(self) -> None:
        self._go_on()
        if not self.is_busy:
            self._ended()

    def _go_on(self) -> None:
        """Send what the peer takes now; the rest follows when it takes more."""
        turn_end_bytes = self.left_bytes - TURN_BYTES_MAX
        try:
            while self._pieces and self._reading is None and self.left_bytes > turn_end_bytes:
                self._send_first()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._watch(is_wanted=False)
            self._failed(error)
            return
        if self._pieces:
            self._watch(is_wanted=self._reading is None)
        else:
            self._close()

    def _send_first(self) -> None:
        """Some of the first piece, at most; raises BlockingIOError when the peer takes no more."""
        assert self._socket is not None
        piece = self._pieces[0]
        if isinstance(piece, BUFFERS):
            sent_bytes = self._socket.send(piece, _MORE if len(self._pieces) > 1 else 0)
        else:
            region = cast("Region", piece)[:CALL_BYTES_MAX]
            # It was when it was read; but that may be long ago, behind other replies.
            if not region.is_in_memory(asyncio.get_running_loop().time()):
                self._read(region)
                return
            sent_bytes = region.send(self._socket.fileno())
        self.left_bytes -= sent_bytes
        self._behind(sent_bytes)

    def _behind(self, count_bytes: int) -> None:
        """So much of the first piece is done."""
        piece = self._pieces.popleft()
        if count_bytes < len(piece):
            view = memoryview(piece) if isinstance(piece, BUFFERS) else cast("Region", piece)
            self._pieces.appendleft(view[count_bytes:])

    def _read(self, region: Region) -> None:
        """The first bytes that are left, in a thread."""
        self._reading = self._readers.start(region.read)
        self._reading.add_done_callback(self._read_done)

    def _read_done(self, reading: asyncio.Future[bytes]) -> None:
        if reading.cancelled():
            return  # the process ends
        if reading is not self._reading:
            reading.exception()  # nobody waits for it any more
            return
        self._reading = None
        error = reading.exception()
        if isinstance(error, OSError):
            self._failed(error)
            return
        found = reading.result()
        self._behind(len(found))
        self._pieces.appendleft(found)
        self._resumed()


def _nobody_left(_: object = None) -> None:
    """Of a connection that has gone."""


def _write(transport: asyncio.Transport, pieces: Sequence[Buffer]) -> None:
    if len(pieces) == 1:
        transport.write(pieces[0])
    else:
        transport.writelines(pieces)
