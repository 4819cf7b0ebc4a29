"""A simulated client whose topics live short: created, written, grown, deleted, created again.

It is alone with its topics and does one thing at a time, so it always knows what must be there. A
step whose outcome it does not learn may still happen: it then leaves that name alone for ever.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.cluster.view import CATALOG_LOG_ID
from gateway.testing.sim.client import Client, Disconnected
from gateway.testing.sim.consumers import FinalLog, FinalReader
from protocol import ApiKey, ErrorCode, Record, build_batch
from protocol.messages.create_partitions import CreatePartitionsRequest, CreatePartitionsTopic
from protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest
from protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

if TYPE_CHECKING:
    from gateway.testing.sim.world import World

LIVES_MAX_COUNT = 4  # of one name
GROWTH_SHARE = 0.3  # of the writes: the topic gets more partitions afterwards
TIMEOUT_MS = 2_000


@dataclass(slots=True)
class Known:
    """What is known of a name: the records of its partitions, or that there is no such topic."""

    values: list[list[bytes]] | None = None
    certain: bool = True


class ShortLived(Client):
    """Goes on until the run ends."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "topics")
        self._values_count = 0

    async def run(self) -> None:
        while not self.world.winding_down:
            known = Known()
            name = f"short{len(self.world.short_lived)}"
            self.world.short_lived[name] = known
            try:
                for _ in range(self.rng.randint(1, LIVES_MAX_COUNT)):
                    if not await self._live(name, known):
                        break
            except Disconnected as error:
                known.certain = False
                self.note(f"does not know about {name}: {error}")
                self.hang_up()
                await self.pause()

    async def _live(self, name: str, known: Known) -> bool:
        """One life; False if it shall not end. Raises Disconnected when it does not learn what
        became of a step.
        """
        topic = CreatableTopic(name=name, num_partitions=1, replication_factor=1)
        create = CreateTopicsRequest(topics=[topic], timeout_ms=TIMEOUT_MS)
        reply = await self.call(ApiKey.CREATE_TOPICS, 7, create)
        self._must(reply.topics[0].error_code, f"create {name}")
        known.values = [[]]
        for _ in range(self.rng.randrange(4)):
            await self._write(name, known.values)
            if self.rng.random() < GROWTH_SHARE:
                await self._grow(name, known.values)
        if self.world.winding_down or self.rng.random() < 0.1:
            return False
        delete = DeleteTopicsRequest(topics=[DeleteTopicState(name=name)], timeout_ms=TIMEOUT_MS)
        reply = await self.call(ApiKey.DELETE_TOPICS, 6, delete)
        self._must(reply.responses[0].error_code, f"delete {name}")
        known.values = None
        await self._pause_briefly()
        return True

    async def _grow(self, name: str, values: list[list[bytes]]) -> None:
        """More partitions are empty, and there as soon as that is told."""
        count = len(values) + self.rng.choice((1, 1, 3))
        request = CreatePartitionsRequest(
            topics=[CreatePartitionsTopic(name=name, count=count)], timeout_ms=TIMEOUT_MS
        )
        reply = await self.call(ApiKey.CREATE_PARTITIONS, 3, request)
        self._must(reply.results[0].error_code, f"let {name} have {count} partitions")
        values += [[] for _ in range(count - len(values))]

    async def _write(self, name: str, of_partitions: list[list[bytes]]) -> None:
        index = self.rng.randrange(len(of_partitions))
        values = of_partitions[index]
        self._values_count += 1
        value = b"short-%d" % self._values_count
        batch = bytes(build_batch([Record(value=value, timestamp_ms=self.world.client_now_ms())]))
        data = TopicProduceData(
            name=name, partition_data=[PartitionProduceData(index=index, records=batch)]
        )
        request = ProduceRequest(acks=-1, timeout_ms=TIMEOUT_MS, topic_data=[data])
        reply = await self.call(ApiKey.PRODUCE, 9, request, (name, index))
        answer = reply.responses[0].partition_responses[0]
        self._must(answer.error_code, f"write to {name}-{index}")
        if answer.base_offset != len(values):
            self.world.trace.violation(
                "a new partition is empty",
                f"{name}-{index} had {len(values)} records, not {answer.base_offset}",
            )
        values.append(value)
        await self._pause_briefly()

    async def _pause_briefly(self) -> None:
        await asyncio.sleep(self.rng.choice((0.0, 0.01, 0.2)))

    def _must(self, code: int, doing: str) -> None:
        """Success, or an answer after which nobody knows. That a topic is there, or is not, is
        known; but a gateway that was fenced may not know it.
        """
        wrong = code in (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.TOPIC_ALREADY_EXISTS)
        if wrong and self.link is not None and self.world.is_owner(self.link.node, CATALOG_LOG_ID):
            self.world.trace.violation(
                "topics are there until they are deleted", f"{ErrorCode(code).name}: {doing}"
            )
        if not self.check_code(code, doing):
            raise Disconnected(f"code {code}: {doing}")
        self.note(f"did {doing}")


FinalTopics = dict[str, list[FinalLog] | None]


async def check_short_lived(world: World, name: str, before: FinalTopics) -> None:
    """Every name is as it must be; where that was not known, as it was `before` (filled in)."""
    reader = FinalReader(world, name)
    for topic, known in world.short_lived.items():
        found: list[FinalLog] | None = None
        if count := await _partitions_count(reader, topic):
            places = tuple((topic, index) for index in range(count))
            logs = await reader.read_all(places)
            found = [logs[where] for where in places]
        if topic in before and before[topic] != found:
            world.trace.violation("I5 the store is the truth", f"{topic} is another afterwards")
        before[topic] = found
        values = None
        if found is not None:
            values = [[value for _, value in log.records] for log in found]
        if known.certain and (values != known.values or any(log.start for log in found or ())):
            world.trace.violation(
                "topics are there until they are deleted",
                f"{topic} has {values}, expected {known.values}",
            )


async def _partitions_count(client: Client, topic: str) -> int:
    """0: there is no such topic."""
    request = MetadataRequest(
        topics=[MetadataRequestTopic(name=topic)], allow_auto_topic_creation=False
    )
    while True:
        try:
            reply: Any = await client.call(ApiKey.METADATA, 9, request)
        except Disconnected:
            continue
        code = reply.topics[0].error_code
        if code in (ErrorCode.NONE, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION):
            return len(reply.topics[0].partitions)
        client.check_code(code, f"Metadata of {topic}")
        await client.pause()
