"""What one client wrote, every client reads, byte for byte and in every codec."""

from collections.abc import Callable

import pytest

from compat_tests.support.client import LIBRARIES, Client, Library
from compat_tests.support.gateway import Gateway, Remote
from compat_tests.support.records import Record, odd_records
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import fetch_batches

CODEC_BITS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
# Topics that are read as a whole: not every client has all codecs.
TOPICS = {"every": ("none", "gzip"), "most": ("snappy", "lz4", "zstd")}
Written = dict[str, tuple[str, list[Record]]]


@pytest.fixture(scope="session")
def written(
    library: Library,
    broker: Gateway | Remote,
    connect: Callable[..., Client],
    run_id: str,
) -> Written:
    """In each topic the same odd records once per codec, if the library has them."""
    client = connect(library, broker)
    topics: Written = {}
    for name, codecs in TOPICS.items():
        topic = f"cross-{run_id}-{name}-{library.name}-{broker.mode}"
        sent: list[Record] = []
        for codec in codecs:
            if codec in library.codecs:
                records = odd_records(null_header_value=library.null_header_values)
                with client.producer(codec=codec) as producer:
                    producer.send(topic, records)
                sent += records
        if sent:
            topics[name] = topic, sent
    return topics


@pytest.mark.parametrize("reader_name", list(LIBRARIES))
def test_every_client_reads_it(
    written: Written,
    library: Library,
    reader_name: str,
    broker: Gateway | Remote,
    need: Callable[[str], Library],
    connect: Callable[..., Client],
) -> None:
    reader = connect(need(reader_name), broker)
    for name, (topic, sent) in written.items():
        if set(TOPICS[name]) <= set(reader.library.codecs):
            read = reader.read_all(topic, len(sent))
            stored = [library.writes(record.content) for record in sent]
            assert [record.content for record in read] == list(map(reader.library.reads, stored))
            assert [record.offset for record in read] == list(range(len(sent)))


def test_stored_batches_carry_the_codec_of_the_producer(
    written: Written, library: Library, broker: Gateway | Remote
) -> None:
    """librdkafka up to 2.11 sends gzip, snappy and lz4 uncompressed unless Produce starts at 0.

    A batch that does not get smaller some leave as it is; on a busy machine one record makes one.
    """
    seen: set[int] = set()
    with Connection(broker.bootstrap) as connection:
        for topic, _ in written.values():
            seen |= {batch.codec for batch in fetch_batches(connection, topic)}
    assert seen == {CODEC_BITS[codec] for codec in library.codecs}
