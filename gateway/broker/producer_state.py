"""What the broker remembers of idempotent producers, per partition.

Kafka's rules (KIP-98, `ProducerStateManager`): the last five batches of each producer id are kept,
a repeat of one of them is answered with its original offset, the next batch must continue the
sequence, an older epoch is refused and a newer one starts again at sequence 0. A producer the
partition does not know may start anywhere: its state may have expired (KIP-360).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from protocol import BatchHeader, ErrorCode

KEPT_BATCHES_COUNT = 5  # Kafka's max.in.flight of an idempotent producer: all that can be repeated
SEQUENCE_MAX = 2**31 - 1
PRODUCERS_MAX_COUNT = 10_000  # per partition; the least recently used is forgotten beyond it
EXPIRATION_MS = 86_400_000  # producer.id.expiration.ms of Kafka: one day

SavedProducer = tuple[int, int, int, list[tuple[int, int, int]]]


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


class _Producer:
    __slots__ = ("batches", "epoch", "seen_ms")

    def __init__(self, epoch: int, seen_ms: int) -> None:
        self.epoch = epoch
        self.seen_ms = seen_ms
        self.batches: deque[KeptBatch] = deque(maxlen=KEPT_BATCHES_COUNT)


def sequence_after(sequence: int, steps: int) -> int:
    """`sequence` advanced by `steps`, wrapping to 0 after 2^31 - 1 as Kafka's clients do."""
    return (sequence + steps) & SEQUENCE_MAX


class ProducerStates:
    """The producers of one partition. `check` decides, `record` remembers; no I/O, no clock."""

    __slots__ = ("_producers",)

    def __init__(self) -> None:
        # Insertion order is order of last use: the first is the one to forget.
        self._producers: dict[int, _Producer] = {}

    def __len__(self) -> int:
        return len(self._producers)

    def check(self, header: BatchHeader) -> KeptBatch | None:
        """The kept batch that `header` repeats, or None when it may be appended.

        Raises SequenceError with INVALID_PRODUCER_EPOCH or OUT_OF_ORDER_SEQUENCE_NUMBER.
        """
        producer = self._producers.get(header.producer_id)
        if producer is None:
            return None
        if header.producer_epoch < producer.epoch:
            raise SequenceError(
                ErrorCode.INVALID_PRODUCER_EPOCH,
                f"producer {header.producer_id} has epoch {producer.epoch}, "
                f"the batch says {header.producer_epoch}",
            )
        first = header.base_sequence
        if header.producer_epoch > producer.epoch:
            if first != 0:
                raise SequenceError(
                    ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
                    f"producer {header.producer_id} begins its new epoch at 0, not {first}",
                )
            return None
        last = sequence_after(first, header.record_count - 1)
        for kept in producer.batches:
            if kept.first_sequence == first and kept.last_sequence == last:
                return kept
        expected = sequence_after(producer.batches[-1].last_sequence, 1)
        if first != expected:
            raise SequenceError(
                ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
                f"producer {header.producer_id} continues with sequence {expected}, not {first}",
            )
        return None

    def record(
        self,
        header: BatchHeader,
        base_offset: int,
        now_ms: int,
        confirmation: asyncio.Future[None] | None,
    ) -> None:
        """Remember a batch that was appended at `base_offset`."""
        producer = self._producers.pop(header.producer_id, None)
        if producer is None or producer.epoch != header.producer_epoch:
            producer = _Producer(header.producer_epoch, now_ms)
        producer.seen_ms = now_ms
        last = sequence_after(header.base_sequence, header.record_count - 1)
        producer.batches.append(KeptBatch(header.base_sequence, last, base_offset, confirmation))
        self._producers[header.producer_id] = producer
        if len(self._producers) > PRODUCERS_MAX_COUNT:
            del self._producers[next(iter(self._producers))]

    def save(self, now_ms: int) -> list[SavedProducer]:
        """(producer id, epoch, last seen, [(first, last, base offset)]) of each producer not
        expired.
        """
        for producer_id in list(self._expired(now_ms)):
            del self._producers[producer_id]
        return [
            (producer_id, p.epoch, p.seen_ms, [(b[0], b[1], b[2]) for b in p.batches])
            for producer_id, p in self._producers.items()
        ]

    def load(self, saved: list[SavedProducer]) -> None:
        for producer_id, epoch, seen_ms, batches in saved:
            producer = _Producer(epoch, seen_ms)
            producer.batches.extend(KeptBatch(f, last, base, None) for f, last, base in batches)
            self._producers[producer_id] = producer

    def _expired(self, now_ms: int) -> Iterator[int]:
        for producer_id, producer in self._producers.items():
            if now_ms - producer.seen_ms <= EXPIRATION_MS:
                return  # in order of last use: the rest is younger
            yield producer_id
