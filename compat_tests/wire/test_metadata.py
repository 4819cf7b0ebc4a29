"""Metadata: the three forms of a topic list, automatic creation, names, ids, the cluster."""

import threading
from collections.abc import Callable
from uuid import UUID

import pytest
from kafka.protocol.metadata import MetadataRequest

from compat_tests.support.deadline import wait_until
from compat_tests.support.gateway import Gateway, Remote
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import (
    METADATA_VERSION,
    create_topic,
    delete_topic,
    find_coordinator,
    metadata,
)

pytestmark = pytest.mark.storage_blind("metadata are answered from memory")

UNKNOWN_TOPIC_OR_PARTITION = 3
LEADER_NOT_AVAILABLE = 5
INVALID_TOPIC_EXCEPTION = 17
UNKNOWN_TOPIC_ID = 100


def names(wire: Connection) -> set[str]:
    return {topic.name for topic in metadata(wire, None).topics}


@pytest.mark.parametrize("version", range(METADATA_VERSION + 1))
def test_one_all_or_none(wire: Connection, made: str, version: int) -> None:
    """Version 0 says "all" with an empty list; later ones with null, and empty means none."""
    (topic,) = metadata(wire, [made], version=version, create=version < 4).topics
    assert (topic.error_code, topic.name, len(topic.partitions)) == (0, made, 1)
    everything = metadata(wire, [] if version == 0 else None, version=version).topics
    assert made in {found.name for found in everything}
    if version > 0:
        assert metadata(wire, [], version=version).topics == []


def test_the_cluster_is_whole(wire: Connection, made: str) -> None:
    """Controller, leader and coordinator are listed nodes, and the address leads back here."""
    found = metadata(wire, [made])
    brokers = {broker.node_id: (broker.host, broker.port) for broker in found.brokers}
    assert found.controller_id in brokers
    assert found.cluster_id
    partition = found.topics[0].partitions[0]
    assert partition.leader_id in brokers
    assert partition.leader_id in partition.replica_nodes
    assert partition.leader_id in partition.isr_nodes
    coordinator = find_coordinator(wire, "any/group ü")
    assert brokers[coordinator.node_id] == (coordinator.host, coordinator.port)
    with Connection("{}:{}".format(*brokers[partition.leader_id])) as again:
        assert metadata(again, [made]).cluster_id == found.cluster_id


@pytest.mark.parametrize("version", [4, 5, 8, 9, 12])
def test_no_creation_unless_asked(wire: Connection, topic: str, version: int) -> None:
    (missing,) = metadata(wire, [topic], version=version, create=False).topics
    assert missing.error_code == UNKNOWN_TOPIC_OR_PARTITION
    assert topic not in names(wire)


@pytest.mark.parametrize("version", [0, 1, 3, 4, 9, 12])
def test_creation_when_asked(wire: Connection, topic: str, version: int) -> None:
    """Versions below 4 cannot say no. The next answer, at the latest, names a leader."""
    (first,) = metadata(wire, [topic], version=version, create=True).topics
    assert first.error_code in (0, UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE)
    assert topic in names(wire) or first.error_code != 0


def test_our_broker_creates_within_the_request(
    wire: Connection, topic: str, broker: Gateway | Remote
) -> None:
    """A client that gets an error first loses a retry interval; Kafka may need that, we do not."""
    if isinstance(broker, Remote):
        pytest.skip("another broker may answer with an error first")
    (first,) = metadata(wire, [topic], create=True).topics
    assert (first.error_code, len(first.partitions)) == (0, 1)
    assert first.partitions[0].leader_id >= 0


def test_off_means_off(strict_broker: Gateway | Remote, topic: str) -> None:
    with Connection(strict_broker.bootstrap) as wire:
        for version in (0, 3, 4, 12):
            (missing,) = metadata(wire, [topic], version=version, create=True).topics
            assert missing.error_code == UNKNOWN_TOPIC_OR_PARTITION
        assert topic not in names(wire)


def test_sixteen_first_touches_at_once(dial: Callable[[], Connection], topic: str) -> None:
    """One topic comes of it, with one id."""
    connections = [dial() for _ in range(16)]
    barrier = threading.Barrier(len(connections))

    def touch(connection: Connection) -> None:
        barrier.wait()
        metadata(connection, [topic], create=True)

    threads = [threading.Thread(target=touch, args=(item,)) for item in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def ids() -> set[UUID] | None:
        found = [metadata(item, [topic]).topics[0] for item in connections]
        created = {(row.error_code, len(row.partitions)) for row in found} == {(0, 1)}
        return {row.topic_id for row in found} if created else None

    assert len(wait_until(ids, what="the topic to exist")) == 1


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "ü", "x" * 250, "a\x00b"])
def test_invalid_names(wire: Connection, name: str) -> None:
    (topic,) = metadata(wire, [name], create=True).topics
    assert topic.error_code == INVALID_TOPIC_EXCEPTION
    assert name not in names(wire)


def test_longest_valid_name(wire: Connection, topic: str) -> None:
    longest = (topic + "._-") * 100
    create_topic(wire, longest[:249])
    assert longest[:249] in names(wire)
    assert delete_topic(wire, longest[:249]) == 0


def test_topics_by_id(wire: Connection, made: str) -> None:
    topic_id = metadata(wire, [made]).topics[0].topic_id
    assert topic_id != UUID(int=0)
    row = MetadataRequest.MetadataRequestTopic
    request = MetadataRequest(
        topics=[row(name=None, topic_id=topic_id)], allow_auto_topic_creation=False
    )
    (found,) = wire.call(request, METADATA_VERSION).topics
    assert (found.error_code, found.name, found.topic_id) == (0, made, topic_id)
    request = MetadataRequest(
        topics=[row(name=None, topic_id=UUID(int=4711))], allow_auto_topic_creation=False
    )
    (found,) = wire.call(request, METADATA_VERSION).topics
    assert found.error_code == UNKNOWN_TOPIC_ID


def test_a_recreated_topic_has_another_id(wire: Connection, made: str) -> None:
    """Clients that remember the id must notice."""
    before = metadata(wire, [made]).topics[0].topic_id
    assert delete_topic(wire, made) == 0
    wait_until(lambda: made not in names(wire), what="the topic to be gone")
    create_topic(wire, made)
    assert metadata(wire, [made]).topics[0].topic_id != before
