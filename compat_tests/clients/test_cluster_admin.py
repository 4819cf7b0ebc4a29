"""What administrators ask of a cluster, by a client that knows how to."""

from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import ACLFilter, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from kafka.errors import InvalidReplicationAssignmentError, SecurityDisabledError

from compat_tests.support.gateway import Gateway, Remote

pytestmark = pytest.mark.storage_blind("what one node says of itself")
ANSWER_TIMEOUT_S = 60


@pytest.fixture
def admin(broker: Gateway | Remote) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    yield client
    client.close()


@pytest.fixture
def made(admin: KafkaAdminClient, topic: str) -> str:
    """A topic of two partitions."""
    admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1}})
    return topic


def test_there_is_nothing_to_elect_and_nothing_on_its_way(
    admin: KafkaAdminClient, made: str
) -> None:
    admin.elect_leaders(0, {made: [0, 1]})
    admin.elect_leaders(1)
    assert admin.list_partition_reassignments() == {}
    me = admin.describe_cluster()["brokers"][0]["broker_id"]
    first, second = TopicPartition(made, 0), TopicPartition(made, 1)
    assert admin.alter_partition_reassignments({first: [me]}) == {first: None}
    refused = admin.alter_partition_reassignments({second: [me, me + 1]})
    assert refused == {second: InvalidReplicationAssignmentError}
    called_off = admin.alter_partition_reassignments({first: None})[first]
    assert called_off is not None and called_off.errno == 85


def test_partitions_come_in_pages(admin: KafkaAdminClient, made: str) -> None:
    first = admin.describe_topic_partitions([made], response_partition_limit=1)
    assert [len(topic["partitions"]) for topic in first["topics"]] == [1]
    rest = admin.describe_topic_partitions([made], cursor=first["next_cursor"])
    (topic,) = rest["topics"]
    assert [p["partition_index"] for p in topic["partitions"]] == [1]
    assert rest["next_cursor"] is None


def test_the_cluster_describes_itself(admin: KafkaAdminClient) -> None:
    cluster = admin.describe_cluster()
    (node,) = cluster["brokers"]
    assert cluster["controller_id"] == node["broker_id"]
    (topic,) = admin.describe_metadata_quorum()["topics"]
    (partition,) = topic["partitions"]
    assert partition["leader_id"] == node["broker_id"]
    assert len(partition["current_voters"]) == 1


def test_security_is_off(admin: KafkaAdminClient) -> None:
    everything = ACLFilter(
        principal=None,
        host=None,
        operation=ACLOperation.ANY,
        permission_type=ACLPermissionType.ANY,
        resource_pattern=ResourcePattern(ResourceType.TOPIC, "t"),
    )
    with pytest.raises(SecurityDisabledError):
        admin.describe_acls(everything)
    assert not admin.describe_user_scram_credentials()


def test_producers_are_shown(admin: KafkaAdminClient, made: str, broker: Gateway | Remote) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, enable_idempotence=True)
    for _ in range(3):
        producer.send(made, b"x", partition=0).get(ANSWER_TIMEOUT_S)
    asked = TopicPartition(made, 0)
    (active,) = admin.describe_producers([asked])[asked].active_producers
    assert active.producer_id >= 0
    assert (active.producer_epoch, active.last_sequence) == (0, 2)
    producer.close()
    assert not any(admin.list_transactions().values())
