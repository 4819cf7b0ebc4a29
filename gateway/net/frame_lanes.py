"""What frames that are not whole yet may hold of the memory for requests.

They have two lanes, by the size that they announce, of a quarter of that memory each: the rest is
for requests that came whole and for small ones, which thus are always read. In a lane that is full
one frame at a time is read to its end, the finisher; the others wait. Who stalls meanwhile loses:
a frame that is slower than RATE_BYTES_PER_S by more than LAG_S_MAX gives its memory to those who
wait. Its time does not run while it is not read, but nobody waits for a turn for longer than
TURN_S_MAX: its client has given up by then, and who is not read is not seen to go.

A crowd that comes at once, or for which there is room at once, takes the loop no longer than a
slice in each of its turns: so much is read, so many are read again, the rest in the next ones.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import islice

LANE_SHARE = 4
ORDINARY_BYTES_MAX = 1024 * 1024 + 64 * 1024  # what producers send by default
RATE_BYTES_PER_S = 64 * 1024
LAG_S_MAX = 2.0
CHECK_S = 0.5
TURN_S_MAX = 30.0  # Kafka's request.timeout.ms
LET_GO_AT_ONCE_COUNT = 50  # some milliseconds, as the next two
RESUMED_AT_ONCE_COUNT = 32
LOOP_TURN_BYTES_MAX = 4 * 1024 * 1024


class FrameLane:
    """The frames of one size, of all connections."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        # Fields, for they are asked for with each read of a socket.
        self.is_full = False  # more is used than the limit
        self.is_turn_spent = False  # so much was brought in this turn of the loop
        self.frames: dict[IncomingFrame, None] = {}
        # A plain dict looks for its first key behind all that were deleted there.
        self.waiting: OrderedDict[IncomingFrame, None] = OrderedDict()
        self.finisher: IncomingFrame | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due: deque[IncomingFrame] = deque()  # those who lose, as far as they still do
        # In this turn of the loop, whose end will be seen if either is above 0.
        self._brought_bytes = 0
        self._resumed_count = 0
        self._is_turning = False

    def brought(self, count_bytes: int) -> None:
        self.used_bytes += count_bytes
        self._brought_bytes += count_bytes
        self.is_full = self.used_bytes > self.limit_bytes
        self.is_turn_spent = self._brought_bytes >= LOOP_TURN_BYTES_MAX
        self._see_the_turns_end()

    def is_turn_of(self, frame: IncomingFrame) -> bool:
        """Once it is full: the first who asks while it is nobody's turn gets it."""
        if self.finisher is None:
            self.finisher = frame
        return self.finisher is frame

    def wait(self, frame: IncomingFrame) -> None:
        self.waiting[frame] = None
        self.watch()

    def watch(self) -> None:
        if self._timer is None and self.waiting:
            self._timer = asyncio.get_running_loop().call_later(CHECK_S, self._check)

    def _check(self) -> None:
        self._timer = None
        self._due += [frame for frame in self.frames if frame.lag_s() > LAG_S_MAX]
        self._due += [frame for frame in self.waiting if frame.waited_s() > TURN_S_MAX]
        self._let_go_due()

    def _let_go_due(self) -> None:
        self._timer = None
        for _ in range(min(LET_GO_AT_ONCE_COUNT, len(self._due))):
            frame = self._due.popleft()
            if frame.lag_s() > LAG_S_MAX:
                frame.let_go("it stalls in a frame, whose memory others need")
            elif frame in self.waiting and frame.waited_s() > TURN_S_MAX:
                frame.let_go(f"no room for its frame within {TURN_S_MAX:g} s")
        if self._due:
            self._timer = asyncio.get_running_loop().call_later(0, self._let_go_due)
        else:
            self.watch()

    def left(self, frame: IncomingFrame, count_bytes: int) -> None:
        self.used_bytes -= count_bytes
        assert self.used_bytes >= 0
        self.is_full = self.used_bytes > self.limit_bytes
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
        if self.is_turn_spent or not self.waiting:
            return
        # In the order of their coming; each asks again, and waits again if it has to.
        left_count = max(0, RESUMED_AT_ONCE_COUNT - self._resumed_count)
        for one in list(islice(self.waiting, left_count)):
            if self.is_full and self.finisher is not None:
                break
            if one in self.waiting:
                del self.waiting[one]
                self._resumed_count += 1
                one.resume()
        if self._resumed_count:
            self._see_the_turns_end()

    def _see_the_turns_end(self) -> None:
        if not self._is_turning:
            self._is_turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._is_turning = False
        self._brought_bytes = self._resumed_count = 0
        self.is_turn_spent = False
        self._wake()


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
        lane.brought(count_bytes)

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
        lane = self._lane
        return lane is None or not lane.is_full or lane.is_turn_of(self)

    @property
    def is_late(self) -> bool:
        """Whether what comes now is only what was on its way when the lane had enough."""
        lane = self._lane
        if lane is None or lane.finisher is self:
            return False
        return lane.is_full or lane.is_turn_spent

    @property
    def must_pause(self) -> bool:
        """Whether the lane has had its part of this turn of the loop."""
        lane = self._lane
        return lane is not None and lane.is_turn_spent and lane.finisher is not self

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
