"""What one client wrote, every client reads, byte for byte and in every codec."""

from collections.abc import Callable

import pytest

from compat_tests.support.client import LIBRARIES, Client, Library
from compat_tests.support.gateway import Gateway, Remote
from compat_tests.support.records import Record, odd_records
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import fetch_batches

CODEC_BITS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


@pytest.fixture(scope="session")
def written(
    library: Library,
    broker: Gateway | Remote,
    connect: Callable[..., Client],
    run_id: str,
) -> tuple[str, list[Record]]:
    """A topic with the same odd records once per codec, in the order of CODEC_BITS."""
    topic = f"cross-{run_id}-{library.name}-{broker.mode}"
    client = connect(library, broker)
    sent: list[Record] = []
    for codec in CODEC_BITS:
        records = odd_records(null_header_value=library.null_header_values)
        with client.producer(codec=codec) as producer:
            producer.send(topic, records)
        sent += records
    return topic, sent


@pytest.mark.parametrize("reader_name", list(LIBRARIES))
def test_every_client_reads_it(
    written: tuple[str, list[Record]],
    library: Library,
    reader_name: str,
    broker: Gateway | Remote,
    need: Callable[[str], Library],
    connect: Callable[..., Client],
) -> None:
    topic, sent = written
    reader = connect(need(reader_name), broker)
    read = reader.read_all(topic, len(sent))
    stored = [library.writes(record.content) for record in sent]
    assert [record.content for record in read] == list(map(reader.library.reads, stored))
    assert [record.offset for record in read] == list(range(len(sent)))


def test_stored_batches_carry_the_codec_of_the_producer(
    written: tuple[str, list[Record]], broker: Gateway | Remote
) -> None:
    """librdkafka up to 2.11 sends gzip, snappy and lz4 uncompressed unless Produce starts at 0."""
    topic, _ = written
    with Connection(broker.bootstrap) as connection:
        batches = fetch_batches(connection, topic)
    seen = list(dict.fromkeys(batch.codec for batch in batches))
    assert seen == list(CODEC_BITS.values())
