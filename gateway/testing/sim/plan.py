"""A run, drawn from its seed before it begins: what there is, who does what, what goes wrong."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from gateway.testing.sim.deletions import KEEPS_ALL, DeleterSpec, Retention
from gateway.testing.sim.faults import (
    KINDS,
    Fault,
    draw_fault,
    draw_rare_faults,
    draw_takings,
)
from gateway.testing.sim.history import Partition
from gateway.testing.sim.logstore_faults import draw_wipe
from gateway.testing.sim.producers import ProducerSpec
from wal_core.testing.seeds import Random, stream

Mode = Literal["object", "file", "cluster", "quorum"]
MODES: tuple[Mode, ...] = ("object", "file", "cluster", "quorum")
LOGS_COUNTS, CLUSTER_LOGS_COUNTS = (1, 3), (2, 3, 4)
NODES_COUNTS = (2, 2, 3, 3, 4)
HORIZONS_S = (2.0, 4.0, 6.0)
CLUSTER_HORIZONS_S = (8.0, 14.0, 20.0)
"""It takes a lease and more before logs have their first owners."""
CLUSTER_PRODUCERS_COUNT = 3
FAULTS_COUNTS, CLUSTER_FAULTS_COUNTS = (0, 1, 2, 4, 7), (0, 2, 4, 8, 12)
QUORUM_HORIZONS_S = (3.0, 6.0, 12.0)
"""Who is silent is waited for, for five seconds and more."""
QUORUM_FAULTS_COUNTS = (0, 2, 4, 8)
QUORUM_CLUSTER_EVERY = 7
"""Of the seeds of mode quorum: those with several nodes, which take ten times as long."""

SHORT_GROUPS_SHARE = 0.3  # of the runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that follows from a seed. `faults` may be thinned out, nothing else changes."""

    seed: int
    mode: Mode
    logs_count: int  # of data logs
    nodes_count: int  # 1: a gateway by itself, and others that take its place
    horizon_s: float  # when the faults end and the work is wound up
    topics: tuple[tuple[str, int], ...]  # name, partitions
    retention: tuple[tuple[str, Retention], ...]  # per topic; empty: nobody looks
    deleter: DeleterSpec | None
    members_count: int  # of the consumer group; 0: there is none
    short_lived: bool  # whether somebody creates and deletes topics all the time
    short_groups: bool  # whether somebody commits for groups and deletes them all the time
    producers: tuple[ProducerSpec, ...]
    followers: tuple[tuple[Partition, ...], ...]
    segment_blocks_max: int
    block_bytes_max: int
    tail_bytes_max: int
    gather_ms: int
    flushes_in_flight_max_count: int
    store_timeout_ms: int
    seal_segments_min_count: int
    merge_count: int
    sealed_block_bytes_max: int
    reference_bytes_min: int
    garbage_grace_ms: int
    logstores_count: int  # 0 but for mode quorum
    logstore_bytes_max: int
    upload_after_ms: int
    faults: tuple[Fault, ...]

    @property
    def is_cluster(self) -> bool:
        """Whether there are several nodes."""
        return self.nodes_count > 1

    @property
    def partitions(self) -> tuple[Partition, ...]:
        return tuple((name, index) for name, count in self.topics for index in range(count))

    def with_faults(self, faults: tuple[Fault, ...]) -> Plan:
        return dataclasses.replace(self, faults=faults)

    def describe(self) -> str:
        """For people."""
        logs = "one log" if self.logs_count == 1 else f"{self.logs_count} logs"
        nodes = f", {self.nodes_count} nodes" if self.is_cluster else ""
        rows = [f"seed {self.seed}, mode {self.mode}{nodes}, {logs}, {self.horizon_s} s"]
        rows += [f"  topic {name} with {count} partitions" for name, count in self.topics]
        rows += [f"  topic {name} has {retention}" for name, retention in self.retention]
        rows += [f"  {producer}" for producer in self.producers]
        rows += [f"  {self.deleter}"] if self.deleter else []
        rows += ["  short-lived topics"] if self.short_lived else []
        rows += ["  short-lived groups"] if self.short_groups else []
        rows += [f"  a group of {self.members_count}"] if self.members_count else []
        rows.append(
            f"  segments of {self.segment_blocks_max} blocks of {self.block_bytes_max} bytes, "
            f"tail {self.tail_bytes_max}, gather {self.gather_ms} ms, "
            f"{self.flushes_in_flight_max_count} in flight, "
            f"store timeout {self.store_timeout_ms} ms"
        )
        rows.append(
            f"  {self.seal_segments_min_count} segments are sealed, {self.merge_count} sealed ones "
            f"merged, blocks of {self.sealed_block_bytes_max}, referenced from "
            f"{self.reference_bytes_min}, garbage goes after {self.garbage_grace_ms} ms"
        )
        if self.logstores_count:
            rows.append(
                f"  {self.logstores_count} logstores of {self.logstore_bytes_max} bytes, uploaded "
                f"after {self.upload_after_ms} ms"
            )
        rows += [f"  fault {fault}" for fault in self.faults] or ["  no faults"]
        return "\n".join(rows)


def draw_plan(seed: int, mode: Mode, logs_count: int | None = None) -> Plan:
    """The plan of a seed; how many data logs there are is drawn as well unless given."""
    rng = stream(seed, "plan", mode)
    is_quorum = mode == "quorum"
    is_cluster = mode == "cluster" or (is_quorum and seed % QUORUM_CLUSTER_EVERY == 0)
    horizons_s = QUORUM_HORIZONS_S if is_quorum else HORIZONS_S
    horizon_s = rng.choice(CLUSTER_HORIZONS_S if is_cluster else horizons_s)
    topics = tuple((f"t{n}", rng.choice((1, 1, 2, 3))) for n in range(rng.choice((1, 2))))
    partitions = tuple((name, index) for name, count in topics for index in range(count))
    # A few kinds at a time: what each does alone would be drowned by all of them together.
    possible = KINDS["quorum cluster" if is_quorum and is_cluster else mode]
    kinds = rng.sample(possible, rng.choice((1, 2, 3, len(possible))))
    counts = QUORUM_FAULTS_COUNTS if is_quorum else FAULTS_COUNTS
    counts = CLUSTER_FAULTS_COUNTS if is_cluster else counts
    faults = [draw_fault(seed, number, horizon_s, kinds) for number in range(rng.choice(counts))]
    if logs_count is None:
        logs_count = stream(seed, "plan", mode, "logs").choice(
            CLUSTER_LOGS_COUNTS if is_cluster else LOGS_COUNTS
        )
    faults += draw_takings(seed, "cluster" if is_cluster else mode, logs_count, horizon_s)
    tail = stream(seed, "plan", mode, "logstores")
    if is_quorum:
        faults += draw_wipe(seed, horizon_s)
    retention, deleter = _draw_deletions(seed, mode, topics, horizon_s)
    members_count, short_lived = 0, False
    if retention or deleter or is_cluster:
        short_lived = stream(seed, "plan", mode, "short lived").random() < 0.4
        members_count = stream(seed, "plan", mode, "group").choice((0, 0, 1, 2, 3))
        faults += draw_rare_faults(seed, mode, horizon_s)
    return Plan(
        seed=seed,
        mode=mode,
        logs_count=logs_count,
        nodes_count=stream(seed, "plan", mode, "nodes").choice(NODES_COUNTS) if is_cluster else 1,
        horizon_s=horizon_s,
        topics=topics,
        retention=retention,
        deleter=deleter,
        members_count=members_count,
        short_lived=short_lived,
        short_groups=stream(seed, "plan", mode, "short groups").random() < SHORT_GROUPS_SHARE,
        producers=_producers(rng, partitions, horizon_s, is_cluster=is_cluster),
        followers=tuple(_some(rng, partitions) for _ in range(rng.choice((1, 2)))),
        segment_blocks_max=rng.choice((2, 4, 8, 30)),
        block_bytes_max=rng.choice((300, 2_000, 1 << 20)),
        tail_bytes_max=rng.choice((0, 2_000, 1 << 20)),
        gather_ms=rng.choice((0, 5, 5)),
        flushes_in_flight_max_count=rng.choice((1, 3, 16)),
        store_timeout_ms=rng.choice((500, 1_000, 10_000)),
        seal_segments_min_count=rng.choice((1, 2, 4)),
        merge_count=rng.choice((2, 3, 8)),
        sealed_block_bytes_max=rng.choice((500, 4_000, 1 << 20)),
        reference_bytes_min=rng.choice((1, 1_000, 1 << 20)),
        garbage_grace_ms=rng.choice((2_000, 600_000)),
        logstores_count=tail.choice((3, 3, 4)) if is_quorum else 0,
        logstore_bytes_max=tail.choice((1 << 30, 1 << 30, 200_000)),
        upload_after_ms=tail.choice((500, 2_000, 10_000)),
        faults=tuple(sorted(faults, key=lambda fault: (fault.at_s, repr(fault)))),
    )


def _draw_deletions(
    seed: int, mode: Mode, topics: tuple[tuple[str, int], ...], horizon_s: float
) -> tuple[tuple[tuple[str, Retention], ...], DeleterSpec | None]:
    """What goes again: nothing in half of the runs. From a stream of its own, so that these stay
    what they were before there were deletions.
    """
    rng = stream(seed, "plan", mode, "deletions")
    if rng.random() < 0.5:
        return (), None
    retention: tuple[tuple[str, Retention], ...] = ()
    if rng.random() < 0.4:
        kinds = (KEEPS_ALL, Retention(500, -1), Retention(-1, 1_000), Retention(1_500, 10_000))
        retention = tuple((name, rng.choice(kinds)) for name, _ in topics)
    if retention and rng.random() < 0.4:
        return retention, None
    count = rng.choice((3, 10, 30))
    timeout_ms = rng.choice((200, 1_000, 30_000))
    return retention, DeleterSpec(count, horizon_s / count, timeout_ms)


def _producers(
    rng: Random, partitions: tuple[Partition, ...], horizon_s: float, *, is_cluster: bool
) -> tuple[ProducerSpec, ...]:
    """Where several nodes lead, each of them writes to one partition: it has one connection."""
    if not is_cluster:
        return tuple(_producer(rng, f"p{n}", partitions, horizon_s) for n in range(2))
    return tuple(
        _producer(rng, f"p{n}", (rng.choice(partitions),), horizon_s)
        for n in range(CLUSTER_PRODUCERS_COUNT)
    )


def _producer(
    rng: Random, name: str, partitions: tuple[Partition, ...], horizon_s: float
) -> ProducerSpec:
    count = rng.choice((10, 25, 50))
    return ProducerSpec(
        name=name,
        partitions=_some(rng, partitions),
        requests_count=count,
        idempotent=rng.random() < 0.6,
        in_flight_max_count=rng.choice((1, 2, 5)),
        acks=rng.choice((-1, -1, -1, 1)),
        gap_s=horizon_s / count,
        timeout_ms=rng.choice((300, 1_500, 30_000)),
        value_bytes_max=rng.choice((16, 200, 3_000)),
    )


def _some(rng: Random, partitions: tuple[Partition, ...]) -> tuple[Partition, ...]:
    return tuple(sorted(rng.sample(partitions, rng.randrange(1, len(partitions) + 1))))
