"""A client in the process: requests as generated messages, replies as futures.

It checks on every reply that replies come in request order (I6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.net.connection import Connection
from gateway.testing.conversation import Conversation, cut_frames
from gateway.tests.sockets import FakeTransport
from gateway.tests.virtual import EPOCH_MS
from protocol import ApiKey, Message, Record, build_batch
from protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from protocol.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from protocol.messages.fetch import (
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    PartitionData,
)
from protocol.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    TopicProduceData,
)


@dataclass
class Reply:
    at_s: float
    correlation_id: int
    body: Any


class Client:
    """One connection. `send` gives a future of the reply, `call` awaits it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.transport = FakeTransport(connection)
        self.transport.on_taken = self._taken
        self.replies: list[Reply] = []
        self._conversation = Conversation()
        connection.connection_made(self.transport)

    @property
    def is_waiting(self) -> bool:
        """Whether a reply is owed."""
        return self._conversation.is_waiting

    def send(self, key: ApiKey, version: int, body: Message) -> asyncio.Future[Any]:
        frame, reply = self.prepare(key, version, body)
        self.transport.send(frame)
        return reply

    def prepare(
        self, key: ApiKey, version: int, body: Message, client_id: str | None = "test"
    ) -> tuple[bytes, asyncio.Future[Any]]:
        """The bytes of a request that is going to be sent next, and its coming reply."""
        frame, asked = self._conversation.ask(key, version, body, client_id)
        return frame, asked.reply

    async def call(self, key: ApiKey, version: int, body: Message) -> Any:
        reply = self.send(key, version, body)
        await asyncio.wait((reply,), timeout=3_600)
        assert reply.done(), "no reply within an hour"
        return reply.result()

    @property
    def is_open(self) -> bool:
        return not self.transport.is_closing()

    def _taken(self) -> None:
        for frame in cut_frames(self.transport.taken):
            asked, body = self._conversation.told(frame)
            self.replies.append(Reply(self.transport.loop.time(), asked.correlation_id, body))
            if not asked.reply.done():
                asked.reply.set_result(body)

    # The requests that tests are made of

    async def create(
        self, *names: str, partitions: int = 1, configs: Mapping[str, str] | None = None
    ) -> list[int]:
        given = [CreatableTopicConfig(name=n, value=v) for n, v in (configs or {}).items()]
        body = CreateTopicsRequest(
            topics=[
                CreatableTopic(
                    name=name, num_partitions=partitions, replication_factor=1, configs=given
                )
                for name in names
            ],
            timeout_ms=10_000,
        )
        reply = await self.call(ApiKey.CREATE_TOPICS, 7, body)
        return [topic.error_code for topic in reply.topics]

    def produce(
        self, topic: str, batch: bytes | bytearray, *, index: int = 0, **fields: Any
    ) -> asyncio.Future[Any]:
        return self.send(ApiKey.PRODUCE, 9, produce_request({(topic, index): batch}, **fields))

    async def produced(
        self, topic: str, batch: bytes | bytearray, *, index: int = 0, **fields: Any
    ) -> PartitionProduceResponse:
        reply = await self.produce(topic, batch, index=index, **fields)
        found: PartitionProduceResponse = reply.responses[0].partition_responses[0]
        return found

    async def deleted(
        self, topic: str, offset: int, *, index: int = 0, timeout_ms: int = 30_000
    ) -> DeleteRecordsPartitionResult:
        """DeleteRecords of one partition."""
        asked = DeleteRecordsPartition(partition_index=index, offset=offset)
        body = DeleteRecordsRequest(
            topics=[DeleteRecordsTopic(name=topic, partitions=[asked])], timeout_ms=timeout_ms
        )
        reply = await self.call(ApiKey.DELETE_RECORDS, 2, body)
        found: DeleteRecordsPartitionResult = reply.topics[0].partitions[0]
        return found

    async def deleted_topics(self, *names: str, timeout_ms: int = 9_000) -> list[int]:
        """DeleteTopics; the code of each."""
        topics = [DeleteTopicState(name=name) for name in names]
        body = DeleteTopicsRequest(topics=topics, timeout_ms=timeout_ms)
        reply = await self.call(ApiKey.DELETE_TOPICS, 6, body)
        return [topic.error_code for topic in reply.responses]

    async def fetched(self, topic: str, offset: int, **fields: Any) -> PartitionData:
        reply: FetchResponse = await self.call(
            ApiKey.FETCH, 12, fetch_request({(topic, fields.pop("index", 0)): offset}, **fields)
        )
        return reply.responses[0].partitions[0]


def produce_request(
    batches: dict[tuple[str, int], bytes | bytearray], *, acks: int = -1, timeout_ms: int = 30_000
) -> ProduceRequest:
    topics: dict[str, list[PartitionProduceData]] = {}
    for (topic, index), batch in batches.items():
        data = PartitionProduceData(index=index, records=bytes(batch))
        topics.setdefault(topic, []).append(data)
    return ProduceRequest(
        acks=acks,
        timeout_ms=timeout_ms,
        topic_data=[TopicProduceData(name=n, partition_data=p) for n, p in topics.items()],
    )


def fetch_request(
    offsets: dict[tuple[str, int], int],
    *,
    wait_ms: int = 0,
    min_bytes: int = 1,
    bytes_max: int = 1 << 26,
    partition_bytes_max: int = 1 << 20,
    epoch: int = -1,
    last_epoch: int = -1,
    session: tuple[int, int] = (0, -1),
    isolation_level: int = 0,
) -> FetchRequest:
    topics: dict[str, list[FetchPartition]] = {}
    for (topic, index), offset in offsets.items():
        asked = FetchPartition(
            partition=index,
            fetch_offset=offset,
            partition_max_bytes=partition_bytes_max,
            current_leader_epoch=epoch,
            last_fetched_epoch=last_epoch,
        )
        topics.setdefault(topic, []).append(asked)
    return FetchRequest(
        max_wait_ms=wait_ms,
        min_bytes=min_bytes,
        max_bytes=bytes_max,
        session_id=session[0],
        session_epoch=session[1],
        isolation_level=isolation_level,
        topics=[FetchTopic(topic=n, partitions=p) for n, p in topics.items()],
    )


def batch_of(
    *values: bytes,
    codec: int = 0,
    times: Sequence[int] = (),
    key: bytes | None = None,
    **fields: Any,
) -> bytearray:
    stamps = times or [EPOCH_MS] * len(values)
    records = [
        Record(key=key, value=v, timestamp_ms=t) for v, t in zip(values, stamps, strict=True)
    ]
    return build_batch(records, codec=codec, **fields)
