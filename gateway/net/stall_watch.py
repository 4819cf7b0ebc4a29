"""A deadline while a peer owes us something: to take its replies, or to finish a frame."""

from __future__ import annotations

import asyncio
from typing import Protocol

STALL_TIMEOUT_S = 120.0  # a peer that neither takes its replies nor finishes its frame is let go


class Peer(Protocol):
    """What is asked of a connection about its client."""

    @property
    def owes_room(self) -> bool:
        """Whether it does not take its replies."""
        ...

    @property
    def owes_frame(self) -> bool:
        """Whether it is inside of a frame, and we read."""
        ...

    def unsent_bytes(self) -> int: ...

    def is_sending(self) -> bool:
        """Whether a large frame comes, slowly at the worst."""
        ...

    def stalled(self, reason: str) -> None:
        """It made no progress in all that time."""
        ...


class StallWatch:
    """`watch` whenever something may be owed, `stop` when something was done; in the end `lost`."""

    def __init__(self, peer: Peer) -> None:
        self._peer: Peer | None = peer
        self._timer: asyncio.TimerHandle | None = None
        self._unsent_bytes = 0  # when the timer was armed

    def watch(self) -> None:
        peer = self._peer
        if self._timer is None and peer is not None and (peer.owes_room or peer.owes_frame):
            self._unsent_bytes = peer.unsent_bytes()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(STALL_TIMEOUT_S, self._due)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def lost(self) -> None:
        """The peer has gone; neither may keep the other."""
        self.stop()
        self._peer = None

    def _due(self) -> None:
        self._timer = None
        peer = self._peer
        assert peer is not None
        if self._is_slow(peer):
            self.watch()
        else:
            peer.stalled(f"no progress for {STALL_TIMEOUT_S:g} s")

    def _is_slow(self, peer: Peer) -> bool:
        """But takes some of its replies, or sends some of its frame."""
        if peer.owes_room:
            return peer.unsent_bytes() < self._unsent_bytes
        return peer.is_sending()
