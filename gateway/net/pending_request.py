"""A request of one connection, from its last byte to its reply."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from gateway.api import API_TABLE, Api, ReplyClass
from gateway.fairness.reply_share import ReplyRoom
from gateway.net.request_line import Place
from protocol import RequestHeader, decode_request_header

if TYPE_CHECKING:
    from gateway.fairness.reply_share import ReplyShare

# Stands in for the header of a request that could not be read; its connection is closing.
_NO_HEADER = RequestHeader(-1, -1, 0, None)


class PendingRequest(Place):
    """A request between its arrival and its reply."""

    __slots__ = (
        "api",
        "arrived_s",
        "at",
        "frame",
        "header",
        "is_parking",
        "is_queued",
        "room",
        "task",
        "throttle_s",
    )

    def __init__(self, frame: memoryview, share: ReplyShare) -> None:
        super().__init__(len(frame))
        self.frame: memoryview | None = frame
        self.header = _NO_HEADER
        self.at = 0
        self.arrived_s = perf_counter()
        self.api: Api | None = None
        self.task: asyncio.Task[None] | None = None
        self.room = ReplyRoom(share)
        self.is_parking = False
        self.throttle_s = 0.0  # so long nothing more of the connection is read
        self.is_queued = False  # it waits among large ones and has not begun

    def parse_header(self) -> None:
        assert self.frame is not None
        self.header, self.at = decode_request_header(self.frame)
        self.api = api = API_TABLE.get(self.header.api_key)
        if api is not None:
            self.is_pipelined = api.pipelined
            self.brings_data = api.brings_data
            self.reads_data = api.reply is ReplyClass.DATA
            self.is_parking = api.parks

    def cancel(self) -> None:
        """A task that is cancelled before its first step never runs, not even its end."""
        task, self.task = self.task, None  # which knows this request: neither may keep the other
        if task is not None:
            task.cancel()
