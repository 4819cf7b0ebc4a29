"""What must be there after a restart: graceful, and with kill -9."""

from collections.abc import Callable

import pytest

from compat_tests.support.client import Client, Library
from compat_tests.support.deadline import wait_until
from compat_tests.support.gateway import Gateway
from compat_tests.support.records import odd_records
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import commit_request
from compat_tests.wire.requests import codes_in


def _commit_from_outside(gateway: Gateway, group: str, topic: str, offset: int) -> None:
    """Which works once the last member has left. That a member left is answered before it is
    durable, as in Kafka; a commit is answered after, and lies behind it.
    """
    request = commit_request(group, topic)
    request.topics[0].partitions[0].committed_offset = offset
    with Connection(gateway.bootstrap) as connection:
        wait_until(
            lambda: codes_in(connection.call(request, 3)) == {0}, what="a group without members"
        )


@pytest.mark.parametrize(
    "graceful",
    [True, pytest.param(False, marks=pytest.mark.every_client_in("object", "s3"))],
    ids=["graceful", "kill-9"],
)
def test_data_and_committed_offsets_survive(
    library: Library,
    mode: str,
    graceful: bool,
    own_gateway: Callable[..., Gateway],
    launch: Callable[..., Client],
    topic: str,
    new_topic: Callable[[], str],
) -> None:
    """The producer and a consumer stay open over the restart and go on by themselves."""
    group = new_topic()
    gateway = own_gateway(mode)
    client = launch(library, gateway)
    sent = odd_records(null_header_value=library.null_header_values)
    producer = client.producer(idempotent=True)
    producer.send(topic, sent)
    with client.consumer(group=group, start="earliest", auto_commit=False) as consumer:
        consumer.subscribe(topic)
        consumer.take(6)
        consumer.commit((topic, 0, 6))
    _commit_from_outside(gateway, group, topic, 6)
    follower = client.consumer()
    follower.assign((topic, 0, "beginning"))
    follower.take(len(sent))

    gateway.restart(graceful=graceful)

    assert producer.send(topic, [b"after"])[0].offset == len(sent)
    (after,) = follower.take(1)
    assert (after.offset, after.value) == (len(sent), b"after")
    read = client.read_all(topic, len(sent) + 1)
    expected = [library.carries(record.content) for record in sent]
    assert [record.content for record in read[:-1]] == expected
    with client.consumer(group=group, start="earliest", auto_commit=False) as consumer:
        consumer.subscribe(topic)
        assert [record.offset for record in consumer.take(5)] == [6, 7, 8, 9, 10]
        assert consumer.committed((topic, 0)) == [6]
        assert consumer.watermarks(topic) == (0, len(sent) + 1)
    producer.close()
    follower.close()


def test_topics_stay_deleted(
    mode: str,
    own_gateway: Callable[..., Gateway],
    need: Callable[[str], Library],
    launch: Callable[..., Client],
    topic: str,
) -> None:
    gateway = own_gateway(mode)
    client = launch(need("confluent-kafka"), gateway)
    client.create_topic(topic, partitions=3)
    with client.producer() as producer:
        producer.send(topic, [b"to be deleted"])
    client.delete_topic(topic)
    gateway.restart(graceful=False)
    assert topic not in client.topics()
    client.create_topic(topic)
    gateway.restart(graceful=False)
    assert client.topics()[topic] == 1
    with client.producer() as producer:
        assert producer.send(topic, [b"again"])[0].offset == 0
