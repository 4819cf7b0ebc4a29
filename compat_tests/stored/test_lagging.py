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
from gateway.cluster.view import CATALOG_LOG_ID
from wal_core.testing.s3_server import S3Server

DRAWS_COUNT = int(os.environ.get("LAGGING_DRAWS", "3"))
MISSING_MAX_COUNT = 50
PARTITIONS_COUNT = 6
ROUNDS_COUNT = 25
RECORDS_A_ROUND_COUNT = 30
GROUP = "readers"
UNCLAIMED = "streams of topics that the catalog does not have are kept"
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
        self.noted_counts: list[int] = []  # how many there were before each round

    def write(self, bootstrap: str, bucket: Bucket) -> None:
        admin = AdminClient({"bootstrap.servers": bootstrap})
        producer = Producer(
            {"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 0}
        )
        consumer = consumer_of(bootstrap)
        topics = []
        for number in range(ROUNDS_COUNT):
            self.noted_counts.append(len(self.objects))
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


def some_of_the_newest(source: Source, rng: random.Random) -> set[str]:
    newest = [key for key, _ in source.objects[-MISSING_MAX_COUNT:]]
    return set(rng.sample(newest, rng.randint(0, len(newest))))


def of_log_since(source: Source, log_id: int, number: int) -> list[str]:
    """Blocks of a log that came in a round and later, the oldest first."""
    rows = source.objects[source.noted_counts[number] :]
    return [key for key, _ in rows if key.startswith(f"logs/{log_id}/")]


def copy_without(missing: set[str], source: Source, bucket: Bucket) -> None:
    for key, body in source.objects:
        if key not in missing:
            bucket.put(key, body)


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


def recovered(bucket: Bucket, environ: dict[str, str]) -> dict[tuple[str, int], tuple[int, int]]:
    """What it says of offsets that are given up; `fsck` finds no harm behind it."""
    done = command("recover", "--data", bucket.location, "--yes", *SETTINGS, **environ)
    assert done.returncode == 0, done.stderr
    code, report = fsck(bucket.location, **environ)
    assert (code, [row for row in report["findings"] if not row["harmless"]]) == (0, [])
    return told_in(done.stdout)


def tells_unclaimed(gateway: Gateway) -> bool:
    return any(UNCLAIMED in line for line in gateway.log)


def check_told(
    told: dict[tuple[str, int], tuple[int, int]],
    ends: dict[tuple[str, int], int],
    source: Source,
    gateway: Gateway,
) -> None:
    """Offsets are given up from where a partition ends. Topics that came into their logs, and not
    into the catalog's, are not served, and the start says so.
    """
    served = {topic for topic, _ in ends}
    for (topic, partition), (first, last) in told.items():
        assert first == ends.get((topic, partition), first)
        assert last < len(source.values[topic, partition])
        assert topic in served or tells_unclaimed(gateway)


@pytest.mark.timeout(120 + 30 * DRAWS_COUNT)
@pytest.mark.parametrize("seed", range(DRAWS_COUNT))
def test_a_broker_starts_with_prefixes_on_a_lagging_copy(
    seed: int, source: Source, s3_server: S3Server
) -> None:
    missing = some_of_the_newest(source, random.Random(seed))
    environ = s3_server.environ()
    with Bucket(s3_server, "compat", f"lagging-{seed}") as bucket:
        copy_without(missing, source, bucket)
        told = recovered(bucket, environ)
        with Gateway(bucket.location, mode="s3", options=SETTINGS, environ=environ) as gateway:
            ends = ends_in(gateway.bootstrap, source)
            check_told(told, ends, source, gateway)
            if not missing:
                assert ends == {place: len(rows) for place, rows in source.values.items()}
            producer = Producer({"bootstrap.servers": gateway.bootstrap})
            producer.produce(next(iter(ends))[0], b"after", partition=0)
            assert producer.flush(30) == 0
            assert gateway.stop() == 0


def test_a_topic_that_the_catalog_has_not_heard_of_is_told_and_not_served(
    source: Source, s3_server: S3Server
) -> None:
    """The catalog has come as far as that, the data logs further, but each with a hole."""
    missing = set(of_log_since(source, CATALOG_LOG_ID, 16))
    missing |= {of_log_since(source, log_id, 20)[0] for log_id in (1, 2, 3)}
    environ = s3_server.environ()
    with Bucket(s3_server, "compat", "lagging-catalog") as bucket:
        copy_without(missing, source, bucket)
        told = recovered(bucket, environ)
        assert "orders-16" in {topic for topic, _ in told}
        with Gateway(bucket.location, mode="s3", options=SETTINGS, environ=environ) as gateway:
            ends = ends_in(gateway.bootstrap, source)
            assert {topic for topic, _ in ends} == {"orders-0", "orders-8"}
            assert tells_unclaimed(gateway)
            check_told(told, ends, source, gateway)
