"""Simulated consumers: one that reads partitions from the start and follows them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from gateway.testing.sim.client import Client, Disconnected, batches_in
from gateway.testing.sim.history import Partition, Poll
from protocol import ApiKey, ErrorCode, iter_records
from protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic, PartitionData
from protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from protocol.messages.metadata import MetadataRequest, MetadataRequestTopic

if TYPE_CHECKING:
    from gateway.testing.sim.world import World

EARLIEST, LATEST = -2, -1


class Fetcher(Client):
    """Positions, leader epochs, and what a fetch reply means for them."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.positions: dict[Partition, int] = {}
        self.session = 0
        self._epochs: dict[Partition, int] = {}

    async def learn_epochs(self) -> None:
        """As a real consumer: leader epochs come from Metadata and never go back."""
        topics = sorted({topic for topic, _ in (*self.positions, *self._epochs)})
        reply = await self.call(
            ApiKey.METADATA,
            9,
            MetadataRequest(
                topics=[MetadataRequestTopic(name=name) for name in topics],
                allow_auto_topic_creation=False,
            ),
        )
        for topic in reply.topics:
            for partition in topic.partitions:
                where = (topic.name, partition.partition_index)
                known = self._epochs.get(where, -1)
                self._epochs[where] = max(known, partition.leader_epoch)

    async def poll(self, *, wait_ms: int, bytes_max: int = 1 << 20) -> int:
        """Fetch once; returns how many records came. Raises Disconnected."""
        if not self.world.is_cluster:
            return await self._poll(list(self.positions), wait_ms, bytes_max)
        wait_ms //= max(len(self.positions), 1)
        return sum([await self._poll([where], wait_ms, bytes_max) for where in [*self.positions]])

    async def _poll(self, wanted: list[Partition], wait_ms: int, bytes_max: int) -> int:
        request = self._request(wanted, wait_ms, bytes_max)
        reply = await self.call(ApiKey.FETCH, 12, request, wanted[0] if wanted else None)
        got_count, stale = 0, False
        for topic in reply.responses:
            for answer in topic.partitions:
                where = (topic.topic, answer.partition_index)
                if answer.error_code == ErrorCode.NONE:
                    if answer.diverging_epoch is not None:
                        self.world.trace.violation(
                            "nothing acknowledged is cut", f"{where} diverged for {self.name}"
                        )
                    got_count += self._took(where, answer)
                elif answer.error_code == ErrorCode.OFFSET_OUT_OF_RANGE:
                    await self._out_of_range(where)
                elif not self.check_code(answer.error_code, f"Fetch of {where}", where):
                    stale = True
        if stale:
            self.note("asks again elsewhere")
            self.hang_up()
            await self.pause()
            await self.learn_epochs()
        return got_count

    def _request(self, wanted: list[Partition], wait_ms: int, bytes_max: int) -> FetchRequest:
        topics: dict[str, list[FetchPartition]] = {}
        for topic, index in wanted:
            offset = self.positions[topic, index]
            asked = FetchPartition(
                partition=index,
                fetch_offset=offset,
                partition_max_bytes=bytes_max,
                current_leader_epoch=self._epochs.get((topic, index), -1),
                last_fetched_epoch=-1,
            )
            topics.setdefault(topic, []).append(asked)
        return FetchRequest(
            max_wait_ms=wait_ms,
            min_bytes=1,
            max_bytes=bytes_max,
            session_id=0,
            session_epoch=-1,
            isolation_level=0,
            topics=[FetchTopic(topic=n, partitions=p) for n, p in topics.items()],
        )

    def _took(self, where: Partition, answer: PartitionData) -> int:
        position = self.positions[where]
        records: list[tuple[int, bytes]] = []
        for batch in batches_in(_bytes(answer.records)):
            for record in iter_records(batch):
                if record.offset >= position:
                    records.append((record.offset, record.value or b""))
        if records:
            now_s = asyncio.get_running_loop().time()
            self.world.history.polls.append(
                Poll(self.name, where, now_s, position, records, session=self.session)
            )
            self.positions[where] = records[-1][0] + 1
            self.note(f"reads {where[0]}-{where[1]} from {records[0][0]} to {records[-1][0]}")
        return len(records)

    async def _out_of_range(self, where: Partition) -> None:
        """Below the start (something was deleted) is for the consumer to skip; beyond the end of
        a leader that is as new as any we know is a lost record.
        """
        start, end = await self.offsets(where)
        position = self.positions[where]
        self.note(f"is out of range at {where[0]}-{where[1]} {position}: {start} to {end}")
        if start > position:
            self.positions[where] = start
            self.session += 1
            if start > end:
                self.world.trace.violation("I3", f"{where} starts at {start} and ends at {end}")
        elif end < position:
            self.world.trace.violation(
                "nothing served is cut",
                f"{self.name} was at {position} of {where}, it ends at {end}",
            )
            self.positions[where] = end
        else:
            # The owner's high watermark is at least what any owner served: a consumer that is sent
            # away without a reason goes where its auto.offset.reset says, and loses records.
            self.world.trace.violation(
                "out of range is true",
                f"{self.name} was sent away from {position} of {where}, {start} to {end}",
            )

    async def offsets(self, where: Partition) -> tuple[int, int]:
        """First offset and high watermark. Repeats until it gets an answer."""
        found: list[int] = []
        while len(found) < 2:
            asked = ListOffsetsPartition(
                partition_index=where[1],
                current_leader_epoch=self._epochs.get(where, -1),
                timestamp=(EARLIEST, LATEST)[len(found)],
            )
            request = ListOffsetsRequest(
                replica_id=-1, topics=[ListOffsetsTopic(name=where[0], partitions=[asked])]
            )
            try:
                reply: Any = await self.call(ApiKey.LIST_OFFSETS, 7, request, where)
            except Disconnected:
                continue
            answer = reply.topics[0].partitions[0]
            if self.check_code(answer.error_code, f"ListOffsets of {where}", where):
                found.append(answer.offset)
                continue
            self.hang_up()
            await self.pause()
            await self.learn_epochs_patiently()
        return found[0], found[1]

    async def learn_epochs_patiently(self) -> None:
        """All of them: who knows none believes a leader of long ago."""
        while True:
            try:
                await self.learn_epochs()
                if all(self._epochs.get(where, -1) >= 0 for where in self.positions):
                    return
                self.hang_up()
            except Disconnected:
                pass
            await self.pause()


class Follower(Fetcher):
    """Reads partitions from offset 0 on until the run ends."""

    def __init__(self, world: World, name: str, partitions: tuple[Partition, ...]) -> None:
        super().__init__(world, name)
        self.positions = dict.fromkeys(partitions, 0)

    async def run(self) -> None:
        await self.learn_epochs_patiently()
        while not self.world.winding_down:
            try:
                wait_ms = self.rng.choice((0, 50, 200, 500))
                await self.poll(wait_ms=wait_ms, bytes_max=self.rng.choice((1, 500, 1 << 20)))
                if not wait_ms:
                    await self.pause()
            except Disconnected:
                self.note("lost its connection")
                await self.pause()


class FinalReader(Fetcher):
    """Reads everything there is, after all faults are over."""

    async def read_all(self, partitions: tuple[Partition, ...]) -> dict[Partition, FinalLog]:
        """Raises nothing; the caller bounds the time."""
        self.positions = dict.fromkeys(partitions, 0)
        await self.learn_epochs_patiently()
        found = {}
        for where in partitions:
            start, end = await self.offsets(where)
            self.positions = {where: start}
            while self.positions[where] < end:
                try:
                    await self.poll(wait_ms=100)
                except Disconnected:
                    await self.pause()
            records = [
                record
                for poll in self.world.history.polls
                if poll.consumer == self.name and poll.partition == where
                for record in poll.records
            ]
            found[where] = FinalLog(start, end, records)
        return found


def _bytes(records: object) -> bytes | memoryview:
    assert records is None or isinstance(records, bytes | memoryview)
    return records or b""


class FinalLog:
    """A partition as it is at the end."""

    __slots__ = ("end", "records", "start")

    def __init__(self, start: int, end: int, records: list[tuple[int, bytes]]) -> None:
        self.start = start
        self.end = end
        self.records = records

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FinalLog) and (self.start, self.end, self.records) == (
            other.start,
            other.end,
            other.records,
        )

    __hash__ = None  # type: ignore[assignment]
