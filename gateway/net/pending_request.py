"""A request of one connection, from its last byte to its reply."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.api import API_TABLE, Api
from gateway.fairness.reply_share import ReplyRoom
from protocol import ApiKey, RequestHeader, decode_request_header

if TYPE_CHECKING:
    from gateway.fairness.reply_share import ReplyShare
    from protocol import Buffer

# Those that may wait for long and that only their client has a use for.
PARKING = frozenset({ApiKey.FETCH, ApiKey.JOIN_GROUP, ApiKey.SYNC_GROUP})

# Stands in for the header of a request that could not be read; its connection is closing.
_NO_HEADER = RequestHeader(-1, -1, 0, None)


class PendingRequest:
    """A request between its arrival and its reply."""

    __slots__ = (
        "api",
        "at",
        "close_reason",
        "frame",
        "header",
        "held_bytes",
        "is_queued",
        "reply",
        "room",
        "size_bytes",
        "task",
    )

    def __init__(self, frame: memoryview, share: ReplyShare) -> None:
        self.frame: memoryview | None = frame
        self.size_bytes = len(frame)
        self.header = _NO_HEADER
        self.at = 0
        self.api: Api | None = None
        self.task: asyncio.Task[None] | None = None
        self.reply: Sequence[Buffer] | None = None  # empty: done, and nothing to send
        self.room = ReplyRoom(share)
        self.held_bytes = 0  # of the reply, when it had to wait for an earlier one
        self.is_queued = False  # it waits among large ones and has not begun
        self.close_reason: str | None = None  # set: its reply is that the connection is closed

    def end(self, close_reason: str) -> None:
        """It gets no reply; nothing behind it can, or the client would take it for this one's."""
        self.reply = ()
        self.close_reason = close_reason

    def parse_header(self) -> None:
        assert self.frame is not None
        self.header, self.at = decode_request_header(self.frame)
        self.api = API_TABLE.get(self.header.api_key)

    @property
    def is_pipelined(self) -> bool:
        return self.api is not None and self.api.pipelined

    @property
    def is_produce(self) -> bool:
        return self.api is not None and self.api.key == ApiKey.PRODUCE

    @property
    def is_parking(self) -> bool:
        return self.api is not None and self.api.key in PARKING

    @property
    def is_fetch(self) -> bool:
        return self.api is not None and self.api.key == ApiKey.FETCH
