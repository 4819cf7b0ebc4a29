"""The broker: topics, partitions, producer ids and group records over one log.

Everything that changes state is an append to the log, decided and applied synchronously and
answered when durable: so two requests never see half a change, and what was answered survives.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from gateway.broker.batch_checks import CheckLanes
from gateway.broker.errors import BrokerError
from gateway.broker.log_state import BrokerState, GroupRecords
from gateway.broker.metadata_records import (
    PRODUCER_IDS_BLOCK_COUNT,
    ClusterCreated,
    MetadataRecord,
    ProducerIdsReserved,
    RecordsDeleted,
    TopicConfigsChanged,
    TopicCreated,
    TopicDeleted,
    consecutive,
    encode_metadata,
)
from gateway.broker.partition import Partition
from gateway.broker.producer_state import ProducerMemory
from gateway.broker.topic_rules import OFFSETS_TOPIC, topic_name_problem
from gateway.broker.topics import (
    METADATA_STREAM_ID,
    Topic,
    TopicRegistry,
)
from gateway.broker.unknown_streams import drop_those_of_deleted_topics
from gateway.broker.waiting import wait_confirmed
from gateway.observe.logger import log_event
from protocol import ErrorCode, Record, build_batch, read_header
from wal_core import Clock, Log, LogConfig, Rng, SegmentStore

STARTS_MOVED_AT_ONCE_COUNT = 500  # log starts moved in one go: about a millisecond
CREATION_WAIT_S = 0.25  # a new topic is told at once or, while storage is slow, as one that comes
STORAGE_TIMEOUT_S = 30.0  # how long a metadata change or a commit may wait for storage

logger = logging.getLogger(__name__)


class Node(NamedTuple):
    """This gateway as clients see it: the advertised address."""

    node_id: int
    host: str
    port: int


class BrokerLimits(NamedTuple):
    """The part of the configuration that the broker acts on."""

    message_bytes_max: int
    decompressed_bytes_max: int
    auto_create_topics: bool
    default_partitions_count: int
    partitions_max_count: int
    offsets_partitions_count: int
    producer_state_bytes_max: int
    producer_id_expiration_ms: int


class Broker:
    """Owner of the log. Build with `Broker.open`, end with `close`."""

    def __init__(
        self, node: Node, limits: BrokerLimits, groups: GroupRecords, clock: Clock, rng: Rng
    ) -> None:
        self.node = node
        self.limits = limits
        self.topics = TopicRegistry(
            limits.message_bytes_max,
            ProducerMemory(limits.producer_state_bytes_max, limits.producer_id_expiration_ms),
        )
        self.check_lanes = CheckLanes(limits.decompressed_bytes_max)
        self.state = BrokerState(self.topics, groups, clock)
        self._clock = clock
        self._rng = rng
        self._log: Log | None = None
        self.closing = False  # True from the start of a graceful stop: nothing is parked any more
        self._next_producer_id = 0
        # Of the newest block of producer ids: none of them is handed out before it is durable.
        self._reservation: asyncio.Future[None] | None = None
        self._tidying: asyncio.Task[None] | None = None

    async def open(self, store: SegmentStore, config: LogConfig) -> None:
        """Recover the log and everything that rides on it; returns when requests can be served."""
        self._log = await Log.open(store, self.state, config, clock=self._clock, rng=self._rng)
        try:
            await self._resume(self._log)
        except BaseException:
            await self._stop_tidying()
            await self._log.close()
            raise

    async def _resume(self, log: Log) -> None:
        """Say again what the log may have forgotten, and be somebody."""
        self.topics.attach(log)
        stream_ids = set(log.stream_ids()) - {METADATA_STREAM_ID}
        self.topics.restore_next_stream_id(max(stream_ids, default=0) + 1)
        unknown = {stream for stream in stream_ids if self.topics.of_stream(stream) is None}
        if unknown:
            self._tidying = asyncio.create_task(self._tidy(log, unknown))
        for partition in self.topics.partitions():
            partition.resume()
        self._next_producer_id = self.topics.producer_ids_end
        if not self.topics.cluster_id:
            name = base64.urlsafe_b64encode(self._rng.random_bytes(16)).decode().rstrip("=")
            await self._durable(self._write(ClusterCreated(cluster_id=name)))

    async def _tidy(self, log: Log, unknown: Collection[int]) -> None:
        try:
            await drop_those_of_deleted_topics(log, unknown)
        except Exception as error:
            reason = str(error)
            log_event(logger, logging.WARNING, "deleted topics are still there", reason=reason)

    async def _stop_tidying(self) -> None:
        if self._tidying is not None:
            self._tidying.cancel()
            await asyncio.wait((self._tidying,))

    def stop_waiting(self) -> None:
        """Answer every parked fetch now; a graceful stop begins with it."""
        self.closing = True
        for partition in self.topics.partitions():
            partition.wake()

    async def close(self) -> None:
        """Confirm what is pending and release the log."""
        self.check_lanes.close()
        await self._stop_tidying()
        if self._log is not None:
            await self._log.close()

    @property
    def log(self) -> Log:
        assert self._log is not None, "the broker is not open"
        return self._log

    @property
    def cluster_id(self) -> str:
        return self.topics.cluster_id

    def now_ms(self) -> int:
        return self._clock.now_ms()

    # Topics

    def partition(self, topic: str, index: int) -> Partition | None:
        found = self.topics.named(topic)
        return _partition_of(found, index)

    def partition_by_id(self, topic_id: bytes, index: int) -> Partition | None:
        return _partition_of(self.topics.with_id(topic_id), index)

    def partition_exists(self, topic: str, partition: int) -> bool:
        return self.partition(topic, partition) is not None

    def check_topic_name(self, name: str) -> None:
        """Raise INVALID_TOPIC_EXCEPTION for a name that no topic can have."""
        problem = topic_name_problem(name)
        if problem is not None:
            raise BrokerError(ErrorCode.INVALID_TOPIC_EXCEPTION, problem)

    def create_topic(
        self,
        name: str,
        partitions_count: int | None = None,
        configs: Mapping[str, str] | None = None,
    ) -> Topic:
        """Create a topic; it is in force at once and answered for once `topic.created` is settled.

        Raises BrokerError: INVALID_TOPIC_EXCEPTION, TOPIC_ALREADY_EXISTS, INVALID_PARTITIONS,
        POLICY_VIOLATION.
        """
        count = (
            self.limits.default_partitions_count if partitions_count is None else partitions_count
        )
        self.check_new_topic(name, count)
        return self._create_topic(name, count, configs or {})

    def _create_offsets_topic(self) -> Topic:
        """Whoever touches it first: its layout is the gateway's own, and no limit is in its way."""
        count = self.limits.offsets_partitions_count
        return self._create_topic(OFFSETS_TOPIC, count, {"cleanup.policy": "compact"})

    def _create_topic(self, name: str, partitions_count: int, configs: Mapping[str, str]) -> Topic:
        record = TopicCreated(
            name=name,
            topic_id=self._new_topic_id(),
            placements=consecutive(0, self.topics.next_stream_id, partitions_count),
            configs=dict(configs),
        )
        created = self._write(record)
        topic = self.topics.with_id(record.topic_id)
        assert topic is not None
        topic.created = created
        topic.created_s = asyncio.get_running_loop().time()
        return topic

    def check_new_topic(self, name: str, partitions_count: int) -> None:
        """Raise the BrokerError that `create_topic` would."""
        self.check_topic_name(name)
        if self.topics.named(name) is not None:
            raise BrokerError(ErrorCode.TOPIC_ALREADY_EXISTS, f"topic {name!r} already exists")
        if name == OFFSETS_TOPIC:
            raise BrokerError(
                ErrorCode.INVALID_TOPIC_EXCEPTION, f"the gateway itself creates {name} when needed"
            )
        if partitions_count < 1:
            raise BrokerError(
                ErrorCode.INVALID_PARTITIONS,
                f"a topic has 1 or more partitions, not {partitions_count}",
            )
        internal = self.topics.named(OFFSETS_TOPIC)
        used_count = self.topics.partitions_count - (len(internal.partitions) if internal else 0)
        room = self.limits.partitions_max_count - used_count
        if partitions_count > room:
            raise BrokerError(
                ErrorCode.POLICY_VIOLATION,
                f"{partitions_count} partitions asked for, room for {max(0, room)} more: "
                f"this gateway is set to {self.limits.partitions_max_count} (partitions_max_count)",
            )

    def ensure_topic(self, name: str) -> Topic | None:
        """The topic, created if that is allowed; None when it is missing and must stay so.

        Sixteen parallel first touches create it once: the first applies, the others find it. It is
        spoken of once `created_soon` says so. Raises BrokerError for an illegal name.
        """
        topic = self.topics.named(name)
        if topic is None:
            self.check_topic_name(name)
            if not self.limits.auto_create_topics:
                return None
            is_internal = name == OFFSETS_TOPIC
            topic = self._create_offsets_topic() if is_internal else self.create_topic(name)
        return topic

    async def created_soon(self, topics: Iterable[Topic]) -> None:
        """Wait until these are durable, or until their time to become so in is over: that is a
        moment from their creation on, and whoever asks later does not wait again.
        """
        pending = [topic for topic in topics if not topic.is_durable]
        if pending:
            until_s = max(topic.created_s for topic in pending) + CREATION_WAIT_S
            left_s = until_s - asyncio.get_running_loop().time()
            if left_s > 0:
                await wait_confirmed([t.created for t in pending if t.created], left_s)

    async def settled(self, topic: Topic, timeout_s: float = STORAGE_TIMEOUT_S) -> None:
        """Wait until the topic's creation is durable, so that no answer speaks of one that may
        vanish.
        """
        if topic.created is not None:
            await self._durable(topic.created, timeout_s)
            topic.created = None

    async def settled_name(self, name: str, timeout_s: float) -> None:
        """The same for the topic of that name, if there is one: "exists" must not be taken back."""
        topic = self.topics.named(name)
        if topic is not None:
            await self.settled(topic, timeout_s)

    def change_configs(self, topic: Topic, configs: Mapping[str, str]) -> asyncio.Future[None]:
        """Let these, which must be valid, be all that is set on a topic; in force at once, the
        result is settled when that is durable.
        """
        if topic.is_internal:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST,
                f"{topic.name} is internal: its settings cannot be changed",
            )
        record = TopicConfigsChanged(topic_id=topic.id, configs=dict(configs))
        return self._write(record)

    def delete_topic(self, topic: Topic) -> asyncio.Future[None]:
        """Remove a topic and its streams during the call; the result is settled when that is
        durable. Its name may be used again at once.
        """
        if topic.is_internal:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST, f"{topic.name} is internal and cannot be deleted"
            )
        self._hurry()
        deleted = self._write(TopicDeleted(topic_id=topic.id))

        def drop(confirmation: asyncio.Future[None]) -> None:
            # Not before: the bytes of a topic that a crash may bring back must not be given up.
            if _failure(confirmation) is None:
                for partition in topic.partitions:
                    partition.drop()
                self._hurry()

        deleted.add_done_callback(drop)
        return deleted

    def _new_topic_id(self) -> bytes:
        """A random (version 4) UUID, as Kafka's; never the all-zero one, which means "no id"."""
        raw = bytearray(self._rng.random_bytes(16))
        raw[6] = (raw[6] & 0x0F) | 0x40
        raw[8] = (raw[8] & 0x3F) | 0x80
        return bytes(raw)

    def delete_records(
        self, starts: Mapping[Partition, int], timeout_s: float = STORAGE_TIMEOUT_S
    ) -> Awaitable[None]:
        """Let partitions start at these offsets, none above its high watermark: one record for all
        of them. Appended during the call; the result is awaited until the starts have moved, which
        they do once the record is durable, whether or not somebody still waits.
        """
        moved = asyncio.get_running_loop().create_future()
        record = RecordsDeleted(starts={p.stream_id: offset for p, offset in starts.items()})
        left = iter(starts.items())
        self._hurry()
        self._write(record).add_done_callback(lambda done: self._move_starts(done, left, moved))
        return self._durable(moved, timeout_s)

    def _move_starts(
        self,
        written: asyncio.Future[None],
        left: Iterator[tuple[Partition, int]],
        moved: asyncio.Future[None],
    ) -> None:
        """Some of them, and the rest in later turns of the loop."""
        failure = _failure(written)
        if failure is not None:
            moved.set_exception(failure)
            moved.exception()  # seen: not everybody waits
            return
        some = list(islice(left, STARTS_MOVED_AT_ONCE_COUNT))
        for partition, offset in some:
            partition.start_at(offset)
        if len(some) < STARTS_MOVED_AT_ONCE_COUNT:
            self._hurry()
            moved.set_result(None)
        else:
            asyncio.get_running_loop().call_soon(self._move_starts, written, left, moved)

    # Producer ids

    async def new_producer_id(self) -> int:
        """An id that no producer had before, also across restarts: blocks of ids are reserved in
        the log.
        """
        producer_id = self._next_producer_id
        self._next_producer_id += 1
        if producer_id >= self.topics.producer_ids_end:
            end = self.topics.producer_ids_end + PRODUCER_IDS_BLOCK_COUNT
            self._reservation = self._write(ProducerIdsReserved(end=end))
        if self._reservation is not None:
            await self._durable(self._reservation)
        return producer_id

    # Group records

    def append_group_records(
        self, partition_index: int, records: Sequence[tuple[bytes, bytes | None]]
    ) -> Awaitable[None]:
        """Append records to __consumer_offsets, creating it at first use; the result is awaited for
        durability, without a deadline: the coordinator answers its clients in time and must still
        learn what became of the write.

        The append happens during the call, so calls keep their order.
        """
        topic = self.topics.named(OFFSETS_TOPIC)
        if topic is None:
            topic = self._create_offsets_topic()
        now_ms = self._clock.now_ms()
        self.log.room.admit_change()
        batch = build_batch([Record(key=k, value=v, timestamp_ms=now_ms) for k, v in records])
        view = memoryview(batch)
        partition = topic.partitions[partition_index % len(topic.partitions)]
        appended = partition.append(view, read_header(view), now_ms, self.state.steady.now_ms())
        assert appended.confirmation is not None
        return _settled(appended.confirmation)

    # The log

    def _write(self, record: MetadataRecord) -> asyncio.Future[None]:
        """Append a change and apply it. Raises NoRoom where deletions alone are still written."""
        if not isinstance(record, TopicDeleted | RecordsDeleted):
            self.log.room.admit_change()
        confirmation = self._append(record)
        self.topics.apply(record)
        return confirmation

    def _hurry(self) -> None:
        """Before and after a deletion: where room lacks, what it deletes from is ended, and so is
        what the deletion itself is in; for the newest segment of all gives nothing back."""
        if self.log.room.is_low:
            self.log.complete_segment()

    def _append(self, record: MetadataRecord) -> asyncio.Future[None]:
        log = self.log
        offset = log.end_offset(METADATA_STREAM_ID)
        return log.append(
            METADATA_STREAM_ID, offset, 1, self._clock.now_ms(), encode_metadata(record)
        )

    async def _durable(
        self, confirmation: asyncio.Future[None], timeout_s: float = STORAGE_TIMEOUT_S
    ) -> None:
        """Raises the log's error, or TimeoutError when storage takes too long (the outcome is
        open).
        """
        await wait_confirmed((confirmation,), timeout_s)
        if not confirmation.done():
            raise TimeoutError(f"storage did not confirm within {timeout_s:g} s")
        confirmation.result()


def _failure(confirmation: asyncio.Future[None]) -> BaseException | None:
    """Why what was written is not known to be durable, or None when it is."""
    if confirmation.cancelled():
        return TimeoutError("the gateway is stopping")
    return confirmation.exception()


async def _settled(confirmation: asyncio.Future[None]) -> None:
    """Wait as long as it takes; raises the log's error. The log settles all it ever promised."""
    await asyncio.wait((confirmation,))
    confirmation.result()


def _partition_of(topic: Topic | None, index: int) -> Partition | None:
    if topic is None or not 0 <= index < len(topic.partitions):
        return None
    return topic.partitions[index]
