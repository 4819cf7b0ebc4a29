"""A load that grows, dies and is deleted in every way there is, and what it leaves behind.

Topics: `timed` and `sized` under retention, `cut` by DeleteRecords, `kept` for ever, `grouped` read
by a consumer group that commits, and short-lived ones that are deleted whole. The broker is stopped
or killed now and then.
"""

import hashlib
from collections import Counter
from random import Random  # noqa: TID251 - for its type; made by `seeded`

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic

from compat_tests.support.deadline import Deadline, now_s, seeded, wait_until
from compat_tests.support.gateway import Gateway

PARTITIONS_COUNT = 3
TOPICS = {
    "timed": {"retention.ms": "4000"},
    "sized": {"retention.ms": "-1", "retention.bytes": "300000"},
    "cut": {"retention.ms": "-1"},
    "grouped": {"retention.ms": "8000"},
    "kept": {"retention.ms": "-1"},
}
# What is deleted must be most of what is written, or the bucket would only grow.
SHARES = {"timed": 6, "sized": 6, "cut": 6, "grouped": 2, "kept": 1}
VALUE_BYTES_MAX = 9_000
BATCH_RECORDS_COUNT = 30
SECONDS_PER_RESTART = 5.0
SECONDS_BEFORE_END = 6.0
"""Without a restart: what a killed broker left in its last segment is sealed and gone by then."""
ACT_PROBABILITY = 0.15
TIMEOUT_S = 60.0

Place = tuple[str, int]


class Soak:
    """One run against one broker; `expected` is what was acknowledged, by partition and offset."""

    def __init__(self, gateway: Gateway, seed: int) -> None:
        self.gateway = gateway
        self.random: Random = seeded(seed)
        self.done: Counter[str] = Counter()
        self.acked_bytes = 0
        self.expected: dict[Place, dict[int, bytes]] = {}
        self._failed: list[KafkaError] = []
        self._temporary: list[str] = []
        self._restart_due_s = 0.0
        self._producer = Producer(
            {
                "bootstrap.servers": gateway.bootstrap,
                "enable.idempotence": True,
                "linger.ms": 5,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,  # it would tell of every restart
            }
        )
        self._consumer = self._new_consumer("group")
        self._connect()
        for name, settings in TOPICS.items():
            self._create(name, settings)
        self._consumer.subscribe(["grouped"])

    # -- the load --------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        begun_s = now_s()
        self._restart_due_s = begun_s + SECONDS_PER_RESTART / 2
        while (left_s := begun_s + seconds - now_s()) > 0:
            self._produce()
            if self.random.random() < ACT_PROBABILITY:
                act = self.random.choice([self._cut, self._add_topic, self._delete_topic])
                act()
            self._read_on()
            if now_s() > self._restart_due_s and left_s > SECONDS_BEFORE_END:
                self._restart()
        self._flush()
        while self._temporary:
            self._delete_topic()
        self._consumer.close()

    def _produce(self) -> None:
        names = self.random.choices(list(SHARES), list(SHARES.values()), k=2)
        for name in names + self._temporary[-1:]:
            for _ in range(BATCH_RECORDS_COUNT):
                partition = self.random.randrange(PARTITIONS_COUNT)
                value = self.random.randbytes(self.random.randrange(1, VALUE_BYTES_MAX))
                self._producer.produce(name, value, partition=partition, on_delivery=self._acked)
        # At most one round is under way: restarts come between records, not behind all of them.
        self._producer.poll(0.05)

    def _acked(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append(error)
            return
        place = (str(message.topic()), int(message.partition() or 0))
        value = message.value() or b""
        offsets = self.expected.setdefault(place, {})
        assert message.offset() not in offsets
        offsets[int(message.offset() or 0)] = hashlib.sha256(value).digest()
        self.done["records"] += 1
        self.acked_bytes += len(value)

    def _flush(self) -> None:
        assert self._producer.flush(TIMEOUT_S) == 0
        assert self._failed == []

    def _read_on(self) -> None:
        """The group goes on and commits: its offsets are records of their own."""
        self.done["records read"] += len(self._consumer.consume(200, timeout=0.01))

    # -- what deletes ----------------------------------------------------------------------

    def _cut(self) -> None:
        self._flush()
        places = [
            TopicPartition("cut", partition, self.random.randrange(len(self.expected[place])) + 1)
            for partition in range(PARTITIONS_COUNT)
            if self.expected.get(place := ("cut", partition))
        ]
        if places:
            for answer in self._admin.delete_records(places).values():
                answer.result(TIMEOUT_S)
            self.done["DeleteRecords"] += 1

    def _add_topic(self) -> None:
        name = f"temporary-{self.done['topics']}"
        self._create(name, {})
        self._temporary.append(name)
        if len(self._temporary) > 3:
            self._delete_topic()

    def _delete_topic(self) -> None:
        if not self._temporary:
            return
        self._flush()
        name = self._temporary.pop(0)
        self._admin.delete_topics([name])[name].result(TIMEOUT_S)
        for partition in range(PARTITIONS_COUNT):
            self.expected.pop((name, partition), None)
        self.done["topics deleted"] += 1

    def _restart(self) -> None:
        graceful = self.random.random() < 0.5
        self.gateway.restart(graceful=graceful)
        self.done["stops" if graceful else "kills"] += 1
        self._restart_due_s = now_s() + SECONDS_PER_RESTART * self.random.uniform(0.5, 1.5)
        self._connect()

    # -- afterwards ------------------------------------------------------------------------

    def check_records(self) -> int:
        """A client of its own reads what is left of every partition; returns how many records.

        Retention may go on meanwhile, at the front.
        """
        read_count = 0
        names = set(self._admin.list_topics(timeout=TIMEOUT_S).topics)
        assert {name for name in names if not name.startswith("__")} == set(TOPICS)
        consumer = self._new_consumer("reader")
        for (name, partition), offsets in self.expected.items():
            assert sorted(offsets) == list(range(len(offsets)))
            low, high = self.watermarks(consumer, name, partition)
            assert high == len(offsets)
            if name == "kept":
                assert low == 0
            found = read(consumer, name, partition, high) if low < high else {}
            first = min(found, default=high)
            assert low <= first
            assert name == "timed" or name == "grouped" or first == low
            assert found == {offset: offsets[offset] for offset in range(first, high)}
            read_count += len(found)
        consumer.close()
        return read_count

    def watermarks(self, consumer: Consumer, name: str, partition: int) -> tuple[int, int]:
        low, high = consumer.get_watermark_offsets(
            TopicPartition(name, partition), timeout=TIMEOUT_S
        )
        return low, high

    # -- helpers ---------------------------------------------------------------------------

    def _connect(self) -> None:
        self._admin = AdminClient({"bootstrap.servers": self.gateway.bootstrap})

    def _new_consumer(self, group: str) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self.gateway.bootstrap,
                "group.id": group,
                "auto.offset.reset": "earliest",
                "auto.commit.interval.ms": 300,
                "enable.auto.commit": group == "group",
                "enable.partition.eof": group != "group",
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,  # it would tell of every restart
            }
        )

    def _create(self, name: str, settings: dict[str, str]) -> None:
        topic = NewTopic(name, PARTITIONS_COUNT, 1, config=settings)
        self._admin.create_topics([topic])[name].result(TIMEOUT_S)
        wait_until(
            lambda: name in self._admin.list_topics(timeout=TIMEOUT_S).topics, what="the topic"
        )
        self.done["topics"] += 1


def read(consumer: Consumer, name: str, partition: int, end: int) -> dict[int, bytes]:
    """Digest by offset, up to `end`."""
    consumer.assign([TopicPartition(name, partition, OFFSET_BEGINNING)])
    found: dict[int, bytes] = {}
    deadline = Deadline(TIMEOUT_S)  # for the next record
    while not deadline.expired:
        messages = consumer.consume(500, timeout=0.5)
        if messages:
            deadline = Deadline(TIMEOUT_S)
        for message in messages:
            error = message.error()
            if error is None:
                found[message.offset()] = hashlib.sha256(message.value()).digest()
            elif error.code() == KafkaError._PARTITION_EOF:
                return found
        if found and max(found) == end - 1:
            return found
    raise AssertionError(f"{name} {partition}: {len(found)} records read up to {end}")
