"""Groups and settings by each client's admin interface, where our worker for it offers them."""

from collections.abc import Callable

import pytest

from compat_tests.support.client import LIBRARIES, Client, ClientError
from compat_tests.support.deadline import wait_until

INVALID_CONFIG = 40
NON_EMPTY_GROUP = 68
# They know AlterConfigs alone, which replaces all that is set.
REPLACING_ALL = ("kafkajs", "rdkafka")
# Their interface loses why a topic's settings were refused.
SILENT = ("rdkafka",)

pytestmark = [
    pytest.mark.storage_blind("how clients ask; what is stored of it is tested with others"),
    pytest.mark.parametrize(
        "library", [name for name, it in LIBRARIES.items() if it.administers], indirect=True
    ),
]


def test_groups_are_listed_described_and_deleted(
    client: Client, topic: str, new_topic: Callable[[], str]
) -> None:
    group = new_topic()
    with client.producer() as producer:
        producer.send(topic, [b"1", b"2", b"3"])
    with client.consumer(group=group, start="earliest") as consumer:
        consumer.subscribe(topic)
        consumer.take(3)
        stable = {"state": "Stable", "members_count": 1}
        wait_until(lambda: client.call("describe_group", group=group) == stable, what="a member")
        assert group in client.call("list_groups")
        with pytest.raises(ClientError) as refused:
            client.call("delete_group", group=group)
        assert refused.value.code == NON_EMPTY_GROUP
    empty = {"state": "Empty", "members_count": 0}
    wait_until(lambda: client.call("describe_group", group=group) == empty, what="no member")
    client.call("delete_group", group=group)
    assert group not in client.call("list_groups")


def test_settings_are_set_and_told(client: Client, topic: str) -> None:
    client.create_topic(topic, retention_ms="5000000")
    assert client.call("topic_configs", topic=topic) == {"retention.ms": "5000000"}
    client.call("alter_configs", topic=topic, configs={"retention.bytes": "1000000000"})
    kept = {} if client.library.name in REPLACING_ALL else {"retention.ms": "5000000"}
    expected = kept | {"retention.bytes": "1000000000"}
    wait_until(
        lambda: client.call("topic_configs", topic=topic) == expected, what="the new settings"
    )
    try:
        client.call("alter_configs", topic=topic, configs={"retention.ms": "soon"})
    except ClientError as refused:
        assert refused.code == INVALID_CONFIG
    else:
        assert client.library.name in SILENT, "an impossible setting was taken"
    assert client.call("topic_configs", topic=topic) == expected
