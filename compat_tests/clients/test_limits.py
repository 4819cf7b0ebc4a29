"""Past the record limit the broker says so, and the connection goes on."""

from compat_tests.support.client import Client, ClientError, Producer
from compat_tests.support.deadline import seeded
from compat_tests.support.records import Record

MESSAGE_TOO_LARGE = 10
CLIENT_LIMIT_BYTES = 12_000_000
RECORD_BYTES = 11_000_000


def refuse(producer: Producer, topic: str) -> None:
    too_large = Record(seeded(11).randbytes(RECORD_BYTES), topic=topic)
    (outcome,) = producer.outcomes([too_large])
    assert isinstance(outcome, ClientError)
    assert outcome.code == MESSAGE_TOO_LARGE, outcome


def test_an_11_mb_record_is_refused(client: Client, topic: str) -> None:
    with client.producer(message_bytes_max=CLIENT_LIMIT_BYTES, idempotent=False) as producer:
        assert producer.send(topic, [b"before"])[0].offset == 0
        refuse(producer, topic)
        assert producer.send(topic, [b"after"])[0].offset == 1
    assert [record.value for record in client.read_all(topic, 2)] == [b"before", b"after"]


def test_idempotent_producers_are_told_as_well(client: Client, topic: str) -> None:
    """What such a producer does next is its own affair (two of ours give up); the log is clean."""
    producer = client.producer(message_bytes_max=CLIENT_LIMIT_BYTES, idempotent=True)
    assert producer.send(topic, [b"before"])[0].offset == 0
    refuse(producer, topic)
    with client.producer(idempotent=True) as another:
        assert another.send(topic, [b"after"])[0].offset == 1
    assert [record.value for record in client.read_all(topic, 2)] == [b"before", b"after"]
