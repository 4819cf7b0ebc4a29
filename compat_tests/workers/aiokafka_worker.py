"""aiokafka; clients run with their defaults, in one event loop that never waits for stdin."""

import asyncio
import json
import sys

import aiokafka
import rpc
from aiokafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRebalanceListener,
    TopicPartition,
)
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

SEND_TIMEOUT_S = 90
CREATE_TIMEOUT_MS = 30_000


def translate(error):
    if isinstance(error, KafkaError):
        return rpc.OperationError(getattr(error, "errno", None), type(error).__name__, error)
    return error


class Rebalances(ConsumerRebalanceListener):
    """How many there were, of one consumer."""

    def __init__(self):
        self.count = 0

    def on_partitions_revoked(self, revoked):
        self.count += 1

    def on_partitions_assigned(self, assigned):
        self.count += 1


class Operations:
    """Named producers and consumers of one process."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.producers = {}
        self.consumers = {}
        self.rebalances = {}

    async def info(self):
        return {"library": "aiokafka " + aiokafka.__version__}

    # Producers

    async def producer_open(
        self, name, codec=None, idempotent=None, message_bytes_max=None, extra=None
    ):
        config = dict(extra or {})
        if codec is not None:
            config["compression_type"] = None if codec == "none" else codec
        if idempotent is not None:
            config["enable_idempotence"] = idempotent
        if message_bytes_max is not None:
            config["max_request_size"] = message_bytes_max
        client = AIOKafkaProducer(bootstrap_servers=self.bootstrap, **config)
        await client.start()
        self.producers[name] = client

    async def produce(self, producer, records, timeout_s=SEND_TIMEOUT_S):
        client = self.producers[producer]
        futures = []
        for wire in records:
            try:
                future = await client.send(
                    wire["topic"],
                    value=rpc.decode(wire["value"]),
                    key=rpc.decode(wire["key"]),
                    headers=rpc.headers_of(wire),
                    partition=wire["partition"],
                    timestamp_ms=wire["timestamp_ms"],
                )
            except KafkaError as error:
                future = translate(error)
            except AssertionError as error:  # of a topic that has gone meanwhile
                future = rpc.OperationError(None, type(error).__name__, error)
            futures.append(future)
        return [await self.outcome(future, timeout_s) for future in futures]

    async def outcome(self, future, timeout_s):
        if isinstance(future, rpc.OperationError):
            return {"error": future.wire}
        try:
            done = await asyncio.wait_for(future, timeout_s)
        except KafkaError as error:
            return {"error": translate(error).wire}
        if done is None:  # acks=0
            return {"offset": -1, "partition": -1, "timestamp_ms": -1}
        return {
            "offset": done.offset,
            "partition": done.partition,
            "timestamp_ms": done.timestamp,
        }

    async def producer_close(self, producer):
        await self.producers.pop(producer).stop()

    # Consumers

    async def consumer_open(self, name, group=None, start=None, auto_commit=None, extra=None):
        config = dict(extra or {})
        if start is not None:
            config["auto_offset_reset"] = start
        if auto_commit is not None:
            config["enable_auto_commit"] = auto_commit
        client = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, group_id=group, **config)
        await client.start()
        self.consumers[name] = client

    async def consumer_close(self, consumer):
        await self.consumers.pop(consumer).stop()

    async def subscribe(self, consumer, topics):
        noted = self.rebalances.setdefault(consumer, Rebalances())
        self.consumers[consumer].subscribe(topics, listener=noted)

    async def rebalances_count(self, consumer):
        return self.rebalances[consumer].count

    async def assign(self, consumer, positions):
        client = self.consumers[consumer]
        client.assign([TopicPartition(topic, partition) for topic, partition, _ in positions])
        for topic, partition, offset in positions:
            key = TopicPartition(topic, partition)
            if offset in ("beginning", "end"):
                # Once it has a position: the answer to a look for the default one that is still
                # under way would be taken for that of the seek.
                await client.position(key)
            if offset == "beginning":
                await client.seek_to_beginning(key)
            elif offset == "end":
                await client.seek_to_end(key)
            else:
                client.seek(key, offset)

    async def seek(self, consumer, topic, partition, offset):
        self.consumers[consumer].seek(TopicPartition(topic, partition), offset)

    async def poll(self, consumer, count, timeout_s):
        client = self.consumers[consumer]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        seen = []
        while len(seen) < count and loop.time() < deadline:
            left_ms = max(1, int(min(deadline - loop.time(), 0.2) * 1000))
            asked = client.getmany(timeout_ms=left_ms, max_records=count - len(seen))
            try:  # while others of its group have not joined again, it would wait without end
                found = await asyncio.wait_for(asked, left_ms / 1000 + 1)
            except TimeoutError:
                continue
            for records in found.values():
                seen.extend(map(self.as_record, records))
        return seen

    def as_record(self, item):
        return rpc.record(
            item.topic,
            item.partition,
            item.offset,
            item.timestamp,
            item.key,
            item.value,
            item.headers,
        )

    async def assignment(self, consumer):
        return [[item.topic, item.partition] for item in self.consumers[consumer].assignment()]

    async def commit(self, consumer, positions=None):
        offsets = None
        if positions is not None:
            offsets = {TopicPartition(topic, part): offset for topic, part, offset in positions}
        await self.consumers[consumer].commit(offsets)

    async def committed(self, consumer, partitions):
        client = self.consumers[consumer]
        return [await client.committed(TopicPartition(*item)) for item in partitions]

    async def offsets_for_times(self, consumer, times):
        asked = {TopicPartition(topic, partition): at_ms for topic, partition, at_ms in times}
        found = await self.consumers[consumer].offsets_for_times(asked)
        return [
            None if found[key] is None or found[key].offset < 0 else found[key].offset
            for key in asked
        ]

    async def watermarks(self, consumer, topic, partition):
        client, key = self.consumers[consumer], TopicPartition(topic, partition)
        low = await client.beginning_offsets([key])
        high = await client.end_offsets([key])
        return [low[key], high[key]]

    # Administration

    async def admin(self, act):
        client = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await client.start()
        try:
            return await act(client)
        finally:
            await client.close()

    async def create_topics(self, topics, configs=None):
        asked = [
            NewTopic(
                name=name, num_partitions=partitions, replication_factor=1, topic_configs=configs
            )
            for name, partitions in topics
        ]
        response = await self.admin(
            lambda client: client.create_topics(asked, timeout_ms=CREATE_TIMEOUT_MS)
        )
        self.check(response.topic_errors)

    async def delete_topics(self, topics):
        response = await self.admin(
            lambda client: client.delete_topics(topics, timeout_ms=CREATE_TIMEOUT_MS)
        )
        self.check(response.topic_error_codes)

    async def create_partitions(self, topic, count):
        await self.admin(lambda client: client.create_partitions({topic: NewPartitions(count)}))

    async def delete_records(self, topic, partition, before):
        key = TopicPartition(topic, partition)
        wanted = {key: RecordsToDelete(before_offset=before)}
        return (await self.admin(lambda client: client.delete_records(wanted)))[key]

    async def alter_configs(self, topic, configs):
        """The older request: whatever is not named goes back to its default."""
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)
        (response,) = await self.admin(lambda client: client.alter_configs([resource]))
        for code, text, *_ in response.resources:
            if code != 0:
                raise translate(for_code(code)(text))

    # Administration of groups; the library deletes neither groups nor offsets

    async def list_groups(self):
        return [row[0] for row in await self.admin(lambda client: client.list_consumer_groups())]

    async def describe_group(self, group):
        (response,) = await self.admin(lambda client: client.describe_consumer_groups([group]))
        ((code, _, state, _, _, members, *_),) = response.groups
        if code != 0:
            raise translate(for_code(code)(group))
        return {"state": state, "members_count": len(members)}

    async def group_offset(self, group, topic, partition):
        key = TopicPartition(topic, partition)
        found = await self.admin(lambda client: client.list_consumer_group_offsets(group))
        return None if key not in found or found[key].offset < 0 else found[key].offset

    def check(self, rows):
        """aiokafka hands the codes back without looking at them."""
        for row in rows:
            if row[1] != 0:
                raise translate(for_code(row[1])(row[0]))

    async def list_topics(self):
        found = await self.admin(lambda client: client.describe_topics())
        return {topic["topic"]: len(topic["partitions"]) for topic in found}


async def main():
    operations = Operations(sys.argv[1])
    out = rpc.private_stdout()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        try:
            result = await getattr(operations, request["op"])(**request["args"])
        except Exception as error:
            rpc.answer(out, request, error=rpc.describe(translate(error)))
        else:
            rpc.answer(out, request, result)


if __name__ == "__main__":
    asyncio.run(main())
