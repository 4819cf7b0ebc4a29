"""kafka-python; clients run with their defaults."""

import sys
import time

import rpc
from kafka import (
    KafkaAdminClient,
    KafkaConsumer,
    KafkaProducer,
    OffsetAndMetadata,
    TopicPartition,
    errors,
)
from kafka import __version__ as kafka_version
from kafka.admin import ConfigResource, MemberToRemove, NewTopic
from kafka.errors import KafkaError

SEND_TIMEOUT_S = 90


def translate(error):
    if isinstance(error, KafkaError):
        return rpc.OperationError(getattr(error, "errno", None), type(error).__name__, error)
    return error


class Operations:
    """Named producers and consumers of one process."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.producers = {}
        self.consumers = {}

    def info(self):
        return {"library": "kafka-python " + kafka_version}

    # Producers

    def producer_open(self, name, codec=None, idempotent=None, message_bytes_max=None, extra=None):
        config = dict(extra or {})
        if codec is not None:
            config["compression_type"] = None if codec == "none" else codec
        if idempotent is not None:
            config["enable_idempotence"] = idempotent
        if message_bytes_max is not None:
            config["max_request_size"] = message_bytes_max
        self.producers[name] = KafkaProducer(bootstrap_servers=self.bootstrap, **config)

    def produce(self, producer, records, timeout_s=SEND_TIMEOUT_S):
        client = self.producers[producer]
        futures = []
        for wire in records:
            try:
                future = client.send(
                    wire["topic"],
                    value=rpc.decode(wire["value"]),
                    key=rpc.decode(wire["key"]),
                    headers=rpc.headers_of(wire),
                    partition=wire["partition"],
                    timestamp_ms=wire["timestamp_ms"],
                )
            except KafkaError as error:
                future = translate(error)
            futures.append(future)
        return [self.outcome(future, timeout_s) for future in futures]

    def outcome(self, future, timeout_s):
        if isinstance(future, rpc.OperationError):
            return {"error": future.wire}
        try:
            done = future.get(timeout=timeout_s)
        except KafkaError as error:
            return {"error": translate(error).wire}
        return {
            "offset": done.offset,
            "partition": done.partition,
            "timestamp_ms": done.timestamp,
        }

    def producer_close(self, producer):
        self.producers.pop(producer).close(timeout=30)

    # Consumers

    def consumer_open(self, name, group=None, start=None, auto_commit=None, extra=None):
        config = dict(extra or {})
        if start is not None:
            config["auto_offset_reset"] = start
        if auto_commit is not None:
            config["enable_auto_commit"] = auto_commit
        self.consumers[name] = KafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=group, **config
        )

    def consumer_close(self, consumer):
        self.consumers.pop(consumer).close()

    def subscribe(self, consumer, topics):
        self.consumers[consumer].subscribe(topics)

    def assign(self, consumer, positions):
        client = self.consumers[consumer]
        client.assign([TopicPartition(topic, partition) for topic, partition, _ in positions])
        for topic, partition, offset in positions:
            if offset == "beginning":
                client.seek_to_beginning(TopicPartition(topic, partition))
            elif offset == "end":
                client.seek_to_end(TopicPartition(topic, partition))
                client.position(TopicPartition(topic, partition))
            else:
                client.seek(TopicPartition(topic, partition), offset)

    def seek(self, consumer, topic, partition, offset):
        self.consumers[consumer].seek(TopicPartition(topic, partition), offset)

    def poll(self, consumer, count, timeout_s):
        client = self.consumers[consumer]
        deadline = time.monotonic() + timeout_s  # noqa: TID251 - a program of its own
        seen = []
        while len(seen) < count:
            left_s = deadline - time.monotonic()  # noqa: TID251 - as above
            if left_s <= 0:
                break
            found = client.poll(
                timeout_ms=int(min(left_s, 0.2) * 1000), max_records=count - len(seen)
            )
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

    def assignment(self, consumer):
        return [[item.topic, item.partition] for item in self.consumers[consumer].assignment()]

    def commit(self, consumer, positions=None):
        offsets = None
        if positions is not None:
            offsets = {
                TopicPartition(topic, partition): OffsetAndMetadata(offset, "", -1)
                for topic, partition, offset in positions
            }
        self.consumers[consumer].commit(offsets)

    def committed(self, consumer, partitions):
        client = self.consumers[consumer]
        return [client.committed(TopicPartition(*item)) for item in partitions]

    def offsets_for_times(self, consumer, times):
        asked = {TopicPartition(topic, partition): at_ms for topic, partition, at_ms in times}
        found = self.consumers[consumer].offsets_for_times(asked)
        return [
            None if found[key] is None or found[key].offset < 0 else found[key].offset
            for key in asked
        ]

    def watermarks(self, consumer, topic, partition):
        client, key = self.consumers[consumer], TopicPartition(topic, partition)
        return [client.beginning_offsets([key])[key], client.end_offsets([key])[key]]

    # Administration

    def admin(self, act):
        client = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            return act(client)
        finally:
            client.close()

    def create_topics(self, topics, configs=None):
        asked = [
            NewTopic(
                name=name, num_partitions=partitions, replication_factor=1, topic_configs=configs
            )
            for name, partitions in topics
        ]
        self.admin(lambda client: client.create_topics(asked))

    def delete_topics(self, topics):
        self.admin(lambda client: client.delete_topics(topics))

    def create_partitions(self, topic, count):
        self.admin(lambda client: client.create_partitions({topic: count}))

    def delete_records(self, topic, partition, before):
        key = TopicPartition(topic, partition)
        found = self.admin(lambda client: client.delete_records({key: before}))
        return found[key]["low_watermark"]

    def alter_configs(self, topic, configs):
        resource = ConfigResource("TOPIC", topic, configs=configs)
        found = self.admin(lambda client: client.alter_configs([resource]))
        outcome = found["topic"][topic]
        if outcome != "OK":  # the library gives back the text of an error: "[Error 40] ..."
            code = int(outcome.partition("]")[0].removeprefix("[Error "))
            raise rpc.OperationError(code, "AlterConfigs", outcome)

    def topic_configs(self, topic):
        """What is set on the topic itself."""
        resource = ConfigResource("TOPIC", topic)
        found = self.admin(lambda client: client.describe_configs([resource]))["topic"][topic]
        return {name: entry["value"] for name, entry in found.items()}

    # Administration of groups

    def list_groups(self):
        found = self.admin(lambda client: client.list_groups())
        return [group["group_id"] for group in found]

    def describe_group(self, group):
        found = self.admin(lambda client: client.describe_groups([group]))[group]
        assert not found.get("error"), found
        return {"state": found["group_state"], "members_count": len(found["members"])}

    def delete_group(self, group):
        outcome = self.admin(lambda client: client.delete_groups([group]))[group]
        self.check_outcome("DeleteGroups", outcome)

    def alter_group_offset(self, group, topic, partition, offset):
        key = TopicPartition(topic, partition)
        wanted = {key: OffsetAndMetadata(offset, "", -1)}
        outcome = self.admin(lambda client: client.alter_group_offsets(group, wanted))
        self.check_outcome("OffsetCommit", outcome[key])

    def group_offset(self, group, topic, partition):
        key = TopicPartition(topic, partition)
        found = self.admin(lambda client: client.list_group_offsets({group: [key]}))[group]
        return None if key not in found or found[key].offset < 0 else found[key].offset

    def delete_group_offset(self, group, topic, partition):
        key = TopicPartition(topic, partition)
        outcome = self.admin(lambda client: client.delete_group_offsets(group, [key]))
        self.check_outcome("OffsetDelete", outcome[key])

    def remove_static_member(self, group, instance):
        member = MemberToRemove(group_instance_id=instance)
        (outcome,) = self.admin(
            lambda client: client.remove_group_members(group, [member])
        ).values()
        self.check_outcome("LeaveGroup", outcome)

    @staticmethod
    def check_outcome(name, outcome):
        """The library hands errors back as classes, or their names."""
        if isinstance(outcome, str) and outcome != "OK":
            outcome = getattr(errors, outcome)
        if outcome not in ("OK", None) and getattr(outcome, "errno", 0) != 0:
            raise rpc.OperationError(outcome.errno, name, outcome)

    def list_topics(self):
        found = self.admin(lambda client: client.describe_topics())
        return {topic["name"]: len(topic["partitions"]) for topic in found}


if __name__ == "__main__":
    rpc.serve(Operations(sys.argv[1]), translate)
