"""The broker: the catalog, the data logs of this process, and what is asked of all of them.

Everything that changes state is an append to a log, decided and applied synchronously and
answered when durable: so two requests never see half a change, and what was answered survives.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

from gateway.broker.batch_checks import CheckLanes
from gateway.broker.catalog import Catalog
from gateway.broker.catalog_merge import Merged
from gateway.broker.errors import BrokerError
from gateway.broker.leadership import leader_of
from gateway.broker.limits import BrokerLimits
from gateway.broker.log_set import LogSet, catalog_config
from gateway.broker.metadata_records import (
    ConfigsChanged,
    ConfiguredKind,
    PartitionsAdded,
    TopicConfigsChanged,
    TopicCreated,
)
from gateway.broker.owned_log import Coordinator, OwnedLog
from gateway.broker.partition import Partition
from gateway.broker.placing import Placing
from gateway.broker.producer_state import ProducerMemory
from gateway.broker.quota_entities import decode_entity, decode_values
from gateway.broker.stored_configs import BYTES_MAX as CONFIGS_BYTES_MAX
from gateway.broker.topic_configs import TOPIC_NAMES
from gateway.broker.topic_deletions import TopicDeletions
from gateway.broker.topic_rules import OFFSETS_TOPIC, new_topic_id, topic_name_problem
from gateway.broker.topics import Topic
from gateway.broker.waiting import confirmed_in_time, settled, wait_confirmed
from gateway.cluster.view import ClusterView, Node, SingleNode
from gateway.fairness.quotas import Quotas
from gateway.fairness.slices import Slices
from gateway.observe.logger import log_event
from protocol import ErrorCode, Record, build_batch, read_header
from wal_core import Clock, LogConfig, Rng, SegmentStore, SteadyClock, Unavailable, WalError

CREATION_WAIT_S = 0.25  # a new topic is told at once or, while storage is slow, as one that comes
CATALOG_WAIT_S = 3.0  # for what another node has written, before what is known is acted on
STORAGE_TIMEOUT_S = 30.0  # how long a metadata change or a commit may wait for storage

logger = logging.getLogger(__name__)


class Broker:
    """Owner of the logs. Build, `open` or `join`, end with `close`."""

    def __init__(self, node: Node, limits: BrokerLimits, clock: Clock, rng: Rng) -> None:
        self.node = node
        self.limits = limits
        self.catalog = Catalog(limits.message_bytes_max, clock, rng)
        self.topics = self.catalog.topics
        self.configs = self.catalog.configs
        self.logs = LogSet(self.catalog, limits.logs_count)
        self.cluster: ClusterView = SingleNode(node, self.logs.term_of)
        self.deletions = TopicDeletions(self.catalog, self.logs, lambda: self.cluster)
        self._placing = Placing(self.topics, self._logs_for_new, limits.partitions_max_count)
        self.check_lanes = CheckLanes(limits.decompressed_bytes_max)
        self.producer_memory = ProducerMemory(
            limits.producer_state_bytes_max, limits.producer_id_expiration_ms
        )
        self._clock = clock
        self._steady = SteadyClock(clock)
        self._rng = rng
        self.quotas = Quotas()
        self.configs.watch(self._act_on_configs)
        self.when_gone: Callable[[Sequence[Topic]], None] = lambda topics: None
        """Called with topics that another node has deleted."""
        self.ask_for_offsets_topic: Callable[[float], Awaitable[None]] = _nobody
        """Have the controller create it, in so many seconds; where that is another node."""
        self._is_joined = False
        self.closing = False  # True from the start of a graceful stop: nothing is parked any more

    async def open(
        self,
        store: SegmentStore,
        config: LogConfig,
        coordinator: Callable[[int], Coordinator],
    ) -> None:
        """Recover the logs and everything that rides on them; returns when requests can be served.

        `coordinator` makes the one for the groups on a data log.
        """
        await self.logs.open(store, config, partial(self._new_log, coordinator))
        try:
            self._resume()
            await self.catalog.be_somebody(STORAGE_TIMEOUT_S)
        except (Exception, asyncio.CancelledError):
            await self.logs.close()
            raise
        self.logs.watch()

    def join(
        self,
        store: SegmentStore,
        config: LogConfig,
        coordinator: Callable[[int], Coordinator],
        when_lost: Callable[[int, BaseException], None],
    ) -> None:
        """Be a node of a cluster: it is told which logs to open and to release. `when_lost` is told
        of a log that somebody else has taken, or that failed, once it is let go of."""
        self._is_joined = True
        self.logs.prepare(store, config, partial(self._new_log, coordinator), when_lost)
        self.catalog.follow(store, catalog_config(config), self._merged)

    def _merged(self, merged: Merged) -> None:
        """Another node has written that."""
        for topic in merged.shown:
            self._attach(topic)
        if merged.gone:
            self.when_gone(merged.gone)
            self.deletions.abandon(merged.gone)
        self.deletions.serve_tombstones()

    async def open_log(self, log_id: int) -> int:
        """Take over a log, recover it, serve what lies on it; returns the term. Raises WalError."""
        owned = await self.logs.open_one(log_id)
        if owned is None:
            await self.catalog.be_somebody(STORAGE_TIMEOUT_S)
            return self.catalog.log.term
        # What is known may be older than the log, and nothing is given up for that.
        with contextlib.suppress(WalError, TimeoutError):
            await self.catalog.look(CATALOG_WAIT_S)
        slices = Slices()
        for topic in list(self.topics):
            if slices.is_over:
                await slices.pause()
            self._attach(topic)
        self._resumed(owned)
        if owned.is_serving:
            owned.groups.start()
            self.catalog.look_again_at(log_id)
            self.deletions.serve_tombstones()
        return owned.log.term

    async def release_log(self, log_id: int) -> None:
        """Let another node have it: from now on its partitions are led elsewhere, and what was
        taken is confirmed when this returns."""
        await self.logs.release(log_id)

    def _logs_for_new(self) -> list[int]:
        """Where new partitions may lie. Among nodes: on a log that nobody has just now, too, for
        somebody is about to."""
        logs = self.logs
        return [log_id for log_id in logs.for_new if self._is_joined or logs.term_of(log_id)]

    def _new_log(self, coordinator: Callable[[int], Coordinator], log_id: int) -> OwnedLog:
        return OwnedLog(
            log_id,
            coordinator(log_id),
            self.producer_memory,
            clock=self._clock,
            steady=self._steady,
            rng=self._rng,
            is_shared=self._is_joined,
        )

    def _resume(self) -> None:
        """Give the partitions of the catalog to the logs they lie on, and see to what is left."""
        for topic in self.topics:
            self._attach(topic)
        for owned in self.logs:
            self._resumed(owned)
        self.deletions.serve_tombstones()

    def _resumed(self, owned: OwnedLog) -> None:
        # What the log has seen is not given out again, whatever the catalog remembers.
        self.topics.use_streams(owned.log_id, owned.next_stream_id)
        owned.tell_unclaimed(self.topics.tombstones)

    def _attach(self, topic: Topic) -> list[Partition]:
        """Those of its partitions whose logs are served here, and that are not yet; which."""
        new = [partition for partition in topic.placed if not partition.is_served]
        for partition in new:
            owned = self.logs.get(partition.log_id)
            if owned is not None and owned.is_serving and not partition.attach(owned):
                log_event(
                    logger,
                    logging.ERROR,
                    "a stream is another topic's: the partition is not served",
                    topic=topic.name,
                    partition=partition.index,
                    log=partition.log_id,
                    stream=partition.stream_id,
                )
        return [partition for partition in new if partition.is_served]

    def _begin(self, topic: Topic) -> None:
        """Serve the partitions that have just come into being."""
        for partition in self._attach(topic):
            partition.begin()

    def stop_waiting(self) -> None:
        """Answer every parked fetch now; a graceful stop begins with it."""
        self.closing = True
        for partition in self.topics.partitions():
            partition.wake()

    async def close(self) -> None:
        """Confirm what is pending and release the logs."""
        self.check_lanes.close()
        await self.catalog.unfollow()
        await self.deletions.news.stop()
        await self.logs.close()

    @property
    def is_room_spent(self) -> bool:
        """Whether the disk takes deletions alone."""
        return any(log.room.is_spent for _, log in self.logs.opened())

    @property
    def is_controller(self) -> bool:
        """Whether this node writes the catalog, as far as it knows."""
        catalog = self.catalog
        return catalog.is_open and not (self._is_joined and catalog.log.failed.done())

    @property
    def cluster_id(self) -> str:
        return self.topics.cluster_id

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def steady_ms(self) -> int:
        """For ages: no jump of the wall clock changes it."""
        return self._steady.now_ms()

    # Topics

    def partition(self, topic: str, index: int) -> Partition | None:
        return self._found(self.topics.named(topic), index)

    def _found(self, topic: Topic | None, index: int) -> Partition | None:
        if topic is not None and 0 <= index < len(topic.partitions):
            return topic.partitions[index]
        self.catalog.missed()  # another node may have written it: who comes again will hear of it
        return None

    def durable_partition(self, topic: str, index: int) -> Partition | None:
        """None also while a crash may take its topic away again: of that nothing is told. Another
        gateway may have created one of that name."""
        partition = self.partition(topic, index)
        return partition if partition is not None and self.is_durable(partition) else None

    def partition_by_id(self, topic_id: bytes, index: int) -> Partition | None:
        return self._found(self.topics.with_id(topic_id), index)

    async def search(self, names: Iterable[str], ids: Iterable[bytes] = ()) -> None:
        """If one of these topics is not known, read what another node may have written of it."""
        known, known_id = self.topics.named, self.topics.with_id
        if any(known(name) is None for name in names) or any(known_id(one) is None for one in ids):
            with contextlib.suppress(WalError, TimeoutError):
                await self.catalog.search(CATALOG_WAIT_S)

    def is_durable(self, partition: Partition) -> bool:
        """Whether no crash can take its topic away any more."""
        topic = self.topics.with_id(partition.topic.id)
        return topic is not None and topic.is_durable

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
            topic_id=new_topic_id(self._rng),
            placements=self._placing.new(partitions_count),
            configs=dict(configs),
        )
        created = self.catalog.write(record)
        topic = self.topics.with_id(record.topic_id)
        assert topic is not None
        self._begin(topic)
        topic.created = created
        topic.created_s = asyncio.get_running_loop().time()
        return topic

    def add_partitions(self, topic: Topic, count: int) -> asyncio.Future[None]:
        """Let a topic have `count` partitions; the new ones are there for others once the result is
        settled, for that is durable then. Raises as `Placing.check_more`."""
        self.check_more_partitions(topic, count)
        before = topic.record.placements
        new = self._placing.new(count - len(before), topic)
        record = PartitionsAdded(topic_id=topic.id, placements=[*before, *new])
        added = self.catalog.write(record)
        self._begin(topic)
        topic.await_partitions(len(new), added)
        return added

    def check_more_partitions(self, topic: Topic, count: int) -> None:
        """Raise the BrokerError that `add_partitions` would."""
        self._placing.check_more(topic, count)

    def check_new_topic(self, name: str, partitions_count: int) -> None:
        """Raise the BrokerError that `create_topic` would."""
        self.check_topic_name(name)
        self._placing.check_new(name, partitions_count)
        self.deletions.check_gone(name)

    def ensure_topic(self, name: str) -> Topic | None:
        """The topic, created if that is allowed; None when it is missing and must stay so. The
        first of many who touch it creates it; it is spoken of once `created_soon` says so. Raises
        BrokerError for an illegal name, or one that has just been deleted."""
        topic = self.topics.named(name)
        if topic is None:
            self.check_topic_name(name)
            is_internal = name == OFFSETS_TOPIC
            if not self.limits.auto_create_topics and not is_internal:
                return None
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
            await confirmed_in_time(topic.created, timeout_s)
            topic.created = None

    async def settled_name(self, name: str, timeout_s: float) -> None:
        """The same for the topic of that name, if there is one: "exists" must not be taken back."""
        topic = self.topics.named(name)
        if topic is not None:
            await self.settled(topic, timeout_s)

    def configure(
        self, kind: ConfiguredKind, name: str, configs: Mapping[str, str]
    ) -> asyncio.Future[None]:
        """Let these, which must be valid, be all that is set on a broker, on all of them, on a
        group, or for clients; in force at once, the result is settled when that is durable."""
        record = ConfigsChanged(kind=kind, name=name, configs=dict(configs))
        if not self.configs.has_room_for(record):
            raise BrokerError(
                ErrorCode.POLICY_VIOLATION,
                f"settings of groups and quotas take {self.configs.bytes_count} bytes of "
                f"{CONFIGS_BYTES_MAX}: delete some that are not needed any more",
            )
        return self.catalog.write(record)

    def _act_on_configs(self, changed: ConfigsChanged) -> None:
        if changed.kind == "client_quota":
            self.quotas.change(decode_entity(changed.name), decode_values(changed.configs))
        if changed.kind != "broker":
            return
        values = self.configs.of_broker(self.node.node_id)
        self.topics.defaults.change(
            {TOPIC_NAMES[name]: value for name, value in values.items() if name in TOPIC_NAMES}
        )
        expiration = values.get("producer.id.expiration.ms")
        self.producer_memory.expire_after(
            self.limits.producer_id_expiration_ms if expiration is None else int(expiration)
        )

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
        return self.catalog.write(record)

    def delete_records(
        self, starts: Mapping[Partition, int]
    ) -> dict[Partition, asyncio.Future[None]]:
        """Let partitions start at these offsets, none above its high watermark: one record on each
        log for all of them. Appended during the call; each result is settled when the partition's
        start has moved, once the record is durable, or when its log has failed.
        """
        by_log: dict[int, dict[Partition, int]] = {}
        for partition, offset in starts.items():
            by_log.setdefault(partition.log_id, {})[partition] = offset
        moved = {log_id: self.logs[log_id].delete_records(some) for log_id, some in by_log.items()}
        return {partition: moved[partition.log_id] for partition in starts}

    # Producer ids

    def new_producer_id(self) -> int:
        """An id that no producer had before, also across restarts.

        Raises BrokerError when no log of this process can give one.
        """
        for owned in self.logs.serving():
            producer_id = owned.new_producer_id()
            if producer_id is not None:
                return producer_id
        # Among nodes others can be asked: Java's producers come again for the first code, and look
        # for a coordinator, which there is not, for the second.
        again, never = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, ErrorCode.COORDINATOR_NOT_AVAILABLE
        raise BrokerError(again if self._is_joined else never, "no log here has producer ids left")

    # Group records

    async def offsets_ready(self, timeout_s: float = STORAGE_TIMEOUT_S) -> None:
        """Make sure of __consumer_offsets, which is created at first use: what rides on it must not
        be in a log before the topic is in the catalog. Raises WalError, TimeoutError."""
        topic = self.topics.named(OFFSETS_TOPIC)
        if topic is None and not self.is_controller:
            await self.search((OFFSETS_TOPIC,))
            if self.topics.named(OFFSETS_TOPIC) is None:
                await self.ask_for_offsets_topic(timeout_s)
                await self.catalog.look(timeout_s)
            topic = self.topics.named(OFFSETS_TOPIC)
            if topic is None and not self.is_controller:
                raise Unavailable("there is no place for group records yet")
        if topic is None:
            topic = self._create_offsets_topic()
        await self.settled(topic, timeout_s)

    def offsets_partition(self, number: int) -> Partition | None:
        """The partition of __consumer_offsets for what hashes to `number`; None before it is there
        for good."""
        topic = self.topics.named(OFFSETS_TOPIC)
        if topic is None or not topic.is_durable:
            return None
        return topic.partitions[number % len(topic.partitions)]

    def log_of_groups(self, number: int) -> int | None:
        """The log that the groups lie on that hash to `number`; None before there can be any."""
        partition = self.offsets_partition(number)
        return None if partition is None else partition.log_id

    def node_of_groups(self, number: int) -> Node | None:
        """The node that has the groups that hash to `number`; None while nobody is known to. Before
        there can be any, one among others may be the first to be asked."""
        partition = self.offsets_partition(number)
        if partition is None:
            return self.node if self._is_joined else None
        leader = leader_of(partition, self.cluster)
        return None if leader is None else leader.node

    def append_group_records(
        self, partition: Partition, records: Sequence[tuple[bytes, bytes | None]]
    ) -> Awaitable[None]:
        """Append records to a partition of __consumer_offsets; the result is awaited for
        durability, without a deadline: the coordinator answers its clients in time and must still
        learn what became of the write.

        The append happens during the call, so calls keep their order.
        """
        now_ms = self._clock.now_ms()
        batch = build_batch([Record(key=k, value=v, timestamp_ms=now_ms) for k, v in records])
        view = memoryview(batch)
        appended = partition.append(view, read_header(view), now_ms, self.steady_ms())
        assert appended.confirmation is not None
        return settled(appended.confirmation)


async def _nobody(timeout_s: float) -> None:
    raise Unavailable("another node writes the catalog")
