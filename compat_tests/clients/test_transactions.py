"""Who wants transactions, or the next group protocol, is told at once that there is none."""

import subprocess
import sys
import textwrap

import pytest

from compat_tests.support.gateway import Gateway, Remote

pytestmark = pytest.mark.storage_blind("refused before anything is stored")
ANSWER_TIMEOUT_S = 60

TRANSACTIONS = {
    "confluent-kafka": """
        from confluent_kafka import KafkaException, Producer
        producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": "t"})
        try:
            producer.init_transactions(60)
        except KafkaException as error:
            told = error.args[0]
            assert told.code() == 53 or told.fatal(), told
            assert not told.retriable(), told
            print("refused")
    """,
    "kafka-python": """
        from kafka import KafkaProducer
        from kafka.errors import KafkaError
        producer = KafkaProducer(bootstrap_servers=bootstrap, transactional_id="t")
        try:
            producer.init_transactions()
        except KafkaError as error:
            assert getattr(error, "errno", None) == 53, repr(error)
            print("refused")
    """,
    "aiokafka": """
        import asyncio
        from aiokafka import AIOKafkaProducer
        from aiokafka.errors import KafkaError
        async def run():
            producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id="t")
            try:
                await producer.start()
                await producer.begin_transaction()
            except KafkaError as error:
                print("refused")
            finally:
                await producer.stop()
        asyncio.run(run())
    """,
}


# A consumer that is not told waits for ever.
NEXT_GROUP_PROTOCOL = """
    from confluent_kafka import Consumer, KafkaError
    consumer = Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": "of the next protocol",
        "group.protocol": "consumer",
    })
    consumer.subscribe(["t"])
    message = None
    while message is None:
        message = consumer.poll(1)
    told = message.error()
    assert told.code() == KafkaError._FATAL and "not supported" in told.str(), told
    print("refused")
"""


@pytest.mark.parametrize("library", list(TRANSACTIONS))
def test_who_wants_transactions_is_told_at_once(library: str, broker: Gateway | Remote) -> None:
    assert_refused(TRANSACTIONS[library], broker)


def test_who_wants_the_next_group_protocol_is_told_at_once(broker: Gateway | Remote) -> None:
    assert_refused(NEXT_GROUP_PROTOCOL, broker)


def assert_refused(text: str, broker: Gateway | Remote) -> None:
    program = f"bootstrap = {broker.bootstrap!r}\n" + textwrap.dedent(text)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=ANSWER_TIMEOUT_S,
        check=False,
    )
    assert done.stdout == "refused\n", done.stderr
