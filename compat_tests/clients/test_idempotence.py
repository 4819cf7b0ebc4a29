"""Idempotent producers: the default of some clients, a setting in the others."""

import pytest

from compat_tests.support.client import Client
from compat_tests.support.records import Record


@pytest.mark.every_client_in("object", "s3")
def test_idempotent_producer(client: Client, topic: str) -> None:
    """Many small batches in flight at once; order kept, nothing twice, no gap."""
    values = [b"%05d" % number for number in range(2_000)]
    with client.producer(idempotent=True) as producer:
        acks = producer.send(topic, values)
    assert [ack.offset for ack in acks] == list(range(len(values)))
    assert [record.value for record in client.read_all(topic, len(values))] == values


def test_sequences_count_per_partition(client: Client, topic: str) -> None:
    client.create_topic(topic, partitions=3)
    with client.producer(idempotent=True) as producer:
        for turn in range(5):
            records = [Record(b"%d" % turn, partition=number % 3) for number in range(9)]
            acks = producer.send(topic, records)
            assert sorted({ack.offset for ack in acks}) == [3 * turn + i for i in range(3)]


def test_two_producers_do_not_disturb_each_other(client: Client, topic: str) -> None:
    with client.producer(idempotent=True) as one, client.producer(idempotent=True) as two:
        for turn in range(5):
            one.send(topic, [b"one %d" % turn] * 3)
            two.send(topic, [b"two %d" % turn] * 3)
    read = client.read_all(topic, 30)
    assert [record.offset for record in read] == list(range(30))
