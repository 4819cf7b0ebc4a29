"""Fetch sessions (KIP-227): what a client reads is kept, and it names only what has changed.

A session is a list of partitions with what was last asked and told of each; its number is all that
a client has of it, and its epoch rises with every request, so that none is answered twice. As in
Kafka (FetchSession): a slot goes to a new session from the one that has been idle longest, or from
a smaller one, once they have had their time. Besides, all together have so many bytes; who asks for
a session for which there is no room gets none, and reads as before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from gateway.broker.errors import BrokerError
from protocol import ErrorCode

if TYPE_CHECKING:
    from protocol.messages.fetch import FetchPartition
    from wal_core import Rng

NO_SESSION = 0
FINAL_EPOCH = -1  # a fetch without a session; one that is named ends
INITIAL_EPOCH = 0  # "open a session, please"
EPOCH_MAX = 2**31 - 1
KEPT_S = 120.0  # Kafka's min.incremental.fetch.session.eviction.ms
SESSION_BYTES = 600  # about what one takes that reads nothing
PART_BYTES = 400  # about what one partition of a session takes, beside its topic's name
PARTS_MAX_COUNT = 2_000  # of one session: so many are gone through in some milliseconds
NOT_TOLD = -1


Part = tuple[str | bytes, int]
"""A partition of a session: its topic's name or id, and its number. A plain tuple: there are very
many."""


class _Known:
    """What was asked of a partition, and last told."""

    __slots__ = ("asked", "high_watermark", "log_start")

    def __init__(self, asked: FetchPartition) -> None:
        self.asked = asked
        self.high_watermark = self.log_start = NOT_TOLD


class Session:
    """One client's, in the order in which it named the partitions."""

    __slots__ = ("_parts", "by_id", "created_s", "epoch", "id", "size_bytes", "used_s")

    def __init__(self, session_id: int, now_s: float, *, by_id: bool) -> None:
        self.id = session_id
        self.by_id = by_id
        self.epoch = 1  # of the request that comes next
        self.created_s = self.used_s = now_s
        self.size_bytes = SESSION_BYTES
        self._parts: dict[Part, _Known] = {}

    def __len__(self) -> int:
        return len(self._parts)

    def update(self, asked: Iterable[tuple[Part, FetchPartition]], gone: Iterable[Part]) -> None:
        """Take in what a request says; what it does not name stays as it was."""
        for part, wanted in asked:
            known = self._parts.get(part)
            if known is None:
                self._parts[part] = _Known(wanted)
                self.size_bytes += size_of(part)
            else:
                known.asked = wanted
        for part in gone:
            if self._parts.pop(part, None) is not None:
                self.size_bytes -= size_of(part)

    def parts(self) -> Iterator[tuple[Part, FetchPartition]]:
        """Everything it reads."""
        for part, known in list(self._parts.items()):
            yield part, known.asked

    def told(self, part: Part, high_watermark: int, log_start: int, *, has_failed: bool) -> bool:
        """Note what an answer says of a partition; whether the client does not know that yet."""
        known = self._parts.get(part)
        if known is None:
            return True
        before = (known.high_watermark, known.log_start)
        if has_failed:  # what comes after it is news
            known.high_watermark = known.log_start = NOT_TOLD
            return True
        known.high_watermark, known.log_start = high_watermark, log_start
        return before != (high_watermark, log_start)

    def used(self, now_s: float) -> None:
        self.epoch = 1 if self.epoch == EPOCH_MAX else self.epoch + 1
        self.used_s = now_s


class FetchSessions:
    """Those of all clients."""

    def __init__(self, count_max: int, bytes_max: int, rng: Rng) -> None:
        self._count_max = count_max
        self.bytes_max = bytes_max
        self._rng = rng
        self._by_id: dict[int, Session] = {}  # who was used longest ago comes first
        self.used_bytes = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def close(self, session_id: int) -> None:
        session = self._by_id.pop(session_id, None)
        if session is not None:
            self.used_bytes -= session.size_bytes

    def go_on(
        self,
        session_id: int,
        epoch: int,
        asked: Sequence[tuple[Part, FetchPartition]],
        gone: Sequence[Part],
        *,
        by_id: bool,
    ) -> Session | None:
        """The session as the request leaves it; None if that leaves nothing, which ends it.

        Raises BrokerError: FETCH_SESSION_ID_NOT_FOUND, FETCH_SESSION_TOPIC_ID_ERROR,
        INVALID_FETCH_SESSION_EPOCH. The client then opens another.
        """
        session = self._by_id.get(session_id)
        if session is None:
            raise BrokerError(ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
        if session.by_id != by_id:
            raise BrokerError(ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR)
        if epoch != session.epoch:
            raise BrokerError(ErrorCode.INVALID_FETCH_SESSION_EPOCH)
        before_bytes = session.size_bytes
        session.update(asked, gone)
        self.used_bytes += session.size_bytes - before_bytes
        if not session:
            self.close(session_id)
            return None
        if self.used_bytes > self.bytes_max or len(session) > PARTS_MAX_COUNT:
            self.close(session_id)  # it has grown into what others have
            raise BrokerError(ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
        session.used(_now_s())
        del self._by_id[session_id]
        self._by_id[session_id] = session
        return session

    def open(self, parts: Sequence[tuple[Part, FetchPartition]], *, by_id: bool) -> Session | None:
        """A session that reads these; None where there is no room, or too much to read."""
        if len(parts) > PARTS_MAX_COUNT:
            return None
        size_bytes = SESSION_BYTES + sum(size_of(part) for part, _ in parts)
        if not self._make_room(len(parts), size_bytes):
            return None
        session = Session(self._new_id(), _now_s(), by_id=by_id)
        session.update(parts, ())
        self._by_id[session.id] = session
        self.used_bytes += session.size_bytes
        return session

    def _make_room(self, parts_count: int, size_bytes: int) -> bool:
        now_s = _now_s()
        while len(self._by_id) >= self._count_max or self.used_bytes + size_bytes > self.bytes_max:
            loser = next(iter(self._by_id.values()), None)
            if loser is None:
                return False
            if now_s - loser.used_s <= KEPT_S:
                loser = min(self._by_id.values(), key=lambda each: (len(each), each.created_s))
                if len(loser) >= parts_count or now_s - loser.created_s <= KEPT_S:
                    return False
            self.close(loser.id)
        return True

    def _new_id(self) -> int:
        """Nobody guesses it: who knows a session's number reads by it."""
        while True:
            session_id = int.from_bytes(self._rng.random_bytes(4), "big") & 0x7FFFFFFF
            if session_id != NO_SESSION and session_id not in self._by_id:
                return session_id


def size_of(part: Part) -> int:
    """About the bytes of memory that it takes in a session."""
    return PART_BYTES + len(part[0])


def _now_s() -> float:
    return asyncio.get_running_loop().time()
