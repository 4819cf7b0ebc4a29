"""Groups by each client's administration: listed, described, reset, emptied, deleted."""

from collections.abc import Callable

import pytest

from compat_tests.support.client import Client, ClientError, Library
from compat_tests.support.deadline import wait_until
from compat_tests.support.gateway import Gateway, Remote
from compat_tests.support.records import Record

NON_EMPTY_GROUP = 68
GROUP_ID_NOT_FOUND = 69
GROUP_SUBSCRIBED_TO_TOPIC = 86
UNKNOWN_MEMBER_ID = 25

ADMINS = ("confluent-kafka", "kafka-python", "aiokafka")
CAN_DELETE = ("confluent-kafka", "kafka-python")
CAN_DELETE_OFFSETS = ("kafka-python",)
_membership = pytest.mark.storage_blind("who is a member is known in memory only")


@pytest.fixture
def admin(
    request: pytest.FixtureRequest,
    need: Callable[[str], Library],
    broker: Gateway | Remote,
    connect: Callable[..., Client],
) -> Client:
    return connect(need(request.param), broker)


@pytest.fixture
def used(admin: Client, topic: str) -> str:
    """A group named like its topic, without members, that has read three records."""
    admin.create_topic(topic)
    with admin.producer() as producer:
        producer.send(topic, [Record(b"%d" % n) for n in range(5)])
    with admin.consumer(group=topic, start="earliest", auto_commit=False) as consumer:
        consumer.subscribe(topic)
        consumer.take(5)
        consumer.commit((topic, 0, 3))
        assert admin.call("describe_group", group=topic) == {"state": "Stable", "members_count": 1}
    return topic


@_membership
@pytest.mark.parametrize("admin", ADMINS, indirect=True)
def test_groups_are_listed_and_described(admin: Client, used: str) -> None:
    assert used in admin.call("list_groups")
    assert admin.call("describe_group", group=used) == {"state": "Empty", "members_count": 0}
    assert admin.call("group_offset", group=used, topic=used, partition=0) == 3


@pytest.mark.parametrize("admin", CAN_DELETE, indirect=True)
def test_offsets_are_reset_and_read_from(admin: Client, used: str) -> None:
    admin.call("alter_group_offset", group=used, topic=used, partition=0, offset=1)
    assert admin.call("group_offset", group=used, topic=used, partition=0) == 1
    with admin.consumer(group=used, start="earliest", auto_commit=False) as consumer:
        consumer.subscribe(used)
        assert [record.offset for record in consumer.take(4)] == [1, 2, 3, 4]
        with pytest.raises(ClientError) as refused:
            admin.call("alter_group_offset", group=used, topic=used, partition=0, offset=0)
        assert refused.value.code == UNKNOWN_MEMBER_ID
        with pytest.raises(ClientError) as kept:
            admin.call("delete_group", group=used)
        assert kept.value.code == NON_EMPTY_GROUP


@pytest.mark.parametrize("admin", CAN_DELETE, indirect=True)
def test_a_deleted_group_is_gone(admin: Client, used: str) -> None:
    admin.call("delete_group", group=used)
    assert used not in admin.call("list_groups")
    assert admin.call("group_offset", group=used, topic=used, partition=0) is None
    with pytest.raises(ClientError) as gone:
        admin.call("delete_group", group=used)
    assert gone.value.code == GROUP_ID_NOT_FOUND


@pytest.mark.parametrize("admin", CAN_DELETE_OFFSETS, indirect=True)
def test_offsets_are_deleted_unless_somebody_reads(admin: Client, used: str) -> None:
    with admin.consumer(group=used, start="earliest", auto_commit=False) as consumer:
        consumer.subscribe(used)
        wait_until(lambda: consumer.poll() is not None and consumer.assignment(), what="a share")
        with pytest.raises(ClientError) as read:
            admin.call("delete_group_offset", group=used, topic=used, partition=0)
        assert read.value.code == GROUP_SUBSCRIBED_TO_TOPIC
    admin.call("delete_group_offset", group=used, topic=used, partition=0)
    assert admin.call("group_offset", group=used, topic=used, partition=0) is None
    assert used in admin.call("list_groups")


@_membership
@pytest.mark.parametrize("admin", ["kafka-python"], indirect=True)
def test_a_static_member_is_removed_by_its_instance_alone(
    admin: Client, topic: str, broker: Gateway | Remote, launch: Callable[..., Client]
) -> None:
    """It closes without leaving, and keeps its place until somebody takes it away."""
    admin.create_topic(topic)
    member = launch(admin.library, broker)
    consumer = member.consumer(group=topic, extra={"group_instance_id": "one"})
    consumer.subscribe(topic)
    wait_until(lambda: consumer.poll() is not None and consumer.assignment(), what="a share")
    member.kill()
    assert admin.call("describe_group", group=topic) == {"state": "Stable", "members_count": 1}
    with pytest.raises(ClientError) as unknown:
        admin.call("remove_static_member", group=topic, instance="two")
    assert unknown.value.code == UNKNOWN_MEMBER_ID
    admin.call("remove_static_member", group=topic, instance="one")
    assert admin.call("describe_group", group=topic) == {"state": "Empty", "members_count": 0}


def test_what_was_deleted_stays_so_after_kill_9(
    mode: str,
    need: Callable[[str], Library],
    own_gateway: Callable[..., Gateway],
    launch: Callable[..., Client],
    new_topic: Callable[[], str],
) -> None:
    gateway = own_gateway(mode)
    client = launch(need("kafka-python"), gateway)
    topic, deleted, emptied = new_topic(), new_topic(), new_topic()
    client.create_topic(topic)
    for group in (deleted, emptied):
        client.call("alter_group_offset", group=group, topic=topic, partition=0, offset=7)
    client.call("delete_group", group=deleted)
    client.call("delete_group_offset", group=emptied, topic=topic, partition=0)
    gateway.kill()
    gateway.start()
    assert deleted not in client.call("list_groups")
    for group in (deleted, emptied):
        assert client.call("group_offset", group=group, topic=topic, partition=0) is None
