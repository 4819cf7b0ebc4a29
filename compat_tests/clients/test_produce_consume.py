"""Produce and consume with each client's defaults: content, codecs, sizes, positions."""

import pytest

from compat_tests.support.client import KAFKA_CODECS, Client
from compat_tests.support.deadline import seeded, wall_ms
from compat_tests.support.records import Record, odd_records

HOUR_MS = 3_600_000
# With each client in a bucket; the first of them wherever records are stored.
CODECS = (
    pytest.param(KAFKA_CODECS[0], marks=pytest.mark.every_client_in("object", "s3")),
    *(pytest.param(codec, marks=pytest.mark.every_client_in("s3")) for codec in KAFKA_CODECS[1:]),
)
SIZES = (1, 100, 10_000, 1_000_000, 9_500_000)
CLIENT_LIMIT_BYTES = 10 * 1024 * 1024


@pytest.mark.parametrize("codec", CODECS)
def test_records_come_back_as_they_were_sent(client: Client, topic: str, codec: str) -> None:
    sent = odd_records(null_header_value=client.library.null_header_values)
    with client.producer(codec=codec) as producer:
        acks = producer.send(topic, sent)
    assert [ack.offset for ack in acks] == list(range(len(sent)))

    read = client.read_all(topic, len(sent))
    expected = [client.library.carries(record.content) for record in sent]
    assert [record.content for record in read] == expected
    assert [record.offset for record in read] == list(range(len(sent)))


def test_every_size_up_to_the_limit(client: Client, topic: str) -> None:
    """Consumers run with their default fetch limits: 1 MiB per partition, records up to 9.5 MB."""
    sent = [Record(seeded(size).randbytes(size)) for size in SIZES]
    with client.producer(message_bytes_max=CLIENT_LIMIT_BYTES) as producer:
        acks = [producer.send(topic, [record])[0] for record in sent]
    assert [ack.offset for ack in acks] == list(range(len(sent)))
    read = client.read_all(topic, len(sent))
    assert [record.value for record in read] == [record.value for record in sent]


def test_client_stamps_records_by_default(client: Client, topic: str) -> None:
    with client.producer() as producer:
        (ack,) = producer.send(topic, [b"now"])
    (read,) = client.read_all(topic, 1)
    assert read.timestamp_ms == ack.timestamp_ms
    assert abs(read.timestamp_ms - wall_ms()) < HOUR_MS


@pytest.mark.parametrize("acks", [0, 1, -1])
def test_every_level_of_acknowledgement(client: Client, topic: str, acks: int) -> None:
    """The connection stays in step after requests that have no response (acks=0)."""
    extra = {"acks": acks}
    if client.library.idempotent_by_default:
        extra["enable_idempotence"] = acks == -1
    sent = [f"{number}".encode() for number in range(30)]
    client.create_topic(topic)
    with client.producer(extra=extra) as producer:
        for value in sent:
            producer.outcomes([Record(value, topic=topic)])
    read = client.read_all(topic, len(sent))
    assert [record.value for record in read] == sent


def test_assign_and_seek(client: Client, topic: str) -> None:
    values = [f"value {number}".encode() for number in range(30)]
    with client.producer() as producer:
        producer.send(topic, values[:20])
        producer.send(topic, values[20:])

    with client.consumer(start="earliest") as consumer:
        consumer.assign((topic, 0, 7))
        assert [record.offset for record in consumer.take(3)] == [7, 8, 9]
        consumer.seek(topic, 0, 25)
        assert [record.value for record in consumer.take(5)] == values[25:]
        consumer.seek(topic, 0, 0)
        assert [record.value for record in consumer.take(30)] == values
        assert consumer.watermarks(topic) == (0, 30)


def test_a_consumer_at_the_end_sees_only_what_follows(client: Client, topic: str) -> None:
    with client.producer() as producer:
        producer.send(topic, [b"old 1", b"old 2"])
        with client.consumer() as consumer:
            consumer.assign((topic, 0, "end"))
            assert consumer.poll(timeout_s=1.0) == []
            producer.send(topic, [b"new"])
            (record,) = consumer.take(1)
    assert (record.offset, record.value) == (2, b"new")


def test_partitions_keep_their_own_offsets(client: Client, topic: str) -> None:
    client.create_topic(topic, partitions=3)
    with client.producer() as producer:
        for partition in range(3):
            records = [Record(b"%d" % number, partition=partition) for number in range(5)]
            assert [ack.offset for ack in producer.send(topic, records)] == list(range(5))
    with client.consumer() as consumer:
        consumer.assign(*((topic, partition, "beginning") for partition in range(3)))
        read = consumer.take(15)
    for partition in range(3):
        offsets = [record.offset for record in read if record.partition == partition]
        assert offsets == list(range(5))


def test_default_partitioner_spreads_and_repeats(client: Client, topic: str) -> None:
    """Records of one key meet in one partition; the client learns the count from Metadata."""
    client.create_topic(topic, partitions=4)
    keyed = [
        Record(b"v", key=b"key %d" % (number % 20), topic=topic, partition=None)  # type: ignore[arg-type]
        for number in range(80)
    ]
    if "librdkafka" in client.call("info")["library"]:
        keyed = [record.placed(partition=-1) for record in keyed]
    with client.producer() as producer:
        acks = producer.outcomes(keyed)
    homes: dict[bytes | None, set[int]] = {}
    for record, ack in zip(keyed, acks, strict=True):
        homes.setdefault(record.key, set()).add(ack.partition)  # type: ignore[union-attr]
    assert all(len(partitions) == 1 for partitions in homes.values())
    assert len(set.union(*homes.values())) > 1
