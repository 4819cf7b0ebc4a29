"""Partitions whose replies are smaller than what is ready: each gets its share with every client.

Records of 1.5 MB are larger than what a client asks of one partition by default, so a reply holds
one of them, and which one decides who starves.
"""

from collections import Counter
from collections.abc import Callable

import pytest

from compat_tests.conftest import Broker
from compat_tests.support.client import Client, Library
from compat_tests.wire.batches import build
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import create_topic, produce

RECORD_BYTES = 1_500_000

pytestmark = pytest.mark.storage_blind("which partition a reply begins with")
TURNS_COUNT = 4
# It asks for ten times as much of a partition as the others, as much as of all of them together.
SMALLER: dict[str, dict[str, int]] = {"platformatic": {"partition_bytes_max": 1 << 20}}


@pytest.mark.parametrize("partitions_count", [2, 4])
def test_every_partition_gets_its_share(
    library: Library,
    broker: Broker,
    connect: Callable[[Library, Broker], Client],
    topic: str,
    partitions_count: int,
) -> None:
    """Of twice as many records as are read, so that none of them runs out meanwhile."""
    with Connection(broker.bootstrap) as connection:
        create_topic(connection, topic, partitions=partitions_count)
        for _ in range(2 * TURNS_COUNT):
            for partition in range(partitions_count):
                batch = build([bytes(RECORD_BYTES)])
                assert produce(connection, topic, batch, partition=partition).error_code == 0
    client = connect(library, broker)
    with client.consumer(extra=SMALLER.get(library.family, {})) as consumer:
        consumer.assign(*((topic, index, "beginning") for index in range(partitions_count)))
        read = consumer.take(TURNS_COUNT * partitions_count)
    shares = Counter(record.partition for record in read)
    assert len(shares) == partitions_count, shares
    assert min(shares.values()) * 2 >= TURNS_COUNT, shares
