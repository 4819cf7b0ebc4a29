"""A request of one connection, from its last byte to its reply."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gateway.api import API_TABLE, Api, Begun, ReplyClass
from gateway.fairness.reply_share import ReplyRoom
from gateway.net.request_line import Place
from protocol import RequestHeader, decode_request_header

if TYPE_CHECKING:
    from gateway.fairness.reply_share import ReplyShare

KEY_BYTES = 2
NO_KEY = -1
SMALL_REPLY_BYTES = 64 * 1024
# Stands in for the header of a request that could not be read; its connection is closing.
_NO_HEADER = RequestHeader(-1, -1, 0, None)


class _Kind:
    """What a row of the table says of its requests, at hand: it is asked for each of them."""

    __slots__ = ("api", "brings_data", "is_parking", "is_pipelined", "read", "reads_data")

    def __init__(self, api: Api) -> None:
        self.api = api
        self.is_pipelined = api.pipelined
        self.brings_data = api.brings_data
        self.reads_data = api.reply is ReplyClass.DATA
        self.is_parking = api.parks
        self.read = None if api.at_once is None else api.at_once.read


_KINDS = {key: _Kind(api) for key, api in API_TABLE.items()}


class PendingRequest(Place):
    """A request between its arrival and its reply."""

    # What most of them never have is the class's: an object for each of ten thousand a second is
    # made of as little as possible.
    header = _NO_HEADER
    at = 0
    api: Api | None = None
    small: Any = None
    """What its API has read of it to begin it at once, if it can be."""
    begun: Begun | None = None
    """Begun at once, and waiting for nothing but its confirmation."""
    task: asyncio.Task[None] | None = None
    is_parking = False
    is_queued = False
    """It waits among large ones and has not begun."""
    throttle_s = 0.0
    """So long nothing more of the connection is read."""
    _room: ReplyRoom | None = None

    def __init__(self, frame: memoryview, share: ReplyShare) -> None:
        super().__init__(len(frame))
        self.frame: memoryview | None = frame
        self.arrived_s = perf_counter()
        self._share = share

    @property
    def is_waiting(self) -> bool:
        return self.begun is not None

    @property
    def room(self) -> ReplyRoom:
        """For its reply."""
        if self._room is None:
            self._room = ReplyRoom(self._share)
        return self._room

    def parse_header(self) -> None:
        """As much of it as is needed. Raises DecodeError."""
        frame = self.frame
        assert frame is not None
        key = frame[0] << 8 | frame[1] if len(frame) >= KEY_BYTES else NO_KEY
        kind = _KINDS.get(key)
        if kind is not None:
            self.api = kind.api
            self.is_pipelined = kind.is_pipelined
            self.brings_data = kind.brings_data
            self.reads_data = kind.reads_data
            self.is_parking = kind.is_parking
            if kind.read is not None:
                self.small = kind.read(frame)
        if self.small is None:
            self.parse_all()

    def parse_all(self) -> None:
        """The rest of the header; what is begun at once has no need of it. Raises DecodeError."""
        if self.header is _NO_HEADER:
            assert self.frame is not None
            self.header, self.at = decode_request_header(self.frame)

    def sent(self, unsent_bytes: int) -> None:
        """Its reply was handed to a transport that has not sent so much of what it has."""
        if unsent_bytes and self._room is None:
            assert self.reply is not None
            self.room.done(sum(map(len, self.reply)))
        if self._room is not None:
            self._room.sent(unsent_bytes)

    def has_left(self) -> None:
        """Its reply is sent, or never will be."""
        if self._room is not None:
            self._room.close()

    def replied(self, reply_bytes: int, *, leaves_at_once: bool) -> None:
        """Its reply is whole. What leaves in the same step takes no room, if it is small."""
        if self._room is not None or not leaves_at_once or reply_bytes > SMALL_REPLY_BYTES:
            self.room.done(reply_bytes)

    def cancel(self) -> None:
        """A task that is cancelled before its first step never runs, not even its end."""
        task, self.task = self.task, None  # which knows this request: neither may keep the other
        if task is not None:
            task.cancel()
