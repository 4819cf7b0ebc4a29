"""What the gateway's tests share: a gateway in virtual time, sockets that are lists, a client.

`virtual` runs a test on the simulated loop and fails it for everything that asyncio would only have
printed: an exception nobody retrieved, a task that was destroyed while pending. `Client` checks on
every reply that replies come in request order (I6).
"""

from __future__ import annotations

import asyncio
import functools
import gc
import struct
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.broker.broker import Node
from gateway.net.connection import Connection
from gateway.server import Gateway
from gateway.settings.config import Config
from protocol import ApiKey, Message, Record, build_batch, decode_response, encode_request
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
from wal_core import Log
from wal_core.stores.objects.memory import MemoryStore
from wal_core.stores.segments.base import SegmentStore
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing import sim_loop
from wal_core.testing.faulty_object_store import FaultyObjectStore

EPOCH_MS = 1_700_000_000_000
NODE = Node(1, "broker.test", 9092)


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test in virtual time, with its errors told."""

    @functools.wraps(test)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        run(test, *args, **kwargs)

    return wrapper


def run(main: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any) -> Any:
    errors: list[dict[str, Any]] = []

    async def watched() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        result = await main(*args, **kwargs)
        await asyncio.sleep(0)
        gc.collect()
        return result

    result = sim_loop.run(watched, virtual_s_max=1e5)
    assert not errors, errors
    return result


class VirtualClock:
    def now_ms(self) -> int:
        return EPOCH_MS + round(asyncio.get_running_loop().time() * 1_000)


class CountingRng:
    """Distinct bytes without randomness, over all instances: restarts draw new ones, too."""

    _count = 0

    def random_bytes(self, count: int) -> bytes:
        CountingRng._count += 1
        return CountingRng._count.to_bytes(count, "big")

    def random(self) -> float:
        return 0.5


class FakeTransport(asyncio.Transport):
    """A socket with a peer that reads everything at once, unless `stall` stops it.

    What the peer sent while reading is paused waits in `inbox`, as it would in the kernel.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.loop = asyncio.get_running_loop()
        self.inbox = bytearray()
        self.taken = bytearray()  # by the peer
        self.unsent = bytearray()
        self.on_taken: Callable[[], None] = lambda: None
        self.chunk_bytes = 1 << 30  # the most that one read gives
        self.high_bytes = 64 * 1024
        self.stalled = False
        self.is_paused = False
        self.pauses_count = 0
        self.writing_paused = False
        self.lost = False
        self._closing = False

    # the gateway's side

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 40_000) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self.high_bytes = high

    def get_write_buffer_size(self) -> int:
        return len(self.unsent)

    def write(self, data: Any) -> None:
        self.writelines([data])

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        assert not self._closing, "written to after close"
        for piece in list_of_data:
            self.unsent += piece
        if not self.stalled:
            self._flush()
        elif len(self.unsent) > self.high_bytes and not self.writing_paused:
            self.writing_paused = True
            self.connection.pause_writing()

    def pause_reading(self) -> None:
        assert not self._closing
        assert not self.is_paused
        self.is_paused = True
        self.pauses_count += 1

    def resume_reading(self) -> None:
        assert not self._closing
        assert self.is_paused
        self.is_paused = False
        self.loop.call_soon(self._deliver)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if not self.unsent:
                self.loop.call_soon(self.lose)

    def abort(self) -> None:
        self._closing = True
        self.unsent.clear()
        self.loop.call_soon(self.lose)

    # the peer's side

    def send(self, data: bytes | bytearray | memoryview) -> None:
        self.inbox += data
        self._deliver()

    def _deliver(self) -> None:
        while self.inbox and not self.is_paused and not self._closing:
            room = self.connection.get_buffer(-1)
            assert room, "nowhere to read to"
            count = min(len(room), len(self.inbox), self.chunk_bytes)
            room[:count] = self.inbox[:count]
            del self.inbox[:count]
            self.connection.buffer_updated(count)

    def stall(self) -> None:
        """The peer reads no more."""
        self.stalled = True

    def take(self, count: int | None = None) -> None:
        """The peer reads `count` bytes, or all and from now on everything at once."""
        if count is None:
            self.stalled = False
        self._flush(count)

    def _flush(self, count: int | None = None) -> None:
        count = len(self.unsent) if count is None else count
        self.taken += self.unsent[:count]
        del self.unsent[:count]
        if self.writing_paused and len(self.unsent) <= self.high_bytes // 4:
            self.writing_paused = False
            self.connection.resume_writing()
        self.on_taken()
        if self._closing and not self.unsent:
            self.loop.call_soon(self.lose)

    def lose(self) -> None:
        """The connection is gone, whoever ended it."""
        if not self.lost:
            self._closing = self.lost = True
            self.connection.connection_lost(None)


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
        self._expected: deque[tuple[int, int, int, asyncio.Future[Any]]] = deque()
        self._next_id = 0
        connection.connection_made(self.transport)

    def send(self, key: ApiKey, version: int, body: Message) -> asyncio.Future[Any]:
        frame, reply = self.prepare(key, version, body)
        self.transport.send(frame)
        return reply

    def prepare(
        self, key: ApiKey, version: int, body: Message, client_id: str | None = "test"
    ) -> tuple[bytes, asyncio.Future[Any]]:
        """The bytes of a request that is going to be sent next, and its coming reply."""
        self._next_id += 1
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if not (key == ApiKey.PRODUCE and body.acks == 0):  # type: ignore[attr-defined]
            self._expected.append((self._next_id, key, version, reply))
        return b"".join(encode_request(key, version, self._next_id, client_id, body)), reply

    async def call(self, key: ApiKey, version: int, body: Message) -> Any:
        reply = self.send(key, version, body)
        await asyncio.wait((reply,), timeout=3_600)
        assert reply.done(), "no reply within an hour"
        return reply.result()

    @property
    def is_open(self) -> bool:
        return not self.transport.is_closing()

    def _taken(self) -> None:
        taken = self.transport.taken
        while len(taken) >= 4:
            (length,) = struct.unpack_from(">i", taken)
            if len(taken) < 4 + length:
                return
            frame = bytes(taken[4 : 4 + length])
            del taken[: 4 + length]
            correlation_id, key, version, future = self._expected.popleft()
            found_id, body = decode_response(key, version, memoryview(frame))
            assert found_id == correlation_id, "a reply out of order"
            self.replies.append(Reply(self.transport.loop.time(), found_id, body))
            if not future.done():
                future.set_result(body)

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


class World:
    """A store, and one gateway after the other on it."""

    def __init__(self, *, latency_s: float = 0.0, **config: Any) -> None:
        self.objects = FaultyObjectStore(MemoryStore(), latency_s=latency_s)
        self.store: SegmentStore = ObjectSegmentStore(self.objects)
        self.config = Config(**({"data": "memory:"} | config))
        self.gateway: Gateway = None  # type: ignore[assignment]

    async def start(self) -> World:
        clock, rng = VirtualClock(), CountingRng()
        self.gateway = Gateway(self.config, self.store, NODE, clock, rng)
        await self.gateway.start()
        return self

    @property
    def catalog_log(self) -> Log:
        return self.gateway.broker.catalog.log

    @property
    def log(self) -> Log:
        """The first data log, mostly the only one."""
        return self.gateway.broker.logs[1].log

    def client(self) -> Client:
        return Client(self.gateway.connection())

    async def stop(self) -> None:
        await self.gateway.stop()

    async def crash(self) -> None:
        """The process dies: nothing is drained, nothing is closed properly."""
        for task in tuple(self.gateway.hub.tasks):
            task.cancel()
        await self.gateway.retention.stop()
        for owned in self.gateway.broker.logs:
            if owned._tidying is not None:
                owned._tidying.cancel()
        for log in (self.catalog_log, *(owned.log for owned in self.gateway.broker.logs)):
            await log._writer.stop()
            await log._reader.close()

    async def restart(self) -> Client:
        """Crash, recover; a client of the new gateway."""
        await self.crash()
        await self.start()
        return self.client()

    async def append_group_records(
        self, number: int, records: Sequence[tuple[bytes, bytes | None]]
    ) -> None:
        """What a coordinator does, for a group that hashes to `number`."""
        broker = self.gateway.broker
        await broker.offsets_ready()
        partition = broker.offsets_partition(number)
        assert partition is not None
        await broker.append_group_records(partition, records)

    def assert_idle(self) -> None:
        """Everything that was taken has been given back."""
        hub = self.gateway.hub
        assert hub.budget.used_bytes == 0
        assert hub.frames.used_bytes == 0
        assert hub.replies.used_bytes == 0
        assert not hub.budget._waiting
        assert not hub.tasks


async def started(**config: Any) -> tuple[World, Client]:
    world = await World(**config).start()
    return world, world.client()


def loop_ms() -> float:
    return asyncio.get_running_loop().time() * 1_000
