"""Gateways as processes over one bucket and one etcd, and a load that knows what it was told."""

from __future__ import annotations

import statistics
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic

from compat_tests.support.deadline import now_s, wait_until
from compat_tests.support.gateway import Gateway
from compat_tests.wire.batches import parse
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import FETCH_VERSION, fetch_request
from gateway.testing.etcd_server import EtcdCluster
from wal_core.testing.s3_server import S3Server

LEASE_S = 5
LOGS_COUNT = 6
PARTITIONS = 12


class Cluster:
    """Nodes by id; each has its port from its first start on."""

    def __init__(
        self,
        server: S3Server,
        etcd: EtcdCluster,
        place: str,
        flags: tuple[str, ...] = (),
        logstores: Path | None = None,
    ) -> None:
        """`logstores`: mode quorum, each node with a logstore in a folder there."""
        self._flags = flags
        self._logstores = logstores
        self._server = server
        self._etcd = etcd
        self._place = place
        self.nodes: dict[int, Gateway] = {}

    def start(self, *node_ids: int) -> None:
        """At once; returns when all accept connections."""
        self.spawn(*node_ids)
        for node_id in node_ids:
            self.nodes[node_id].wait_ready()

    def spawn(self, *node_ids: int) -> None:
        """At once, and leave them to themselves."""
        for node_id in node_ids:
            options = {
                "--etcd": self._etcd.urls,
                "--node-id": str(node_id),
                "--logs-count": str(LOGS_COUNT),
                "--node-lease-ms": f"{LEASE_S}s",
            }
            mode = "s3"
            if self._logstores is not None:
                mode = "quorum"
                options["--logstore-data"] = str(self.logstore_folder(node_id))
                options["--logstore-listen"] = "127.0.0.1:0"
                options["--rack"] = f"rack-{node_id}"
            words = tuple(word for pair in options.items() for word in pair) + self._flags
            self.nodes[node_id] = Gateway(
                self._place, mode=mode, options=words, environ=self._server.environ()
            )
            self.nodes[node_id].spawn()

    def logstore_folder(self, node_id: int) -> Path:
        """Of a node of mode quorum."""
        assert self._logstores is not None
        return self._logstores / f"logstore-{node_id}"

    @property
    def etcd_urls(self) -> str:
        return self._etcd.urls

    @property
    def bootstrap(self) -> str:
        return ",".join(node.bootstrap for node in self.nodes.values() if node.running)

    def led_by(self, topic: str) -> dict[int, list[int]]:
        """The partitions of each node, as the first node that answers says; none without owner."""
        told = AdminClient({"bootstrap.servers": self.bootstrap}).list_topics(topic, timeout=10)
        found: dict[int, list[int]] = defaultdict(list)
        for index, partition in told.topics[topic].partitions.items():
            found[partition.leader].append(index)
        return dict(found)

    def create(self, topic: str) -> None:
        """Once all logs are served, so that it lies on all of them."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})

        def is_made() -> bool:
            try:
                admin.create_topics([NewTopic(topic, PARTITIONS)])[topic].result()
            except KafkaException:  # not yet
                return False
            return True

        wait_until(is_made, timeout_s=60, what="a topic")

    def stop(self) -> None:
        for node in self.nodes.values():
            node.__exit__()


@contextmanager
def cluster(
    folder: Path, *node_ids: int, flags: tuple[str, ...] = (), quorum: bool = False
) -> Iterator[Cluster]:
    """All of them, gone afterwards. `flags` come behind what all have; `quorum`: in that mode."""
    with ExitStack() as stack:
        server = stack.enter_context(S3Server())
        server.make_bucket("bucket")
        etcd = stack.enter_context(EtcdCluster(folder, 1))
        logstores = folder if quorum else None
        running = Cluster(server, etcd, "s3://bucket/cluster", flags, logstores)
        stack.callback(running.stop)
        running.start(*node_ids)
        yield running


class Load:
    """A producer with what clients have by default, one record a partition at a time."""

    def __init__(self, bootstrap: str, topic: str, pause_s: float = 0.02) -> None:
        self._pause_s = pause_s
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all"}
        )
        self._topic = topic
        self._sent = 0
        self.acked: dict[int, dict[int, bytes]] = defaultdict(dict)
        self.errors: list[KafkaError] = []
        self.acks: list[tuple[int, float, float]] = []
        """Partition, when it was sent, when it was acknowledged."""
        self.sent_s: dict[bytes, float] = {}

    def round(self) -> None:
        """One more record to each partition; what has been answered is noted."""
        for index in range(PARTITIONS):
            sent_s = now_s()

            def delivered(
                error: KafkaError | None, message: Message, sent_s: float = sent_s
            ) -> None:
                if error is not None:
                    self.errors.append(error)
                    return
                partition, offset = message.partition(), message.offset()
                assert offset not in self.acked[partition], "an offset was given twice"
                self.acked[partition][offset] = message.value()
                self.acks.append((partition, sent_s, now_s()))

            value = b"%d" % self._sent
            self.sent_s[value] = sent_s
            self._producer.produce(self._topic, value, partition=index, on_delivery=delivered)
            self._sent += 1
        end_s = now_s() + self._pause_s
        self._producer.poll(self._pause_s)
        while (left_s := end_s - now_s()) > 0:
            self._producer.poll(left_s)

    def go_on(self, seconds: float) -> None:
        end_s = now_s() + seconds
        while now_s() < end_s:
            self.round()

    def until_acked(self, partitions: list[int], after_s: float, timeout_s: float) -> list[float]:
        """Keep writing until each of them has acknowledged a record sent after that moment; how
        long after it each did so for the first time."""
        first: dict[int, float] = {}
        end_s = now_s() + timeout_s
        while set(first) < set(partitions) and now_s() < end_s:
            self.round()
            for partition, sent_s, acked_s in self.acks:
                if sent_s >= after_s and partition in partitions:
                    first.setdefault(partition, acked_s - after_s)
        assert set(first) == set(partitions), f"no answer of {set(partitions) - set(first)}"
        return sorted(first.values())

    def flush(self) -> None:
        assert self._producer.flush(30) == 0

    def longest_gap_s(self, after_s: float) -> float:
        """The longest time that a record waited for its acknowledgement."""
        return max(acked_s - sent_s for _, sent_s, acked_s in self.acks if sent_s >= after_s)


class Reader(threading.Thread):
    """A consumer of all partitions with what clients have by default, until `stop`."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        super().__init__(daemon=True)
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "watcher"})
        self._consumer.assign([TopicPartition(topic, i, OFFSET_END) for i in range(PARTITIONS)])
        self._stopping = threading.Event()
        self.seen: list[tuple[int, bytes, float]] = []
        """Partition, value, when it came."""
        self.errors: list[KafkaError] = []

    def run(self) -> None:
        while not self._stopping.is_set():
            for message in self._consumer.consume(100, timeout=0.1):
                if (error := message.error()) is not None:
                    self.errors.append(error)
                else:
                    self.seen.append((message.partition(), message.value(), now_s()))
        self._consumer.close()

    def stop(self) -> None:
        self._stopping.set()
        self.join()


def told(title: str, seconds: list[float]) -> None:
    """For people who read the output."""
    median, most = statistics.median(seconds), max(seconds)
    print(f"\n{title}: p50 {median:.2f} s, max {most:.2f} s, of {len(seconds)} partitions")


def read_all(bootstrap: str, topic: str) -> dict[int, dict[int, bytes]]:
    """Every record, by partition and offset."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader"})
    found: dict[int, dict[int, bytes]] = {index: {} for index in range(PARTITIONS)}
    try:
        places = [TopicPartition(topic, i, OFFSET_BEGINNING) for i in range(PARTITIONS)]
        ends = {i: consumer.get_watermark_offsets(places[i], timeout=20)[1] for i in found}
        consumer.assign(places)

        def is_read() -> bool:
            for message in consumer.consume(1_000, timeout=1):
                if message.error() is None:
                    found[message.partition()][message.offset()] = message.value()
            return all(len(found[index]) >= ends[index] for index in found)

        wait_until(is_read, timeout_s=60, what="all records")
    finally:
        consumer.close()
    return found


def stored_bytes(running: Cluster, topic: str) -> dict[int, bytes]:
    """What each partition's leader has, batch for batch as consumers get it, up to its high
    watermark."""
    found = {}
    for node_id, indices in running.led_by(topic).items():
        with Connection(running.nodes[node_id].bootstrap) as connection:
            found |= {index: _bytes_of(connection, topic, index) for index in indices}
    assert len(found) == PARTITIONS
    return found


def _bytes_of(connection: Connection, topic: str, index: int) -> bytes:
    found, offset = b"", 0
    while True:
        answer = connection.call(fetch_request(topic, {index: offset}), FETCH_VERSION)
        (row,) = answer.responses[0].partitions
        assert row.error_code == 0, row
        for batch in (each for each in parse(bytes(row.records or b"")) if each.whole):
            found += batch.raw
            offset = batch.base_offset + batch.last_offset_delta + 1
        if offset == row.high_watermark:
            return found


def check_same(before: Mapping[int, bytes], after: Mapping[int, bytes]) -> None:
    """What was there is there, byte for byte, below what has come since."""
    for index, stored in before.items():
        assert after[index].startswith(stored), f"partition {index} has changed"


def check(load: Load, bootstrap: str, topic: str) -> None:
    """What was acknowledged is where it was said to be, once each, and there are no gaps."""
    stored = read_all(bootstrap, topic)
    for index, records in stored.items():
        assert sorted(records) == list(range(len(records))), f"gaps in {index}"
        assert load.acked[index].items() <= records.items()
        assert len(set(records.values())) == len(records), f"repeats in {index}"
