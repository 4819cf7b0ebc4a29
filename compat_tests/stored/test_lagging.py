"""`recover` on a bucket that lacks some of the newest objects of a broker with three data logs:
each partition is a prefix, commits are such as were made, and clients go on.
"""

import os
import random  # noqa: TID251 - seeded
import re
from collections import defaultdict

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from compat_tests.stored.bucket import Bucket
from compat_tests.stored.test_fsck import command, fsck
from compat_tests.support.gateway import Gateway
from wal_core.testing.s3_server import S3Server

DRAWS_COUNT = int(os.environ.get("LAGGING_DRAWS", "3"))
MISSING_MAX_COUNT = 50
PARTITIONS_COUNT = 6
ROUNDS_COUNT = 25
RECORDS_A_ROUND_COUNT = 30
GROUP = "readers"
SETTINGS = (
    *("--logs-count", "3"),
    *("--segment-bytes-max", "64KiB", "--block-bytes-max", "64KiB"),
)


def consumer_of(bootstrap: str) -> Consumer:
    """Commits nothing by itself."""
    return Consumer(
        {"bootstrap.servers": bootstrap, "group.id": GROUP, "enable.auto.commit": False}
    )


class Source:
    """What was produced, in the order of each partition, and each offset that was committed."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, int], list[bytes]] = defaultdict(list)
        self.committed: dict[tuple[str, int], set[int]] = defaultdict(set)
        self.objects: list[tuple[str, bytes]] = []  # the oldest first

    def write(self, bootstrap: str, bucket: Bucket) -> None:
        admin = AdminClient({"bootstrap.servers": bootstrap})
        producer = Producer(
            {"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 0}
        )
        consumer = consumer_of(bootstrap)
        topics = []
        for number in range(ROUNDS_COUNT):
            if number % 8 == 0:
                topics.append(f"orders-{number}")
                new = NewTopic(topics[-1], PARTITIONS_COUNT)
                for made in admin.create_topics([new]).values():
                    made.result(30)
            for row in range(RECORDS_A_ROUND_COUNT):
                place = (topics[row % len(topics)], row % PARTITIONS_COUNT)
                value = b"%s %d %d;" % (place[0].encode(), place[1], len(self.values[place])) * 40
                producer.produce(place[0], value, partition=place[1])
                self.values[place].append(value)
            assert producer.flush(30) == 0
            self.commit(consumer, number)
            self.note_objects(bucket)
        consumer.close()

    def commit(self, consumer: Consumer, number: int) -> None:
        rows = [
            TopicPartition(topic, partition, len(values))
            for (topic, partition), values in self.values.items()
            if (partition + number) % 3 == 0
        ]
        consumer.commit(offsets=rows, asynchronous=False)
        for row in rows:
            self.committed[row.topic, row.partition].add(row.offset)

    def note_objects(self, bucket: Bucket) -> None:
        known = {key for key, _ in self.objects}
        for key in sorted(bucket.sizes().keys() - known):
            self.objects.append((key, bucket.get(key)))


@pytest.fixture(scope="module")
def source(s3_server: S3Server) -> Source:
    """Of a broker that was killed; its folders of objects as they were on the way, too."""
    written = Source()
    with Bucket(s3_server, "compat", "lagging-source") as bucket:
        environ = s3_server.environ()
        with Gateway(bucket.location, mode="s3", options=SETTINGS, environ=environ) as gateway:
            written.write(gateway.bootstrap, bucket)
            gateway.kill()
        written.note_objects(bucket)
    return written


def lose(source: Source, rng: random.Random, bucket: Bucket) -> int:
    """A copy without some of the newest objects: returns how many of them."""
    newest = [key for key, _ in source.objects[-MISSING_MAX_COUNT:]]
    missing = rng.sample(newest, rng.randint(0, len(newest)))
    for key, body in source.objects:
        if key not in missing:
            bucket.put(key, body)
    return len(missing)


def ends_in(bootstrap: str, source: Source) -> dict[tuple[str, int], int]:
    """Each partition is read and compared: a prefix of what was produced."""
    known = AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=30).topics
    places = [place for place in source.values if place[0] in known]
    consumer = consumer_of(bootstrap)
    ends = {}
    for place in places:
        start, ends[place] = consumer.get_watermark_offsets(TopicPartition(*place), timeout=30)
        assert start == 0
    found: dict[tuple[str, int], list[bytes]] = {place: [] for place in places}
    consumer.assign([TopicPartition(*place, 0) for place in places])
    while (missing_count := sum(ends.values()) - sum(map(len, found.values()))) > 0:
        for message in consumer.consume(missing_count, timeout=1):
            assert message.error() is None
            values = found[message.topic() or "", message.partition() or 0]
            assert message.offset() == len(values)
            values.append(message.value() or b"")
    assert found == {place: source.values[place][: ends[place]] for place in places}
    for row in consumer.committed([TopicPartition(*place) for place in places], timeout=30):
        assert row.offset < 0 or row.offset in source.committed[row.topic, row.partition]
    consumer.close()
    return ends


def told_in(text: str) -> dict[tuple[str, int], tuple[int, int]]:
    """Partitions of which `recover` says that offsets are given up, and which."""
    rows = re.findall(r"(\S+)-(\d+): given up: offsets (\d+) to (\d+)", text)
    return {
        (topic, int(number)): (int(first), int(last))
        for topic, number, first, last in rows
        if not topic.startswith("__")
    }


@pytest.mark.timeout(120 + 30 * DRAWS_COUNT)
@pytest.mark.parametrize("seed", range(DRAWS_COUNT))
def test_a_broker_starts_with_prefixes_on_a_lagging_copy(
    seed: int, source: Source, s3_server: S3Server
) -> None:
    rng = random.Random(seed)
    environ = s3_server.environ()
    with Bucket(s3_server, "compat", f"lagging-{seed}") as bucket:
        missing_count = lose(source, rng, bucket)
        done = command("recover", "--data", bucket.location, "--yes", *SETTINGS, **environ)
        assert done.returncode == 0, done.stderr
        code, report = fsck(bucket.location, **environ)
        assert (code, [row for row in report["findings"] if not row["harmless"]]) == (0, [])
        with Gateway(bucket.location, mode="s3", options=SETTINGS, environ=environ) as gateway:
            ends = ends_in(gateway.bootstrap, source)
            for place, (first, last) in told_in(done.stdout).items():
                assert first == ends[place]
                assert last < len(source.values[place])
            if missing_count == 0:
                assert ends == {place: len(rows) for place, rows in source.values.items()}
            producer = Producer({"bootstrap.servers": gateway.bootstrap})
            producer.produce(next(iter(ends))[0], b"after", partition=0)
            assert producer.flush(30) == 0
            assert gateway.stop() == 0
