"""The checkpoint of a log: what its user remembers, kept in the log itself, piece by piece.

The user's state is a map of keys to values, opaque here. What changes is written down as *pieces*,
entries of a stream of their own among all other entries: whenever enough has changed, not at a
segment's end. A piece says what is remembered at its very place in the log, the effect of every
entry before it. What has changed since, less than a piece or so, goes into the footer that ends a
segment. So the pieces of a stream and then the changes in a footer are the whole state there, the
last value of a key counts, and a segment's end costs no more however much is remembered.

Of old pieces most is out of date. Once the stream is more than twice as long as what counts in it,
each new piece is followed by two that say again what the oldest ones said last, and the stream
starts behind those: what lies before is dead like any truncated records. So a byte of change costs
three of writing at most, and a start reads at most about four times what is remembered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from wal_core.format.checkpoint import (
    CHECKPOINT_STREAM_ID,
    encode_piece,
    iter_piece,
    pair_bytes,
)
from wal_core.format.stream_tables import StreamRow
from wal_core.types import Buffer, Changes, Entry, LogState

_REPEATS_COUNT = 2
_SLACK_PIECES_COUNT = 8
"""The stream may be so much longer than what counts twice: little is not worth tidying up."""


class _Written(NamedTuple):
    """Where a key was written down last."""

    offset: int  # of the piece
    bytes_count: int
    is_gone: bool  # all that was said is that it is forgotten


def with_start(rows: Iterable[StreamRow], start: int) -> Iterator[StreamRow]:
    """Rows of a footer, in which the checkpoint's stream starts where the state is whole."""
    for row in rows:
        yield row._replace(start_offset=start) if row.stream_id == CHECKPOINT_STREAM_ID else row


class Checkpoint:
    """Of one log. First `take_piece` and `take_changes` and `taken`, as they were stored; then
    `apply` for every entry behind them; then whoever writes asks for pieces and changes.
    """

    def __init__(self, state: LogState, piece_bytes: int) -> None:
        self._state = state
        self._piece_bytes = piece_bytes
        self._changes: Changes = state.changes
        self._written: dict[bytes, _Written] = {}  # who was written longest ago is first
        self._pieces: deque[tuple[int, int]] = deque()  # (offset, bytes) from the first needed on
        self._pieces_bytes = 0
        self._counting_bytes = 0  # of the pieces: what no later one replaces
        self._end = 0
        self._repeats_left_count = 0
        self._late: list[tuple[bytes, int]] = []  # found in a footer
        self.lost_end: int | None = None
        """All that is known of pieces before this offset may be out of date: some are lost."""

    # -- taking over what is stored --------------------------------------------------------

    def take_piece(self, offset: int, piece: Buffer) -> None:
        """The next piece of the stream. Raises Corrupt."""
        for key, value in iter_piece(piece):
            self._state.restore(key, value)
            self._note(key, value, offset)
        self._add(offset, len(piece))

    def lose_pieces(self, end: int) -> None:
        """The next pieces up to this offset are nowhere."""
        self.lost_end = end

    def doubtful(self) -> list[bytes]:
        """Keys of which the newest value may have been in a piece that is lost."""
        assert self.lost_end is not None
        return [key for key, written in self._written.items() if written.offset < self.lost_end]

    def take_salvage(self, pairs: Iterable[tuple[bytes, bytes | None]]) -> None:
        """What entries say, for all but what a later piece says; after the last one. Raises
        Corrupt."""
        assert self.lost_end is not None
        for key, value in pairs:
            written = self._written.get(key)
            if written is None or written.offset < self.lost_end:
                self._state.restore(key, value)
                self._note(key, value, -1)

    def take_changes(self, changes: Buffer, end: int) -> None:
        """What the newest footer says, after all pieces, and where it says that they end. Raises
        Corrupt."""
        self._end = end
        for key, value in iter_piece(changes):
            self._state.restore(key, value)
            self._late.append((key, pair_bytes(key, value)))

    def taken(self) -> None:
        """That was all: entries follow. Raises Corrupt."""
        self._state.restored()
        self._changes.clear()
        for key, bytes_count in self._late:
            self._changes.note(key, bytes_count)  # no piece has it yet
        self._late.clear()
        if self.lost_end is not None:
            self._say_all_again()

    def apply(self, entry: Entry) -> None:
        """An entry behind the newest footer. Raises Corrupt.

        Of a piece the entries before it have had the effect already: what it says need not be
        written down again, that is all.
        """
        if entry.stream_id != CHECKPOINT_STREAM_ID:
            self._state.apply(entry)
            return
        if entry.base_offset > self._end:
            self._say_all_again()
        for key, value in iter_piece(entry.payload):
            self._changes.forget(key)
            self._note(key, value, entry.base_offset)
        self._add(entry.base_offset, len(entry.payload))

    def _say_all_again(self) -> None:
        """Pieces are lost: then none of those before is to count."""
        for key, written in self._written.items():
            if key not in self._changes:
                self._changes.note(key, written.bytes_count)
        self._written.clear()
        self._counting_bytes = 0
        self._trim()

    # -- writing ---------------------------------------------------------------------------

    @property
    def start(self) -> int:
        """Offset in the stream before which no piece is needed."""
        first = next(iter(self._written.values()), None)
        return self._end if first is None else first.offset

    @property
    def is_due(self) -> bool:
        """Whether `next_piece` may have one."""
        return self._changes.bytes_count >= self._piece_bytes or self._repeats_left_count > 0

    def next_piece(self, offset: int) -> bytes | None:
        """The piece to append next to the stream, at `offset`, in this very step of the loop."""
        while self.is_due:
            if self._repeats_left_count:
                self._repeats_left_count -= 1
                keys = self._oldest()
            else:
                keys = self._changes.take(self._piece_bytes)
                self._repeats_left_count = _REPEATS_COUNT
            pairs = [*self._pairs(keys)]
            if pairs:
                for key, value in pairs:
                    self._note(key, value, offset)
                piece = encode_piece(pairs)
                self._add(offset, len(piece))
                return piece
        return None

    def changes(self) -> bytes:
        """What no piece has yet: for the footer of a segment that ends in this step."""
        return encode_piece(self._pairs(self._changes.keys()))

    def _oldest(self) -> Sequence[bytes]:
        """Keys whose pieces are in the way of the stream's start; none while it is short enough."""
        limit_bytes = 2 * self._counting_bytes + _SLACK_PIECES_COUNT * self._piece_bytes
        if self._pieces_bytes <= limit_bytes:
            self._repeats_left_count = 0
            return ()
        oldest, left_bytes = [], self._piece_bytes
        for key, written in self._written.items():
            oldest.append((key, written))
            left_bytes -= written.bytes_count
            if left_bytes <= 0:
                break
        keys = []
        for key, written in oldest:
            if written.is_gone and key not in self._changes:
                # Need not be said again: nothing older will be left that says otherwise.
                self._counting_bytes -= self._written.pop(key).bytes_count
            else:
                self._changes.forget(key)
                keys.append(key)
        return keys

    def _pairs(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        """What is to be said of keys: of one that no piece knows and that is gone, nothing."""
        for key, value in self._state.values(keys):
            if value is not None or key in self._written:
                yield key, value

    def _note(self, key: bytes, value: Buffer | None, offset: int) -> None:
        before = self._written.pop(key, None)
        if before is not None:
            self._counting_bytes -= before.bytes_count
        bytes_count = pair_bytes(key, value)
        self._written[key] = _Written(offset, bytes_count, value is None)
        self._counting_bytes += bytes_count

    def _add(self, offset: int, bytes_count: int) -> None:
        self._pieces.append((offset, bytes_count))
        self._pieces_bytes += bytes_count
        self._end = offset + 1
        self._trim()

    def _trim(self) -> None:
        start = self.start
        while self._pieces and self._pieces[0][0] < start:
            self._pieces_bytes -= self._pieces.popleft()[1]
