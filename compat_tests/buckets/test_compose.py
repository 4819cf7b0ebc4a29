"""The brokers of `docker/compose.yaml`, without an engine: as processes with the same environment.

A real etcd and a real S3 server stand in for the containers of both, other ports for the same.
"""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import yaml
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from compat_tests.monitoring.scrape import get
from compat_tests.repo.files import read
from compat_tests.support.deadline import wait_until
from compat_tests.support.gateway import Gateway
from gateway.testing.etcd_server import EtcdMember
from wal_core.testing.ports import free_ports
from wal_core.testing.s3_server import S3Server

SERVICES = yaml.safe_load(read("docker/compose.yaml"))["services"]
BROKERS = [name for name in SERVICES if name.startswith("gateway-")]
RECORDS_COUNT = 60
PARTITIONS_COUNT = 6


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdMember]:
    member = EtcdMember(tmp_path / "etcd")
    member.start()
    member.wait_ready()
    yield member
    member.stop()


@pytest.fixture
def brokers(s3_server: S3Server, etcd: EtcdMember) -> Iterator[list[Gateway]]:
    place = f"s3://compat/compose-{secrets.token_hex(3)}"
    made: dict[int, Gateway] = {}
    for name in BROKERS:
        port, metrics_port = free_ports(2)
        there = {
            "WOODPECKER_S3_ENDPOINT": s3_server.endpoint,
            "WOODPECKER_ETCD": f"http://{etcd.endpoint}",
            "WOODPECKER_ADVERTISED": f"localhost:{port}",
            "WOODPECKER_METRICS_LISTEN": f"127.0.0.1:{metrics_port}",
        }
        given = {**SERVICES[name]["environment"], **there}
        made[metrics_port] = Gateway(place, mode="s3", environ=given)
        made[metrics_port].port = port
    with ExitStack() as stack:
        for gateway in made.values():
            gateway.spawn()
            stack.push(gateway)
        for metrics_port, gateway in made.items():
            gateway.wait_ready()
            wait_until(partial(is_ready, metrics_port), what="a broker that has joined")
        yield list(made.values())
        for gateway in made.values():
            print(f"--- log of {gateway.bootstrap}", *gateway.log, sep="\n")


def is_ready(metrics_port: int) -> bool:
    return get(metrics_port, "/readyz")[0] == 200


def test_they_make_up_a_cluster_and_do_without_one_that_is_killed(brokers: list[Gateway]) -> None:
    servers = {"bootstrap.servers": ",".join(gateway.bootstrap for gateway in brokers)}
    admin = AdminClient(servers)
    topic = f"t-{secrets.token_hex(3)}"
    admin.create_topics([NewTopic(topic, PARTITIONS_COUNT)])[topic].result(30)
    nodes = {int(SERVICES[name]["environment"]["WOODPECKER_NODE_ID"]) for name in BROKERS}
    # Each says that it is ready once it has joined; another hears of it a moment later.
    wait_until(lambda: set(admin.list_topics(timeout=30).brokers) == nodes, what="three brokers")
    producer = Producer(servers)
    failed: list[object] = []

    def sent(first: int) -> None:
        for number in range(first, first + RECORDS_COUNT):
            producer.produce(
                topic,
                b"%d" % number,
                partition=number % PARTITIONS_COUNT,
                on_delivery=lambda error, _: failed.append(error) if error else None,
            )
        assert producer.flush(60) == 0

    sent(0)
    brokers[0].kill()
    sent(RECORDS_COUNT)
    assert failed == []
    consumer = Consumer({**servers, "group.id": topic})
    consumer.assign([TopicPartition(topic, index, 0) for index in range(PARTITIONS_COUNT)])
    found: list[int] = []
    while len(found) < 2 * RECORDS_COUNT:
        message = consumer.poll(60)
        assert message is not None, f"{len(found)} records came"
        assert message.error() is None
        found.append(int(message.value() or b""))
    consumer.close()
    assert sorted(found) == list(range(2 * RECORDS_COUNT))
