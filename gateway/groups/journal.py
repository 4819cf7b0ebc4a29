"""How the groups' records become durable.

`GroupJournal` is the seam to the log. `JournalWriter` stands in front of it and gives the groups
three things: records of one group take effect in the order in which they were written, even when
many are under way; a write takes effect when it is durable, whether or not anyone still waits for
it; and the newest value of every key is at hand for a checkpoint.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

from gateway.observe.logger import log_event
from protocol import ErrorCode
from wal_core import Fenced, Unavailable

logger = logging.getLogger(__name__)

Record: TypeAlias = tuple[bytes, bytes | None]
"""Key and value of one record of ``__consumer_offsets``; no value means: delete the key."""


def _nothing() -> None:
    """For those to whom only the outcome matters."""


class GroupJournal(Protocol):
    """The log behind the groups.

    `append` puts `records` into the log in call order and returns (or completes) when they are
    durable. It raises `Unavailable` when nothing was written, `Fenced` when another writer owns the
    log, `TimeoutError` when the outcome is unknown. It may put them in the log at the call or at
    the first step of its coroutine. It need not set a deadline: the writer below answers its caller
    in time and leaves the write alone.
    """

    def append(self, group_id: str, records: Sequence[Record]) -> Awaitable[None]: ...


class _Write:
    __slots__ = (
        "apply",
        "confirmed",
        "deadline",
        "ended",
        "outcome",
        "records",
        "size_bytes",
        "task",
    )

    def __init__(
        self,
        records: Sequence[Record],
        apply: Callable[[], None],
        ended: Callable[[], None],
        outcome: asyncio.Future[ErrorCode],
    ) -> None:
        self.records = records
        self.size_bytes = sum(len(key) + len(value or b"") for key, value in records)
        self.apply = apply
        self.ended = ended
        self.outcome = outcome
        # None while under way, then whether the records are durable.
        self.confirmed: bool | None = None
        self.task: asyncio.Future[None] | None = None
        self.deadline: asyncio.TimerHandle | None = None


class JournalWriter:
    """Writes records in order and keeps the newest durable value of every key."""

    def __init__(
        self,
        journal: GroupJournal,
        *,
        timeout_ms: int,
        pending_writes_max_count: int,
        pending_bytes_max: int,
    ) -> None:
        self._journal = journal
        self._timeout_ms = timeout_ms
        self._pending_max_count = pending_writes_max_count
        self._pending_count = 0
        self._pending_bytes_max = pending_bytes_max
        self._pending_bytes = 0
        self._pending: dict[str, deque[_Write]] = {}
        self._durable: dict[bytes, bytes] = {}
        self._note: Callable[[bytes, int], None] = _unwatched

    # ---- state

    def watch(self, note: Callable[[bytes, int], None]) -> None:
        """Call this with the key of every record that is new, and about how many bytes it has."""
        self._note = note

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take a record that is in the log already."""
        self._note(key, len(key) + len(value or b""))
        self._keep(key, value)

    def _keep(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self._durable.pop(key, None)
        else:
            self._durable[key] = value

    def forget(self) -> None:
        """Nobody asks for values any more."""
        self._durable.clear()

    def snapshot(self) -> list[tuple[bytes, bytes]]:
        """Newest value of every key, writes under way included."""
        pending = dict(self._pending_records())
        keys = dict.fromkeys((*self._durable, *pending))
        return list(self._values(keys, pending).items())

    def values(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Newest value of each key that has one, writes under way included.

        What is written down of them must say what the log holds up to that moment, durable or not:
        what lies before it is durable whenever it is.
        """
        return self._values(keys, dict(self._pending_records()))

    def _values(
        self, keys: Iterable[bytes], pending: Mapping[bytes, bytes | None]
    ) -> dict[bytes, bytes]:
        found = {}
        for key in keys:
            value = pending[key] if key in pending else self._durable.get(key)
            if value is not None:
                found[key] = value
        return found

    def _pending_records(self) -> Iterator[Record]:
        for writes in self._pending.values():
            for write in writes:
                # A write known to have failed waits only for its turn; the log has none of it.
                if write.confirmed is not False:
                    yield from write.records

    # ---- writing

    def write(
        self,
        group_id: str,
        records: Sequence[Record],
        apply: Callable[[], None] = _nothing,
        ended: Callable[[], None] = _nothing,
    ) -> asyncio.Future[ErrorCode]:
        """Append `records`; run `apply` when they and all earlier ones of the group are durable,
        and then, or when it is known that they never will be, `ended`.

        The future always gets a result, never an exception, within `timeout_ms`: NONE after
        `apply` has run, else the code for the client. Its cancellation changes nothing here.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[ErrorCode] = loop.create_future()
        write = _Write(records, apply, ended, outcome)
        # Whatever its size, one write is always possible.
        is_too_much = self._pending_bytes + write.size_bytes > self._pending_bytes_max
        if self._pending_count >= self._pending_max_count or (self._pending and is_too_much):
            outcome.set_result(ErrorCode.COORDINATOR_NOT_AVAILABLE)
            ended()
            return outcome
        # Before the append: it may end a segment, whose checkpoint must have these records.
        self._pending.setdefault(group_id, deque()).append(write)
        self._pending_count += 1
        self._pending_bytes += write.size_bytes
        self._note_all(records)
        task: asyncio.Future[None]
        try:
            task = asyncio.ensure_future(self._journal.append(group_id, records))
        except Exception as error:
            # The same as an exception of the awaitable: timers call this, who could handle it?
            task = loop.create_future()
            task.set_exception(error)
            write.confirmed = False  # a checkpoint taken from here on must not have them
        write.task = task
        task.add_done_callback(lambda done: self._finish(group_id, write, done))
        write.deadline = loop.call_later(self._timeout_ms / 1_000, _give_up_waiting, outcome)
        return outcome

    def _note_all(self, records: Sequence[Record]) -> None:
        for key, value in records:
            self._note(key, len(key) + len(value or b""))

    async def close(self) -> None:
        """Let go of the writes under way; they end as the log ends them."""
        tasks = [w.task for writes in self._pending.values() for w in writes if w.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=self._timeout_ms / 1_000)
        for task in tasks:
            # A plain future may be one that the log shares among many; only our tasks are ours.
            if isinstance(task, asyncio.Task):
                task.cancel()

    def _finish(self, group_id: str, write: _Write, task: asyncio.Future[None]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        write.confirmed = error is None
        if error is not None:
            self._note_all(write.records)  # as they were before
        if error is not None and not write.outcome.done():
            write.outcome.set_result(_code_of(error))
        writes = self._pending[group_id]
        while writes and writes[0].confirmed is not None:
            self._settle(writes.popleft())
        if not writes:
            del self._pending[group_id]

    def _settle(self, write: _Write) -> None:
        self._pending_count -= 1
        self._pending_bytes -= write.size_bytes
        if write.deadline is not None:
            write.deadline.cancel()
        if not write.confirmed:
            write.ended()
            return
        for key, value in write.records:
            self._keep(key, value)
        write.apply()
        write.ended()
        if not write.outcome.done():
            write.outcome.set_result(ErrorCode.NONE)


def _unwatched(_key: bytes, _bytes_count: int) -> None:
    """Nobody wants to know."""


def _give_up_waiting(outcome: asyncio.Future[ErrorCode]) -> None:
    if not outcome.done():
        outcome.set_result(ErrorCode.COORDINATOR_NOT_AVAILABLE)


def _code_of(error: BaseException) -> ErrorCode:
    """The first two codes make every known client look for the coordinator again and retry."""
    if isinstance(error, Fenced | asyncio.CancelledError):
        return ErrorCode.NOT_COORDINATOR
    if isinstance(error, Unavailable | TimeoutError):
        return ErrorCode.COORDINATOR_NOT_AVAILABLE
    log_event(logger, logging.ERROR, "group record not written", error=error)
    return ErrorCode.UNKNOWN_SERVER_ERROR
