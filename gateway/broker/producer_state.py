"""What the broker remembers of idempotent producers, per partition.

Kafka's rules (KIP-98, `ProducerStateManager`): the last five batches of each producer id are kept,
a repeat of one of them is answered with its original offset, the next batch must continue the
sequence, an older epoch is refused and a newer one starts again at sequence 0. A producer the
partition does not know may start anywhere: its state may have expired (KIP-360).

Who is known is forgotten by time alone, for what is forgotten earlier would be stored a second time
when it is sent again. So what bounds the memory is a refusal of producers who are not known yet.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from gateway.settings.config import default_of
from protocol import BatchHeader, ErrorCode

KEPT_BATCHES_COUNT = 5  # Kafka's max.in.flight of an idempotent producer: all that can be repeated
SEQUENCE_MAX = 2**31 - 1
EXPIRATION_MS: int = default_of("producer_id_expiration_ms")
BYTES_MAX: int = default_of("producer_state_bytes_max")
PRODUCER_BYTES = 176
"""One producer in one partition with its id and its place in the table, beside its batches."""

SavedProducer = tuple[int, int, list[tuple[int, int, int]]]
"""Epoch, last seen, (first sequence, last sequence, base offset) of the batches, oldest first."""

_HEAD = struct.Struct("<hq")  # epoch, last seen (ms)
_BATCH = struct.Struct("<iiq")  # first and last sequence, base offset


class SequenceError(Exception):
    """A batch that does not fit its producer's history; `code` is Kafka's answer."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class KeptBatch(NamedTuple):
    """One of the last batches of a producer. Sequences are inclusive and wrap to 0 after 2^31 -
    1.
    """

    first_sequence: int
    last_sequence: int
    base_offset: int
    # Of the block that carries the batch; None once replayed from storage, which is durable by
    # itself.
    confirmation: asyncio.Future[None] | None


def sequence_after(sequence: int, steps: int) -> int:
    """`sequence` advanced by `steps`, wrapping to 0 after 2^31 - 1 as Kafka's clients do."""
    return (sequence + steps) & SEQUENCE_MAX


class ProducerMemory:
    """What the producers of all partitions share."""

    __slots__ = ("bytes_max", "expiration_ms", "used_bytes")

    def __init__(self, bytes_max: int = BYTES_MAX, expiration_ms: int = EXPIRATION_MS) -> None:
        self.bytes_max = bytes_max
        self.expiration_ms = expiration_ms
        self.used_bytes = 0

    def expire_after(self, expiration_ms: int) -> None:
        """Forget from now on who has sent nothing for so long."""
        self.expiration_ms = expiration_ms

    def has_room_beside(self, own_bytes: int) -> bool:
        """Whether a partition that uses so much may have one more: only as long as it leaves as
        much to all others, so that nobody fills it up by one partition alone."""
        return own_bytes + PRODUCER_BYTES + _BATCH.size <= self.bytes_max - self.used_bytes


class ProducerStates:
    """The producers of one partition. `check` decides, `record` remembers; no I/O, no clock."""

    __slots__ = ("_bytes_count", "_memory", "_note", "_pending", "_producers")

    def __init__(
        self,
        memory: ProducerMemory | None = None,
        note: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._note = note  # called with the id of each producer that is no longer as it was
        self._memory = memory or ProducerMemory()
        self._bytes_count = 0
        # A head and up to five batches, packed: there may be very many. Insertion order is order
        # of last use: the first is the one to forget.
        self._producers: dict[int, bytes] = {}
        # By base offset, in order: of batches whose block is, or may be, on its way.
        self._pending: dict[int, asyncio.Future[None]] = {}

    def __len__(self) -> int:
        return len(self._producers)

    def check(self, header: BatchHeader) -> KeptBatch | None:
        """The kept batch that `header` repeats, or None when it may be appended.

        Raises SequenceError with INVALID_PRODUCER_EPOCH or OUT_OF_ORDER_SEQUENCE_NUMBER; with
        POLICY_VIOLATION for a producer that is new while there is no room to remember it.
        """
        packed = self._producers.get(header.producer_id)
        if packed is None:
            if not self._memory.has_room_beside(self._bytes_count):
                raise self._full(header.producer_id)
            return None
        epoch, _ = _HEAD.unpack_from(packed)
        if header.producer_epoch < epoch:
            raise SequenceError(
                ErrorCode.INVALID_PRODUCER_EPOCH,
                f"producer {header.producer_id} has epoch {epoch}, "
                f"the batch says {header.producer_epoch}",
            )
        first = header.base_sequence
        if header.producer_epoch > epoch:
            if first != 0:
                raise SequenceError(
                    ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
                    f"producer {header.producer_id} begins its new epoch at 0, not {first}",
                )
            return None
        last = sequence_after(first, header.record_count - 1)
        kept_last = -1
        for kept_first, kept_last, base_offset in _BATCH.iter_unpack(packed[_HEAD.size :]):
            if kept_first == first and kept_last == last:
                return KeptBatch(first, last, base_offset, self._pending.get(base_offset))
        expected = sequence_after(kept_last, 1)
        if first != expected:
            raise SequenceError(
                ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
                f"producer {header.producer_id} continues with sequence {expected}, not {first}",
            )
        return None

    def _full(self, producer_id: int) -> SequenceError:
        return SequenceError(
            ErrorCode.POLICY_VIOLATION,
            f"no room to remember producer {producer_id}: {self._memory.used_bytes} of "
            f"{self._memory.bytes_max} bytes are in use (producer_state_bytes_max), here for "
            f"{len(self)} producers; one is forgotten when it has sent nothing for "
            f"{self._memory.expiration_ms} ms (producer_id_expiration_ms)",
        )

    def record(
        self,
        header: BatchHeader,
        base_offset: int,
        now_ms: int,
        confirmation: asyncio.Future[None] | None,
    ) -> None:
        """Remember a batch that was appended at `base_offset`."""
        before = self._remove(header.producer_id)
        batches = b""
        if before and _HEAD.unpack_from(before)[0] == header.producer_epoch:
            batches = before[_HEAD.size :][-_BATCH.size * (KEPT_BATCHES_COUNT - 1) :]
        last = sequence_after(header.base_sequence, header.record_count - 1)
        batch = _BATCH.pack(header.base_sequence, last, base_offset)
        self._put(header.producer_id, _HEAD.pack(header.producer_epoch, now_ms) + batches + batch)
        self._forget_confirmed()
        if confirmation is not None:
            self._pending[base_offset] = confirmation
        self._note(header.producer_id)

    def forget(self, now_ms: int) -> None:
        """Let go of producers that have sent nothing for too long."""
        self._forget_confirmed()
        for producer_id in list(self._expired(now_ms)):
            self._remove(producer_id)
            self._note(producer_id)

    def clear(self) -> None:
        """The partition is gone."""
        for producer_id in list(self._producers):
            self._remove(producer_id)
        self._pending.clear()

    def save(self, producer_id: int, now_ms: int) -> SavedProducer | None:
        """What is remembered of a producer; None when that is nothing, or has expired."""
        packed = self._producers.get(producer_id)
        if packed is None:
            return None
        epoch, seen_ms = _HEAD.unpack_from(packed)
        if now_ms - seen_ms > self._memory.expiration_ms:
            return None
        return epoch, seen_ms, list(_BATCH.iter_unpack(packed[_HEAD.size :]))

    def load(self, saved: Mapping[int, SavedProducer]) -> None:
        """All that was saved, by producer id."""
        for producer_id, row in sorted(saved.items(), key=lambda item: item[1][1]):
            epoch, seen_ms, batches = row
            packed = b"".join(_BATCH.pack(*batch) for batch in batches)
            self._put(producer_id, _HEAD.pack(epoch, seen_ms) + packed)

    def ids(self) -> list[int]:
        """Of all that are remembered."""
        return list(self._producers)

    def _put(self, producer_id: int, packed: bytes) -> None:
        self._producers[producer_id] = packed
        self._count(PRODUCER_BYTES + len(packed))

    def _remove(self, producer_id: int) -> bytes:
        packed = self._producers.pop(producer_id, b"")
        if packed:
            self._count(-PRODUCER_BYTES - len(packed))
        return packed

    def _count(self, bytes_count: int) -> None:
        self._bytes_count += bytes_count
        self._memory.used_bytes += bytes_count

    def _forget_confirmed(self) -> None:
        """What failed stays: a repeat of it must fail as well (I1)."""
        while self._pending:
            oldest = next(iter(self._pending))
            confirmation = self._pending[oldest]
            if not confirmation.done() or confirmation.cancelled() or confirmation.exception():
                return
            del self._pending[oldest]

    def _expired(self, now_ms: int) -> Iterator[int]:
        for producer_id, packed in self._producers.items():
            if now_ms - _HEAD.unpack_from(packed)[1] <= self._memory.expiration_ms:
                return  # in order of last use: the rest is younger
            yield producer_id
