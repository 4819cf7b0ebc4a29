"""The reading half of a connection: bytes in, whole frames out, and when its socket is read.

Past a limit (requests or bytes in flight, here or over all connections; replies the client does
not take) it is not read: the sender slows down, nothing is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.net.frame_lanes import IncomingFrame
from gateway.net.frame_reader import FrameReader, FrameTooLarge
from gateway.settings.config import LATE_READ_BYTES_MAX

if TYPE_CHECKING:
    from gateway.net.hub import Hub
    from gateway.net.pending_request import PendingRequest
    from gateway.net.request_line import RequestLine
    from gateway.net.stall_watch import StallWatch


class Intake:
    """`made` with the socket, then `room` and `brought` for each read, in the end `lost`."""

    def __init__(
        self,
        hub: Hub,
        line: RequestLine[PendingRequest],
        stall: StallWatch,
        let_go: Callable[[str], None],
    ) -> None:
        self._hub = hub
        self._line = line
        self._stall = stall
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader(hub.pool, hub.limits.request_bytes_max)
        self._frame = IncomingFrame(hub.frames, self.resume_if_room, let_go)
        self._is_held = False
        self._is_muted = False
        self._is_paused = False
        self._asked_for_budget = False

    def made(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def lost(self) -> None:
        budget = self._hub.budget
        budget.forget(self._resume_after_budget)
        budget.has_finished(self)
        budget.give_back(self._reader.large_bytes)
        self._reader.drop()
        self._frame.lost()
        self._is_held = False

    # -- frames ----------------------------------------------------------------------------

    @property
    def is_inside_frame(self) -> bool:
        return self._reader.is_inside_frame

    @property
    def is_inside_large(self) -> bool:
        return self._reader.is_inside_large

    @property
    def is_owed(self) -> bool:
        """Whether the rest of a frame would be read if it came."""
        return self._reader.is_inside_frame and not self._is_paused

    def is_on_its_way(self, lag_s_max: float) -> bool:
        return self._frame.is_on_its_way(lag_s_max)

    def room(self) -> memoryview:
        """Where the next bytes go."""
        room, budget = self._reader.buffer(), self._hub.budget
        if self._frame.is_late or (budget.is_exceeded and not budget.is_finisher(self)):
            return room[:LATE_READ_BYTES_MAX]  # on its way already when others filled the memory
        return room

    def brought(
        self,
        count_bytes: int,
        arrived: Callable[[memoryview], None],
        refused: Callable[[str], None],
    ) -> None:
        """So many bytes have come: `arrived` for each frame that is whole now, `refused` where what
        follows is none."""
        reader, budget = self._reader, self._hub.budget
        was_inside = reader.is_inside_large
        if was_inside:
            budget.take(count_bytes)
            self._frame.brought(count_bytes)
        try:
            reader.received(count_bytes)
            while (frame := reader.next_frame()) is not None:
                self._stall.stop()
                self._frame.ended()
                arrived(frame)
                if self._line.is_ending:
                    break
        except FrameTooLarge as error:
            self._stall.stop()
            refused(str(error))
        if not was_inside and reader.is_inside_large:
            budget.take(reader.large_bytes)  # the head of a large frame that has just begun
            self._frame.began(reader.announced_bytes)
        self.pause_if_full()
        if reader.is_inside_frame or self._is_held:
            self._stall.watch()

    def hand_over(self, request: PendingRequest) -> None:
        """If it was our turn to finish a frame, it is now the request's to be done."""
        self._hub.budget.hand_over(self, request)

    def yield_turn(self) -> None:
        """What came whole is no request."""
        self._hub.budget.has_finished(self)

    # -- back-pressure ---------------------------------------------------------------------

    def hold(self) -> None:
        """The client does not take its replies."""
        self._is_held = True
        self.pause_if_full()

    def release(self) -> None:
        """It does again; `resume_if_room` follows."""
        self._is_held = False

    def mute(self) -> None:
        """The client has used more than its quota."""
        self._is_muted = True
        self.pause_if_full()

    def unmute(self) -> None:
        """It may go on; `resume_if_room` follows."""
        self._is_muted = False

    def _is_full(self) -> bool:
        """Whether this connection has reached a limit of its own."""
        return self._is_held or self._is_muted or self._line.is_full

    def _lacks_budget(self) -> bool:
        """Whether all connections together have reached theirs, and it is not our turn."""
        budget = self._hub.budget
        if not self._frame.may_go_on():
            budget.has_finished(self)  # it could not use a turn there
            return True
        if self._frame.must_pause and not budget.is_finisher(self):
            return True
        return budget.is_exceeded and not (self._reader.is_inside_large and budget.may_finish(self))

    def pause_if_full(self) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            return
        is_full = self._is_full()
        if not is_full and not self._lacks_budget():
            return
        if not self._is_paused:
            self._is_paused = True
            self._frame.paused()
            self._transport.pause_reading()
        if not self._is_held:
            self._stall.stop()
        if is_full:
            self._hub.budget.has_finished(self)
            self._frame.cannot_go_on()
        elif self._frame.must_pause or not self._frame.may_go_on():
            self._frame.wait()
        elif not self._asked_for_budget:
            self._asked_for_budget = True
            self._hub.budget.call_when_free(self._resume_after_budget)

    def _resume_after_budget(self) -> None:
        self._asked_for_budget = False
        self.resume_if_room()

    def resume_if_room(self) -> None:
        assert self._transport is not None
        if not self._is_paused or self._transport.is_closing() or self._hub.stopping:
            return
        if self._is_full() or self._lacks_budget():
            self.pause_if_full()
            return
        self._is_paused = False
        self._frame.resumed()
        self._transport.resume_reading()
        self._stall.watch()

    def stop(self) -> None:
        """Read nothing more, for good."""
        assert self._transport is not None
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()
        self._stall.stop()
