"""Produce (0) of one small batch, in the step that it arrives in: no message, and no task.

The rules are those of produce.py, which has every request that is not taken here, and all that is
to be said about them. What is appended here is answered here, also when it fails.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.api.produce import FIRST_VERSION_WITH_TOPIC_IDS, patience_of, refused
from gateway.api.row import AtOnce
from gateway.broker.producer_state import SequenceError
from protocol import (
    BatchHeader,
    SmallProduce,
    read_small_produce,
    set_max_timestamp,
    small_answer,
    small_batch,
)
from protocol.messages.produce import PartitionProduceData, ProduceResponse, TopicProduceData

if TYPE_CHECKING:
    from gateway.broker.broker import Broker
    from gateway.broker.partition import Partition


class Begun:
    """A produce whose batch is appended, or was refused: then there is an error, and nothing to
    wait for."""

    __slots__ = (
        "_base_offset",
        "_broker",
        "_log_start_offset",
        "_partition",
        "_said",
        "_small",
        "confirmation",
        "error",
        "patience_s",
    )

    def __init__(self, small: SmallProduce, said: bytes, broker: Broker, partition: Partition):
        self._small = small
        self._said = said
        self._broker = broker
        self._partition = partition
        self._base_offset = self._log_start_offset = -1
        self.patience_s = patience_of(small[2], small[3])
        self.confirmation: asyncio.Future[None] | None = None
        self.error: Exception | None = None

    def append(self, batch: memoryview, header: BatchHeader, now_ms: int) -> None:
        partition = self._partition
        # Nobody else asks for it.
        steady_ms = self._broker.steady_ms() if header.producer_id >= 0 else 0
        try:
            appended = partition.append(batch, header, now_ms, steady_ms)
        except Exception as error:
            self.error = error
            return
        self._base_offset, self.confirmation = appended.base_offset, appended.confirmation
        self._log_start_offset = partition.log_start_offset

    def answer(self) -> bytes:
        """Once the batch is durable: the whole frame."""
        return small_answer(
            self.version,
            self.correlation_id,
            self._said,
            self._base_offset,
            self._log_start_offset,
        )

    @property
    def version(self) -> int:
        return self._small[0]

    @property
    def correlation_id(self) -> int:
        return self._small[1]

    def refusal(self, error: BaseException) -> ProduceResponse:
        """Instead of it."""
        version, _, _, _, named, index, *_ = self._small
        topic = TopicProduceData(partition_data=[PartitionProduceData(index=index)])
        if isinstance(named, bytes):
            topic.topic_id = named
        else:
            topic.name = named
        return refused(self._broker.cluster, version, topic, self._partition, error)


def begin(small: SmallProduce, frame: memoryview, broker: Broker) -> Begun | None:
    """None, and nothing has changed: it is for `produce`, to wait for something or to refuse it."""
    version, _, _, _, named, index, said_at, said_end, records_at, records_end = small
    topics = broker.topics
    if version >= FIRST_VERSION_WITH_TOPIC_IDS:
        topic = topics.with_id(named)  # type: ignore[arg-type]
    else:
        topic = topics.named(named)  # type: ignore[arg-type]
    if topic is None or not topic.is_durable or topic.is_internal or topic.log_append_time:
        return None
    if not 0 <= index < len(topic.partitions):
        return None
    partition = topic.partitions[index]
    batch = frame[records_at:records_end]
    if not partition.is_served or partition.deleted or len(batch) > topic.message_bytes_max:
        return None
    now_ms = broker.now_ms()
    sound = small_batch(batch, topic.record_rules(now_ms))
    if sound is None:
        return None
    header, latest_ms = sound
    if header.max_timestamp_ms != latest_ms:
        header.max_timestamp_ms = latest_ms
        set_max_timestamp(batch, latest_ms)
    begun = Begun(small, bytes(frame[said_at:said_end]), broker, partition)
    begun.append(batch, header, now_ms)
    if begun.confirmation is None and _is_for_produce(begun.error, broker):
        return None
    return begun


def _is_for_produce(error: Exception | None, broker: Broker) -> bool:
    """A repeat of what is durable; and what is refused for its sequence, if at all, after a look
    whether the log is still this node's."""
    return error is None or (
        isinstance(error, SequenceError) and not broker.logs.assurance.is_alone
    )


AT_ONCE: AtOnce = AtOnce(read_small_produce, begin)
