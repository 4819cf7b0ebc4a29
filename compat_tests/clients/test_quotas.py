"""A producer and a consumer above their quotas are slowed down; others beside them are not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from compat_tests.conftest import Broker
from compat_tests.oracle.messages import build
from compat_tests.support.client import Client, Library
from compat_tests.support.deadline import now_s
from compat_tests.wire.connection import Connection

pytestmark = pytest.mark.storage_blind("how fast a client may be")
BYTES_PER_S = 100_000
# What ten seconds allow may be used at once: the rest of this takes some more.
RECORDS_COUNT, RECORD_BYTES = 47, 25_000
PRODUCER = {"batch.size": 30_000, "linger.ms": 0}
CONSUMER = {"fetch.message.max.bytes": 30_000}
TIMES_SLOWER = 3


@contextmanager
def limited(broker: Broker, client_id: str) -> Iterator[None]:
    """Both quotas for one client, while it lasts."""
    keys = ("producer_byte_rate", "consumer_byte_rate")
    entity = [{"entity_type": "client-id", "entity_name": client_id}]
    with Connection(broker.bootstrap) as connection:
        for remove in (False, True):
            ops = [{"key": key, "value": BYTES_PER_S, "remove": remove} for key in keys]
            entries = [{"entity": entity, "ops": ops}]
            reply = connection.call(build("AlterClientQuotas", {"entries": entries}), 1)
            assert reply.entries[0].error_code == 0, reply
            if not remove:
                yield


def test_who_exceeds_a_quota_is_slowed_down_and_nobody_else(
    need: Callable[[str], Library],
    memory_broker: Broker,
    connect: Callable[[Library, Broker], Client],
    topic: str,
) -> None:
    client = connect(need("confluent-kafka"), memory_broker)
    client.create_topic(topic)
    fast, slow = f"fast-{topic}", f"slow-{topic}"
    with limited(memory_broker, slow):
        # The slow one first: what was made ready for one helps the other.
        slow_s, fast_s = (producing_s(client, topic, who) for who in (slow, fast))
        assert slow_s > TIMES_SLOWER * fast_s
        slow_s, fast_s = (consuming_s(client, topic, who) for who in (slow, fast))
        assert slow_s > TIMES_SLOWER * fast_s


def producing_s(client: Client, topic: str, client_id: str) -> float:
    with client.producer(extra={"client.id": client_id} | PRODUCER) as producer:
        began_s = now_s()
        acks = producer.send(topic, [bytes(RECORD_BYTES)] * RECORDS_COUNT)
        took_s = now_s() - began_s
    assert len(acks) == RECORDS_COUNT
    return took_s


def consuming_s(client: Client, topic: str, client_id: str) -> float:
    with client.consumer(extra={"client.id": client_id} | CONSUMER) as consumer:
        began_s = now_s()
        consumer.assign((topic, 0, "beginning"))
        consumer.take(RECORDS_COUNT)
        return now_s() - began_s
