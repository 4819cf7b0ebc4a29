from collections.abc import Iterator

import pytest

from gateway.cli.client import EARLIEST, LATEST, METADATA, KafkaClient, Partition, by_leader
from gateway.cli.errors import ClientError, KafkaError
from gateway.cli.tests.fake_broker import NODE_ID, FakeBroker
from protocol.messages.metadata import MetadataRequest


@pytest.fixture
def client(broker: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[KafkaClient]:
    monkeypatch.setattr("gateway.cli.client._BETWEEN_TRIES_MS", 0)
    with KafkaClient(("127.0.0.1", broker.port), 10_000) as client:
        yield client


def test_partitions_come_in_order_with_their_leaders(
    client: KafkaClient, broker: FakeBroker
) -> None:
    broker.topics = {"a": [[], [], []]}
    assert client.partitions("a") == [Partition(i, NODE_ID) for i in range(3)]


def test_a_leader_that_no_broker_is_counts_as_none(
    client: KafkaClient, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.topics = {"a": [[]]}
    monkeypatch.setattr("gateway.cli.tests.fake_broker.MetadataResponseBroker", _elsewhere)
    with pytest.raises(KafkaError, match="partition 0: LEADER_NOT_AVAILABLE"):
        client.partitions("a")


def test_an_advertised_address_that_leads_nowhere_is_told_as_such(
    client: KafkaClient, broker: FakeBroker
) -> None:
    broker.topics = {"a": [[]]}
    partitions = client.partitions("a")
    client.add_node(NODE_ID, "127.0.0.1", 1)
    said = f"127.0.0.1:1; the broker at {broker.bootstrap} sends its clients there"
    with pytest.raises(ClientError, match=said) as caught:
        client.offsets("a", partitions, LATEST)
    assert "--advertised" in caught.value.remedy


def _elsewhere(*, node_id: int, host: str, port: int) -> object:
    from protocol.messages.metadata import MetadataResponseBroker

    return MetadataResponseBroker(node_id=node_id + 1, host=host, port=port)


def test_asking_does_not_create_unless_told(client: KafkaClient, broker: FakeBroker) -> None:
    with pytest.raises(KafkaError, match="UNKNOWN_TOPIC_OR_PARTITION"):
        client.partitions("a")
    assert client.partitions("a", create=True) == [Partition(0, NODE_ID)]


def test_offsets_of_both_ends(client: KafkaClient, broker: FakeBroker) -> None:
    broker.topics = {"a": [[], []]}
    partitions = client.partitions("a")
    assert client.offsets("a", partitions, EARLIEST) == {0: 0, 1: 0}
    broker.refuse = {2: [6]}
    with pytest.raises(KafkaError, match="offsets of a-0: NOT_LEADER_OR_FOLLOWER"):
        client.offsets("a", partitions, LATEST)


@pytest.mark.parametrize(("code", "tries"), [(5, 10), (6, 10), (15, 10), (17, 1), (7, 1)])
def test_only_what_was_not_done_is_tried_again(client: KafkaClient, code: int, tries: int) -> None:
    calls = []

    def attempt() -> None:
        calls.append(1)
        raise KafkaError(code, "x")

    with pytest.raises(KafkaError):
        client.again(attempt)
    assert len(calls) == tries


def test_a_broken_connection_is_opened_anew(client: KafkaClient, broker: FakeBroker) -> None:
    assert client.topics() == []
    broker.drop_connections()
    with pytest.raises(ClientError, match="was lost"):
        client.request(METADATA, MetadataRequest())
    assert client.topics() == []


def test_one_request_per_node() -> None:
    partitions = [Partition(0, 1), Partition(1, 2), Partition(2, 1)]
    assert by_leader(partitions) == {1: [0, 2], 2: [1]}
