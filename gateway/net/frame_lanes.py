"""What frames that are not whole yet may hold of the memory for requests.

They have two lanes, by the size that they announce, of a quarter of that memory each: the rest is
for requests that came whole and for small ones, which thus are always read. In a lane that is full
one frame at a time is read to its end, the finisher; the others wait. Who stalls meanwhile loses:
a frame that is slower than RATE_BYTES_PER_S by more than LAG_S_MAX gives its memory to those who
wait. Its time does not run while it is not read, but nobody waits for a turn for longer than
TURN_S_MAX: its client has given up by then, and who is not read is not seen to go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LANE_SHARE = 4
ORDINARY_BYTES_MAX = 1024 * 1024 + 64 * 1024  # what producers send by default
RATE_BYTES_PER_S = 64 * 1024
LAG_S_MAX = 2.0
CHECK_S = 0.5
TURN_S_MAX = 30.0  # Kafka's request.timeout.ms
LET_GO_AT_ONCE_COUNT = 100  # some milliseconds


class FrameLane:
    """The frames of one size, of all connections."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.frames: dict[IncomingFrame, None] = {}
        self.waiting: dict[IncomingFrame, None] = {}
        self.finisher: IncomingFrame | None = None
        self._timer: asyncio.TimerHandle | None = None

    def may_go_on(self, frame: IncomingFrame) -> bool:
        if self.used_bytes <= self.limit_bytes:
            return True
        if self.finisher is None:
            self.finisher = frame
        return self.finisher is frame

    def wait(self, frame: IncomingFrame) -> None:
        self.waiting[frame] = None
        self.watch()

    def watch(self, after_s: float = CHECK_S) -> None:
        if self._timer is None and self.waiting:
            self._timer = asyncio.get_running_loop().call_later(after_s, self._check)

    def _check(self) -> None:
        self._timer = None
        stalling = [frame for frame in self.frames if frame.lag_s() > LAG_S_MAX]
        for frame in stalling[:LET_GO_AT_ONCE_COUNT]:
            frame.let_go("it stalls in a frame, whose memory others need")
        late = [frame for frame in self.waiting if frame.waited_s() > TURN_S_MAX]
        for frame in late[:LET_GO_AT_ONCE_COUNT]:
            frame.let_go(f"no room for its frame within {TURN_S_MAX:g} s")
        self.watch(0 if max(len(stalling), len(late)) > LET_GO_AT_ONCE_COUNT else CHECK_S)

    def left(self, frame: IncomingFrame, count_bytes: int) -> None:
        self.used_bytes -= count_bytes
        assert self.used_bytes >= 0
        self.frames.pop(frame, None)
        self.waiting.pop(frame, None)
        if not self.yielded(frame):
            self._wake()

    def yielded(self, frame: IncomingFrame) -> bool:
        """It is done or cannot go on: if it was its turn, the next may."""
        if self.finisher is not frame:
            return False
        self.finisher = None
        self._wake()
        return True

    def _wake(self) -> None:
        # In the order of their coming; each asks again, and waits again if it has to.
        for one in list(self.waiting):
            if self.used_bytes > self.limit_bytes and self.finisher is not None:
                break
            if one in self.waiting:
                del self.waiting[one]
                one.resume()


class FrameLanes:
    """Both lanes of a memory of so many bytes."""

    def __init__(self, memory_bytes: int) -> None:
        self._ordinary = FrameLane(memory_bytes // LANE_SHARE)
        self._bulky = FrameLane(memory_bytes // LANE_SHARE)

    def lane_of(self, length_bytes: int) -> FrameLane:
        return self._ordinary if length_bytes <= ORDINARY_BYTES_MAX else self._bulky

    @property
    def used_bytes(self) -> int:
        return self._ordinary.used_bytes + self._bulky.used_bytes


class IncomingFrame:
    """The large frame that a connection is inside of, if any."""

    __slots__ = ("_bytes", "_lane", "_lanes", "_paid_s", "_paused_s", "let_go", "resume")

    def __init__(
        self, lanes: FrameLanes, resume: Callable[[], None], let_go: Callable[[str], None]
    ) -> None:
        self._lanes = lanes
        self.resume = resume
        self.let_go = let_go
        self._lane: FrameLane | None = None
        self._bytes = 0
        self._paid_s = 0.0  # up to then it came fast enough
        self._paused_s: float | None = None  # since when it is not read

    def began(self, length_bytes: int) -> None:
        """What came with its announcement is no more than any connection may hold."""
        lane = self._lane = self._lanes.lane_of(length_bytes)
        lane.frames[self] = None
        self._paid_s = asyncio.get_running_loop().time()
        self._paused_s = None

    def brought(self, count_bytes: int) -> None:
        lane = self._lane
        assert lane is not None
        now_s = asyncio.get_running_loop().time()
        self._paid_s = min(self._paid_s + count_bytes / RATE_BYTES_PER_S, now_s)
        self._bytes += count_bytes
        lane.used_bytes += count_bytes

    def ended(self) -> None:
        """It is whole, or will never be."""
        lane, self._lane = self._lane, None
        if lane is not None:
            count_bytes, self._bytes = self._bytes, 0
            lane.left(self, count_bytes)

    def lost(self) -> None:
        """Its connection has gone; neither may keep the other."""
        self.ended()
        self.resume, self.let_go = _nothing, _nothing

    def may_go_on(self) -> bool:
        return self._lane is None or self._lane.may_go_on(self)

    @property
    def is_late(self) -> bool:
        """Whether what comes now is only what was on its way when the lane became full."""
        lane = self._lane
        return lane is not None and lane.used_bytes > lane.limit_bytes and lane.finisher is not self

    def wait(self) -> None:
        """Call `resume` once there may be room."""
        assert self._lane is not None
        self._lane.wait(self)

    def cannot_go_on(self) -> None:
        """For a reason of its connection's own."""
        if self._lane is not None:
            self._lane.yielded(self)

    def paused(self) -> None:
        self._paused_s = asyncio.get_running_loop().time()

    def resumed(self) -> None:
        if self._paused_s is not None:
            self._paid_s += asyncio.get_running_loop().time() - self._paused_s
            self._paused_s = None

    def waited_s(self) -> float:
        """For how long it has not been read."""
        if self._paused_s is None:
            return 0.0
        return asyncio.get_running_loop().time() - self._paused_s

    def is_on_its_way(self, lag_s_max: float) -> bool:
        """Whether there is a frame, and it is not so far behind."""
        return self._lane is not None and self.lag_s() < lag_s_max

    def lag_s(self) -> float:
        """By how much it is behind; 0 while nobody reads it, or where there is none."""
        if self._lane is None or self._paused_s is not None:
            return 0.0
        return asyncio.get_running_loop().time() - self._paid_s


def _nothing(*_: str) -> None:
    """For a connection that has gone."""
