"""confluent-kafka (librdkafka), newest and 1.9; Python 3.7 and newer.

Clients run with their defaults; an operation's `extra` adds settings in librdkafka's own names.
"""

import collections
import sys
import time

import rpc
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaException,
    Producer,
    TopicPartition,
    admin,
    libversion,
)
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

FLUSH_TIMEOUT_S = 90
SYMBOLIC_OFFSETS = {"beginning": OFFSET_BEGINNING, "end": OFFSET_END}


def fail(error, text=None):
    """A KafkaError of the library as a neutral failure."""
    return rpc.OperationError(error.code(), error.name(), text or error.str())


def translate(error):
    if isinstance(error, KafkaException) and hasattr(error.args[0], "code"):
        return fail(error.args[0])
    return error


class Operations:
    """Named producers and consumers of one process."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.producers = {}
        self.consumers = {}
        self.poll_errors = collections.defaultdict(list)
        self.rebalances = collections.Counter()
        self.callback_errors = []
        self.administrator = None

    def basics(self):
        return {"bootstrap.servers": self.bootstrap, "error_cb": self.note}

    def note(self, error):
        self.callback_errors.append([error.code(), error.name(), error.str()])

    def info(self):
        return {"library": "librdkafka " + libversion()[0]}

    def errors(self):
        """Errors given to error_cb since the last call."""
        seen, self.callback_errors = self.callback_errors, []
        return seen

    # Producers

    def producer_open(self, name, codec=None, idempotent=None, message_bytes_max=None, extra=None):
        config = self.basics()
        if codec is not None:
            config["compression.type"] = codec
        if idempotent is not None:
            config["enable.idempotence"] = idempotent
        if message_bytes_max is not None:
            config["message.max.bytes"] = message_bytes_max
        config.update(extra or {})
        self.producers[name] = Producer(config)

    def produce(self, producer, records, timeout_s=FLUSH_TIMEOUT_S):
        """Sends all at once; one answer per record: offset and time, or the error."""
        client = self.producers[producer]
        answers = [None] * len(records)

        def note(index):
            def delivered(error, message):
                if error is not None:
                    answers[index] = {"error": fail(error).wire}
                else:
                    answers[index] = {
                        "offset": message.offset(),
                        "partition": message.partition(),
                        "timestamp_ms": message.timestamp()[1],
                    }

            return delivered

        for index, wire in enumerate(records):
            try:
                self.send(client, wire, note(index))
            except KafkaException as error:
                answers[index] = {"error": fail(error.args[0]).wire}
        left = client.flush(timeout_s)
        if left:
            raise rpc.OperationError(None, "TIMEOUT", f"{left} records not answered")
        return answers

    def send(self, client, wire, delivered):
        options = {"headers": rpc.headers_of(wire)} if wire["headers"] else {}
        if wire["timestamp_ms"] is not None:
            options["timestamp"] = wire["timestamp_ms"]
        while True:
            try:
                client.produce(
                    wire["topic"],
                    value=rpc.decode(wire["value"]),
                    key=rpc.decode(wire["key"]),
                    partition=wire["partition"],
                    on_delivery=delivered,
                    **options,
                )
            except BufferError:
                client.poll(0.1)
            else:
                break
        client.poll(0)

    def producer_close(self, producer):
        self.producers.pop(producer).flush(FLUSH_TIMEOUT_S)

    # Consumers

    def consumer_open(self, name, group=None, start=None, auto_commit=None, extra=None):
        config = self.basics()
        config["group.id"] = group or "unused-" + name  # librdkafka cannot go without one
        if start is not None:
            config["auto.offset.reset"] = start
        if auto_commit is not None:
            config["enable.auto.commit"] = auto_commit
        elif group is None:
            config["enable.auto.commit"] = False
        config.update(extra or {})
        self.consumers[name] = Consumer(config)

    def consumer_close(self, consumer):
        self.consumers.pop(consumer).close()

    def subscribe(self, consumer, topics):
        def note(*_):  # the library assigns and unassigns itself when this has not
            self.rebalances[consumer] += 1

        self.consumers[consumer].subscribe(topics, on_assign=note, on_revoke=note, on_lost=note)

    def rebalances_count(self, consumer):
        return self.rebalances[consumer]

    def unassign(self, consumer):
        self.consumers[consumer].unassign()

    def assign(self, consumer, positions):
        self.consumers[consumer].assign(
            [
                TopicPartition(topic, partition, SYMBOLIC_OFFSETS.get(offset, offset))
                for topic, partition, offset in positions
            ]
        )

    def seek(self, consumer, topic, partition, offset):
        client = self.consumers[consumer]
        deadline = time.monotonic() + 10  # noqa: TID251 - a program of its own
        while True:
            try:
                return client.seek(TopicPartition(topic, partition, offset))
            except KafkaException as error:  # the partition is being started: "erroneous state"
                if error.args[0].name() != "_STATE" or time.monotonic() > deadline:  # noqa: TID251
                    raise
                client.poll(0.05)

    def poll(self, consumer, count, timeout_s):
        """Records until there are `count` of them or the time is over, or an error comes."""
        client = self.consumers[consumer]
        deadline = time.monotonic() + timeout_s  # noqa: TID251 - a program of its own
        seen = []
        errors = self.poll_errors[consumer]
        while len(seen) < count and not errors:
            left_s = deadline - time.monotonic()  # noqa: TID251 - as above
            if left_s <= 0:
                break
            for message in client.consume(count - len(seen), min(left_s, 0.2)):
                if message.error():
                    errors.append(fail(message.error()))
                else:
                    seen.append(self.as_record(message))
        if errors and not seen:  # else with the next poll: what was read is not lost
            raise errors.pop(0)
        return seen

    def as_record(self, message):
        return rpc.record(
            message.topic(),
            message.partition(),
            message.offset(),
            message.timestamp()[1],
            message.key(),
            message.value(),
            message.headers(),
        )

    def assignment(self, consumer):
        return [[item.topic, item.partition] for item in self.consumers[consumer].assignment()]

    def commit(self, consumer, positions=None):
        client = self.consumers[consumer]
        if positions is None:
            client.commit(asynchronous=False)
            return
        done = client.commit(
            offsets=[TopicPartition(*item) for item in positions], asynchronous=False
        )
        for item in done:
            if item.error is not None:
                raise fail(item.error)

    def committed(self, consumer, partitions):
        asked = [TopicPartition(*item) for item in partitions]
        done = self.consumers[consumer].committed(asked, timeout=30)
        for item in done:
            if item.error is not None:
                raise fail(item.error)
        return [item.offset if item.offset >= 0 else None for item in done]

    def offsets_for_times(self, consumer, times):
        asked = [TopicPartition(*item) for item in times]
        done = self.consumers[consumer].offsets_for_times(asked, timeout=30)
        for item in done:
            if item.error is not None:
                raise fail(item.error)
        return [item.offset if item.offset >= 0 else None for item in done]

    def watermarks(self, consumer, topic, partition, timeout_s=30):
        return self.consumers[consumer].get_watermark_offsets(
            TopicPartition(topic, partition), timeout=timeout_s
        )

    # Administration

    def admin(self):
        """Kept: its futures fail as soon as the client is garbage."""
        if self.administrator is None:
            self.administrator = AdminClient(self.basics())
        return self.administrator

    def create_topics(self, topics, configs=None):
        asked = [
            NewTopic(name, num_partitions=partitions, replication_factor=1, config=configs or {})
            for name, partitions in topics
        ]
        for future in self.admin().create_topics(asked, operation_timeout=30).values():
            future.result(60)

    def delete_topics(self, topics):
        for future in self.admin().delete_topics(topics, operation_timeout=30).values():
            future.result(60)

    def create_partitions(self, topic, count):
        for future in self.admin().create_partitions([NewPartitions(topic, count)]).values():
            future.result(60)

    def delete_records(self, topic, partition, before):
        asked = [TopicPartition(topic, partition, before)]
        (future,) = self.admin().delete_records(asked, request_timeout=30).values()
        return future.result(60).low_watermark

    def alter_configs(self, topic, configs):
        entries = [
            admin.ConfigEntry(name, value, incremental_operation=admin.AlterConfigOpType.SET)
            for name, value in configs.items()
        ]
        resource = admin.ConfigResource("topic", topic, incremental_configs=entries)
        for future in self.admin().incremental_alter_configs([resource]).values():
            future.result(60)

    def topic_configs(self, topic):
        """What is set on the topic itself."""
        resource = admin.ConfigResource("topic", topic)
        (future,) = self.admin().describe_configs([resource]).values()
        return {
            name: entry.value
            for name, entry in future.result(60).items()
            if entry.source == admin.ConfigSource.DYNAMIC_TOPIC_CONFIG.value
        }

    # Administration of groups; not in librdkafka 1.9

    def list_groups(self):
        found = self.admin().list_consumer_groups().result(60)
        assert not found.errors, found.errors
        return [group.group_id for group in found.valid]

    def describe_group(self, group):
        found = self.admin().describe_consumer_groups([group])[group].result(60)
        return {
            "state": found.state.name.title().replace("_", ""),
            "members_count": len(found.members),
        }

    def delete_group(self, group):
        self.admin().delete_consumer_groups([group])[group].result(60)

    def alter_group_offset(self, group, topic, partition, offset):
        wanted = self.of_group(group, TopicPartition(topic, partition, offset))
        (answer,) = (
            self.admin().alter_consumer_group_offsets([wanted])[group].result(60).topic_partitions
        )
        if answer.error is not None:
            raise fail(answer.error)

    def group_offset(self, group, topic, partition):
        wanted = self.of_group(group, TopicPartition(topic, partition))
        found = self.admin().list_consumer_group_offsets([wanted])[group].result(60)
        (answer,) = found.topic_partitions
        return None if answer.offset < 0 else answer.offset

    @staticmethod
    def of_group(group, partition):
        from confluent_kafka import ConsumerGroupTopicPartitions

        return ConsumerGroupTopicPartitions(group, [partition])

    def list_topics(self, timeout_s=10):
        """Partitions per topic, as a client sees them without asking for any topic by name."""
        return {
            name: len(topic.partitions)
            for name, topic in self.admin().list_topics(timeout=timeout_s).topics.items()
        }

    def producer_list_topics(self, producer, timeout_s=3):
        """Brokers and topics as a producer's health check sees them."""
        found = self.producers[producer].list_topics(timeout=timeout_s)
        return {"brokers": len(found.brokers), "topics": sorted(found.topics)}


if __name__ == "__main__":
    rpc.serve(Operations(sys.argv[1]), translate)
