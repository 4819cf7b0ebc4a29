"""Deleting the oldest records: a client that asks for it, and who may have moved a log start."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gateway.testing.sim.client import Disconnected
from gateway.testing.sim.consumers import Fetcher
from gateway.testing.sim.history import Deletion, Partition
from protocol import ApiKey
from protocol.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)

if TYPE_CHECKING:
    from gateway.broker.metadata_records import Placement
    from gateway.testing.sim.oracle import StoredLog
    from gateway.testing.sim.world import World

TO_THE_END_SHARE = 0.2  # of the requests: those that leave nothing


class Retention(NamedTuple):
    """What a topic keeps; -1 is everything."""

    ms: int
    bytes_count: int

    @property
    def configs(self) -> dict[str, str]:
        return {"retention.ms": str(self.ms), "retention.bytes": str(self.bytes_count)}


KEEPS_ALL = Retention(-1, -1)


@dataclass(frozen=True, slots=True)
class DeleterSpec:
    """What the client that deletes is going to do."""

    requests_count: int
    gap_s: float
    timeout_ms: int


class Deleter(Fetcher):
    """Sends DeleteRecords at times, to any partition and any offset that it has."""

    def __init__(self, world: World, spec: DeleterSpec) -> None:
        super().__init__(world, "deleter")
        self._spec = spec
        self.positions = dict.fromkeys(world.plan.partitions, 0)

    async def run(self) -> None:
        await self.learn_epochs_patiently()
        for _ in range(self._spec.requests_count):
            await asyncio.sleep(self.rng.expovariate(1 / self._spec.gap_s))
            if self.world.winding_down:
                return
            where = self.rng.choice(self.world.plan.partitions)
            start, end = await self.offsets(where)
            to_the_end = self.rng.random() < TO_THE_END_SHARE
            await self._delete(where, end if to_the_end else self.rng.randint(start, end))

    async def _delete(self, where: Partition, offset: int) -> None:
        deletion = Deletion(where, offset)
        self.world.history.deletions.append(deletion)
        self.note(f"deletes {where[0]}-{where[1]} below {offset}")
        wanted = DeleteRecordsPartition(partition_index=where[1], offset=offset)
        topic = DeleteRecordsTopic(name=where[0], partitions=[wanted])
        request = DeleteRecordsRequest(topics=[topic], timeout_ms=self._spec.timeout_ms)
        try:
            reply = await self.call(ApiKey.DELETE_RECORDS, 2, request, where)
        except Disconnected:
            self.note("does not know whether it deleted")
            return
        (answer,) = reply.topics[0].partitions
        if not self.check_code(answer.error_code, f"DeleteRecords of {where}", where):
            self.hang_up()
            return
        deletion.done = True
        self.note(f"is told {where[0]}-{where[1]} starts at {answer.low_watermark}")
        if answer.low_watermark < offset:
            self.world.trace.violation(
                "what was deleted is gone",
                f"{where} starts at {answer.low_watermark}, not {offset}",
            )


class Permission:
    """Whether a log start may be where a durable record puts it: a client asked for exactly that,
    or the topic's retention lets go of all below.
    """

    def __init__(self, world: World, stored: StoredLog) -> None:
        self._world = world
        self._stored = stored

    def check(self, place: Placement, where: Partition, offset: int) -> None:
        """A record says that `where` starts at `offset`."""
        world = self._world
        if any(d.partition == where and d.offset == offset for d in world.history.deletions):
            return
        retention = dict(world.plan.retention).get(where[0], KEEPS_ALL)
        gone, kept_bytes = [], 0
        start = self._stored.metadata.starts.get(place, 0)  # until now
        for entry in self._stored.entries[place]:
            if entry.end_offset <= start:
                continue  # times need not rise: what is gone already says nothing
            if entry.end_offset <= offset:
                gone.append(entry.max_timestamp_ms)
            else:
                kept_bytes += entry.bytes_count
        young_ms = world.latest_clock_ms - retention.ms
        too_old = retention.ms >= 0 and all(at_ms < young_ms for at_ms in gone)
        too_much = 0 <= retention.bytes_count <= kept_bytes
        if not too_old and not too_much:
            world.trace.violation(
                "only what may go is deleted",
                f"{where} starts at {offset}; {retention}, {kept_bytes} bytes kept, the newest "
                f"that went is {world.latest_clock_ms - max(gone, default=0)} ms old",
            )
