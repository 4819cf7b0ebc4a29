"""What a bucket costs: writes depend on time and bytes, and on how many logs are busy; not on how
many logs there are, nor on how many partitions are active."""

import time

import pytest
from aiobotocore.session import get_session
from confluent_kafka import Producer

from compat_tests.monitoring.scrape import get, values_in
from compat_tests.support.gateway import Gateway
from compat_tests.wire.batches import build
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import create_topic, produce
from wal_core.testing.ports import free_ports
from wal_core.testing.s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server

SECONDS = 4.0
LOGS_COUNT = 12
RECORDS_COUNT = 20
# The preset's token bucket.
PER_S_MAX, BURST_COUNT = 4, 8


async def blocks_count(server: S3Server, prefix: str) -> int:
    """Objects in the bucket, counted by somebody else's library: each was one PUT."""
    async with get_session().create_client(
        "s3",
        endpoint_url=server.endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    ) as client:
        found = await client.list_objects_v2(Bucket="compat", Prefix=f"{prefix}/logs/")
        return int(found["KeyCount"])


def produce_for(bootstrap: str, topic: str, partitions_count: int, seconds: float) -> float:
    """A record to each partition in turn, a thousand a second; returns how long it took."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    producer.list_topics(topic, timeout=10)
    begun_s = time.perf_counter()
    sent_count = 0
    while (elapsed_s := time.perf_counter() - begun_s) < seconds:
        while sent_count < elapsed_s * 1_000:
            producer.produce(topic, b"x" * 100, partition=sent_count % partitions_count)
            sent_count += 1
        producer.poll(0.005)
    assert producer.flush(30) == 0
    return time.perf_counter() - begun_s


@pytest.mark.slow
@pytest.mark.parametrize("partitions_count", [1, 100, 1_000])
async def test_writes_do_not_depend_on_partitions(
    s3_server: S3Server, partitions_count: int
) -> None:
    prefix = f"cost-{partitions_count}"
    flags = ("--flush-preset", "cost")
    environ = s3_server.environ()
    with Gateway(f"s3://compat/{prefix}", mode="s3", options=flags, environ=environ) as gateway:
        with Connection(gateway.bootstrap) as connection:
            create_topic(connection, "t", partitions=partitions_count)
        before_count = await blocks_count(s3_server, prefix)
        took_s = produce_for(gateway.bootstrap, "t", partitions_count, SECONDS)
        written_count = await blocks_count(s3_server, prefix) - before_count
        assert gateway.stop() == 0
    expected = BURST_COUNT + PER_S_MAX * took_s
    assert 0.8 * expected - 1 <= written_count <= 1.2 * expected + 1


def written_by(port: int) -> tuple[dict[str, float], float]:
    """As the server shows it: blocks that each log has written, and requests that were PUTs."""
    status, text = get(port, "/metrics")
    assert status == 200
    puts = values_in(text, "woodpecker_store_requests_total", "kind")["put"]
    return values_in(text, "woodpecker_flush_seconds_count", "log"), puts


def test_writes_follow_the_busy_logs_alone(s3_server: S3Server) -> None:
    """Records that wait for each other are a write each; who has none writes nothing."""
    (port,) = free_ports(1)
    flags = ("--logs-count", str(LOGS_COUNT), "--metrics-listen", f"127.0.0.1:{port}")
    environ = s3_server.environ()
    with Gateway("s3://compat/busy", mode="s3", options=flags, environ=environ) as gateway:
        with Connection(gateway.bootstrap) as connection:
            create_topic(connection, "t", partitions=LOGS_COUNT)
            for busy_count in (1, 3, LOGS_COUNT):
                blocks, puts = written_by(port)
                for _ in range(RECORDS_COUNT):
                    for index in range(busy_count):
                        reply = produce(connection, "t", build([b"x"]), partition=index)
                        assert reply.error_code == 0
                blocks_after, puts_after = written_by(port)
                grown = [after - blocks[log] for log, after in blocks_after.items()]
                assert sorted(grown, reverse=True)[:busy_count] == [RECORDS_COUNT] * busy_count
                assert sum(grown) == RECORDS_COUNT * busy_count
                assert puts_after - puts == sum(grown)
        assert gateway.stop() == 0
