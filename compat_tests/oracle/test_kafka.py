"""The Kafka that answers beside the gateway: it starts, it is one, and who lacks Java is told."""

from pathlib import Path

import pytest

from compat_tests.support.environments import MissingClientError
from compat_tests.support.gateway import Gateway
from compat_tests.support.java import classpath, java
from compat_tests.support.kafka import Kafka
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import api_versions, metadata
from wal_core.testing.ports import PORTS, free_ports

pytestmark = pytest.mark.xdist_group("oracle")
CREATE_TOPICS, FETCH, LIST_CONFIG_RESOURCES = 19, 1, 74
INIT_PRODUCER_ID, LIST_TRANSACTIONS = 22, 66


def test_it_is_a_kafka_that_clients_can_use(kafka_broker: Kafka) -> None:
    with Connection(kafka_broker.bootstrap) as connection:
        versions = api_versions(connection)
        cluster = metadata(connection, [])
    assert versions[FETCH][0] == 0  # which Kafka 4 does not serve
    assert CREATE_TOPICS in versions
    assert [(node.host, node.port) for node in cluster.brokers] == [
        ("127.0.0.1", int(kafka_broker.bootstrap.rsplit(":", 1)[1]))
    ]


def test_its_ports_are_free_and_its_own() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert set(ports) <= set(PORTS)


def test_without_java_or_maven_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("compat_tests.support.java.FOLDER", tmp_path)
    with pytest.raises(MissingClientError, match="Java"):
        java()
    with pytest.raises(MissingClientError, match="Maven"):
        classpath("none:none:0")


def test_the_newest_kafka_serves_what_came_later(kafka_4_broker: Kafka) -> None:
    with Connection(kafka_4_broker.bootstrap) as connection:
        versions = api_versions(connection)
    assert versions[FETCH][0] == 4
    assert LIST_CONFIG_RESOURCES in versions


def test_what_is_served_is_served_as_new_as_kafka_has_it(
    kafka_4_broker: Kafka, beside: Gateway
) -> None:
    """But for ListTransactions 2, whose patterns want RE2 to say which are none. It shows here
    when a new Kafka has more, or takes InitProducerId 6 for stable: this one does not name it.
    """
    with Connection(kafka_4_broker.bootstrap) as connection:
        theirs = api_versions(connection)
    with Connection(beside.bootstrap) as connection:
        ours = api_versions(connection)
    newest = {key: (theirs[key][1], last) for key, (_, last) in ours.items()}
    older = {key: both for key, both in newest.items() if both[0] != both[1]}
    assert older == {LIST_TRANSACTIONS: (2, 1)}
    assert newest[INIT_PRODUCER_ID] == (5, 5)
