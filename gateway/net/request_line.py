"""The line of one connection's requests: which may start, which replies may leave, what they hold.

Rules (I6, I7):
- Requests start in the order of their coming. One that is not pipelined is a barrier: nothing
  behind it starts until it is done.
- Replies leave in that order too. One that is done before an earlier one is held, and while much is
  held nothing more starts.
- Few that read data run beside each other: a client that sends a thousand fetches and takes no
  reply would otherwise have as many replies in our memory.
- A place may end the line: it gets no reply, and nothing behind it can, or the client would take
  that for this one's.

It knows no sockets, no tasks and no time: the connection asks what is next, and does it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from protocol import Piece

READS_AT_ONCE_MAX_COUNT = 2
HELD_BYTES_MAX = 1024 * 1024


class Place:
    """Where a request stands. The line alone writes what it does not get here."""

    # As long as nobody says otherwise: most places are never more than this.
    has_started = False
    reply: Sequence[Piece] | None = None
    """Empty: done, and nothing to send."""
    held_bytes = 0
    """Of the reply, while it waits for an earlier one."""
    close_reason: str | None = None
    """Set: its reply is that the connection is closed."""

    def __init__(
        self,
        size_bytes: int,
        *,
        is_pipelined: bool = False,
        reads_data: bool = False,
        brings_data: bool = False,
    ) -> None:
        self.size_bytes = size_bytes  # of memory that is the request's until it is done
        self.is_pipelined = is_pipelined
        self.reads_data = reads_data
        self.brings_data = brings_data  # it is carried out though its client has gone


P = TypeVar("P", bound=Place)


class RequestLine(Generic[P]):
    """`add` what came, start each `next_to_start`, say when it is `done`, send each
    `next_to_leave`.

    Invariants: `buffered_bytes` and `held_bytes` are the sums over the places in line; those that
    have not started are the last ones; at most one barrier runs.
    """

    def __init__(self, requests_max_count: int, buffered_bytes_max: int) -> None:
        self._requests_max_count = requests_max_count
        self._buffered_bytes_max = buffered_bytes_max
        self._places: deque[P] = deque()  # the head is answered first
        self._waiting: deque[P] = deque()  # those of them that have not started
        self._barrier: P | None = None  # it runs, and is not pipelined: nothing may start
        self._reads_count = 0  # started and not yet sent
        self._is_severed = False
        self.buffered_bytes = 0  # of all requests that are not done
        self.held_bytes = 0  # of replies that wait for an earlier one
        self.is_ending = False  # nothing more is taken: the end is behind the last reply due

    def __len__(self) -> int:
        return len(self._places)

    @property
    def is_full(self) -> bool:
        """Whether no more should be read: what comes nevertheless is taken."""
        return (
            self.is_ending
            or len(self._places) >= self._requests_max_count
            or self.buffered_bytes >= self._buffered_bytes_max
        )

    # In

    def add(self, place: P) -> None:
        self._places.append(place)
        self._waiting.append(place)
        self.buffered_bytes += place.size_bytes

    def add_last(self, place: P, reason: str) -> None:
        """What comes from `place` on makes no sense: end behind what came before it."""
        self._places.append(place)
        self.buffered_bytes += place.size_bytes
        self._end_at(place, reason)

    def finish(self) -> None:
        """Take nothing more; what is in line is still answered."""
        self.is_ending = True

    # Begun and done

    def next_to_start(self) -> P | None:
        """Starts it; None: there is none, or it may not yet."""
        if not self._waiting or self._barrier is not None or self.held_bytes >= HELD_BYTES_MAX:
            return None
        place = self._waiting[0]
        if place.reads_data:
            if self._reads_count >= READS_AT_ONCE_MAX_COUNT:
                return None
            self._reads_count += 1
        self._waiting.popleft()
        if not place.is_pipelined:
            self._barrier = place
        place.has_started = True
        return place

    def done(
        self, place: P, reply: Sequence[Piece], size_bytes: int, close_reason: str | None = None
    ) -> None:
        """`place` has its reply, of so many bytes; or none, and a reason to end there. The first
        word counts.
        """
        if self._barrier is place:
            self._barrier = None
        if place.reply is not None:
            return
        if close_reason is not None:
            self._end_at(place, close_reason)
            self._forget_waiting()
        elif self._is_severed:
            place.reply = ()
        else:
            place.reply = reply
            if self._places[0] is not place:
                place.held_bytes = size_bytes
                self.held_bytes += size_bytes

    def release(self, place: P) -> int:
        """Its memory is no longer its own: returns how much that is, once."""
        size_bytes, place.size_bytes = place.size_bytes, 0
        self.buffered_bytes -= size_bytes
        assert self.buffered_bytes >= 0
        return size_bytes

    # Out

    def is_first(self, place: P) -> bool:
        """Whether its reply leaves as soon as it is done."""
        return bool(self._places) and self._places[0] is place

    def next_to_leave(self) -> P | None:
        """Takes the head out of the line if it is done; None: it is not, or there is none."""
        if not self._places or self._places[0].reply is None:
            return None
        place = self._places.popleft()
        self.held_bytes -= place.held_bytes
        if place.reads_data and place.has_started:
            self._reads_count -= 1
        assert self.held_bytes >= 0 and self._reads_count >= 0
        return place

    # The end

    def sever(self) -> list[P]:
        """The client has gone: nothing is sent or held any more. What brings data is still carried
        out, as the client of acks=0 expects; of the rest nothing starts. Returns what runs.
        """
        self._is_severed = True
        for place in self._places:
            if place.reply is not None or not (place.has_started or place.brings_data):
                place.reply = ()
            place.held_bytes = 0
        self.held_bytes = 0
        self._waiting = deque(place for place in self._waiting if place.brings_data)
        return [place for place in self._places if place.has_started and place.reply is None]

    def give_up(self, reason: str) -> list[P]:
        """Whatever is not done is not answered: the time for it is over. Returns what runs."""
        self._waiting.clear()
        unanswered = [place for place in self._places if place.reply is None]
        for place in unanswered:
            place.reply, place.close_reason = (), reason
        return [place for place in unanswered if place.has_started]

    def _end_at(self, place: P, reason: str) -> None:
        place.reply, place.close_reason = (), reason
        self.is_ending = True

    def _forget_waiting(self) -> None:
        for behind in self._waiting:
            behind.reply = ()
        self._waiting.clear()
