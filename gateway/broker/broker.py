"""The broker: the catalog, the data logs of this process, and what is asked of all of them.

Everything that changes state is an append to a log, decided and applied synchronously and
answered when durable: so two requests never see half a change, and what was answered survives.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from gateway.broker.attaching import attach
from gateway.broker.batch_checks import CheckLanes
from gateway.broker.catalog import Catalog
from gateway.broker.catalog_merge import Merged
from gateway.broker.errors import BrokerError
from gateway.broker.limits import BrokerLimits
from gateway.broker.log_set import LogSet, catalog_config
from gateway.broker.metadata_records import (
    ConfigsChanged,
    ConfiguredKind,
    TopicConfigsChanged,
)
from gateway.broker.offsets_topic import OffsetsTopic
from gateway.broker.owned_log import Coordinator, OwnedLog
from gateway.broker.partition import Partition
from gateway.broker.producer_state import ProducerMemory
from gateway.broker.quota_entities import decode_entity, decode_values
from gateway.broker.stored_configs import BYTES_MAX as CONFIGS_BYTES_MAX
from gateway.broker.take_overs import TakeOvers
from gateway.broker.topic_configs import TOPIC_NAMES
from gateway.broker.topic_creations import TopicCreations
from gateway.broker.topic_deletions import TopicDeletions
from gateway.broker.topics import Topic
from gateway.broker.waiting import STORAGE_TIMEOUT_S
from gateway.cluster.view import ClusterView, Node, SingleNode
from gateway.fairness.quotas import Quotas
from gateway.fairness.slices import Slices
from protocol import ErrorCode
from wal_core import Clock, LogConfig, Rng, SegmentStore, SteadyClock, WalError

CATALOG_WAIT_S = 3.0  # for what another node has written, before what is known is acted on

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
        self.creations = TopicCreations(self.catalog, self.logs, self.deletions, limits, rng)
        self.offsets_topic = OffsetsTopic(
            self.catalog, self.creations, lambda: self.cluster, self.search, clock
        )
        self.take_overs = TakeOvers(self.catalog, self._attach_all)
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
        self.logs.prepare(store, config, partial(self._new_log, coordinator), when_lost)
        self.catalog.follow(store, catalog_config(config), self._merged)

    def _merged(self, merged: Merged) -> None:
        """Another node has written that."""
        for topic in merged.shown:
            attach(topic, self.logs)
        if merged.gone:
            self.when_gone(merged.gone)
            self.deletions.abandon(merged.gone)
        self.deletions.read_again()
        self.deletions.serve_tombstones()

    async def open_log(self, log_id: int) -> int:
        """Take over a log, recover it, serve what lies on it; returns the term. Raises WalError."""
        owned = await self.logs.open_one(log_id)
        if owned is None:
            await self.catalog.be_somebody(STORAGE_TIMEOUT_S)
            return self.catalog.log.term
        # What is known may be older than the log: what has begun there is served all the same.
        await self.take_overs.serve(owned, CATALOG_WAIT_S)
        self._resumed(owned)
        if owned.is_serving:
            owned.groups.start()
            self.catalog.look_again_at(log_id)
            self.deletions.serve_tombstones()
        return owned.log.term

    async def _attach_all(self) -> None:
        """Serve whatever lies on logs that are here."""
        slices = Slices()
        for topic in list(self.topics):
            if slices.is_over:
                await slices.pause()
            attach(topic, self.logs)

    async def release_log(self, log_id: int) -> None:
        """Let another node have it: from now on its partitions are led elsewhere, and what was
        taken is confirmed when this returns."""
        await self.logs.release(log_id)

    def _new_log(self, coordinator: Callable[[int], Coordinator], log_id: int) -> OwnedLog:
        return OwnedLog(
            log_id,
            coordinator(log_id),
            self.producer_memory,
            clock=self._clock,
            steady=self._steady,
            rng=self._rng,
            is_shared=self.catalog.is_shared,
        )

    def _resume(self) -> None:
        """Give the partitions of the catalog to the logs they lie on, and see to what is left."""
        for topic in self.topics:
            attach(topic, self.logs)
        for owned in self.logs:
            self._resumed(owned)
        self.deletions.serve_tombstones()

    def _resumed(self, owned: OwnedLog) -> None:
        # What the log has seen is not given out again, whatever the catalog remembers.
        self.topics.use_streams(owned.log_id, owned.next_stream_id)
        owned.tell_unclaimed(self.topics.tombstones)

    def stop_waiting(self) -> None:
        """Answer every parked fetch now; a graceful stop begins with it."""
        self.closing = True
        for partition in self.topics.partitions():
            partition.wake()

    async def close(self) -> None:
        """Confirm what is pending and release the logs."""
        self.check_lanes.close()
        await self.take_overs.stop()
        await self.catalog.unfollow()
        await self.deletions.news.stop()
        await self.logs.close()

    @property
    def is_room_spent(self) -> bool:
        """Whether the disk takes deletions alone."""
        return any(log.room.is_spent for _, log in self.logs.opened())

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
        code = again if self.catalog.is_shared else never
        raise BrokerError(code, "no log here has producer ids left")
