"""DescribeConfigs through the codec."""

from typing import Any

import pytest

from gateway.broker.broker_configs import BROKER_SETTINGS
from gateway.broker.group_configs import GROUP_SETTINGS
from gateway.broker.topic_configs import SETTINGS
from gateway.tests.harness import Client, started, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from protocol.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from protocol.messages.list_config_resources import ListConfigResourcesRequest

TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
OF_TOPIC, DYNAMIC, FOR_ALL, STATIC, DEFAULT, OF_LOGGER, OF_GROUP = 1, 2, 3, 4, 5, 6, 8


async def _described(
    client: Client,
    kind: int,
    name: str,
    *,
    keys: list[str] | None = None,
    version: int = 4,
    **f: Any,
) -> Any:
    resource = DescribeConfigsResource(
        resource_type=kind, resource_name=name, configuration_keys=keys
    )
    body = DescribeConfigsRequest(resources=[resource], **f)
    reply = await client.call(ApiKey.DESCRIBE_CONFIGS, version, body)
    return reply.results[0]


def _synonyms(found: Any) -> dict[str, list[tuple[str, str | None, int]]]:
    return {c.name: [(s.name, s.value, s.source) for s in c.synonyms] for c in found.configs}


@pytest.mark.parametrize("version", [0, 1, 2, 3, 4])
def test_a_topics_settings_say_where_they_come_from(version: int) -> None:
    @virtual
    async def body() -> None:
        _, client = await started(message_bytes_max=123_456)
        configs = [CreatableTopicConfig(name="retention.ms", value="5")]
        topic = CreatableTopic(name="t", num_partitions=1, replication_factor=1, configs=configs)
        await client.call(ApiKey.CREATE_TOPICS, 7, CreateTopicsRequest(topics=[topic]))
        asks = {"include_synonyms": version >= 1}
        found = await _described(client, TOPIC, "t", version=version, **asks)
        assert found.error_code == 0
        values = {c.name: c for c in found.configs}
        assert set(values) == set(SETTINGS)
        assert not any(c.read_only or c.is_sensitive for c in found.configs)
        assert values["retention.ms"].value == "5"
        assert values["max.message.bytes"].value == "123456"
        assert values["leader.replication.throttled.replicas"].value == ""
        if version == 0:
            defaults = [c.name for c in found.configs if not c.is_default]
            assert sorted(defaults) == ["max.message.bytes", "retention.ms"]
            return
        assert values["retention.ms"].config_source == OF_TOPIC
        assert values["max.message.bytes"].config_source == STATIC
        assert values["retention.bytes"].config_source == DEFAULT
        synonyms = _synonyms(found)
        assert synonyms["retention.ms"] == [("retention.ms", "5", OF_TOPIC)]
        assert synonyms["flush.ms"] == []  # the broker's own is in other units, as in Kafka
        assert synonyms["retention.bytes"] == [("log.retention.bytes", "-1", DEFAULT)]
        assert synonyms["max.message.bytes"] == [
            ("message.max.bytes", "123456", STATIC),
            ("message.max.bytes", "10551296", DEFAULT),
        ]
        assert synonyms["remote.storage.enable"] == []
        if version >= 3:
            assert values["retention.ms"].config_type == 5

    body()


@virtual
async def test_only_what_is_asked_for() -> None:
    _, client = await started()
    await client.create("t")
    found = await _described(client, TOPIC, "t", keys=["retention.ms", "no.such"])
    assert [c.name for c in found.configs] == ["retention.ms"]
    assert found.configs[0].synonyms == []
    assert found.configs[0].documentation is None
    everything = await _described(client, TOPIC, "t")
    assert len(everything.configs) > 10
    # None at all means all, as in Kafka.
    assert (await _described(client, TOPIC, "t", keys=[])).configs == everything.configs


@virtual
async def test_what_each_setting_is_for_is_told_to_who_asks() -> None:
    _, client = await started()
    await client.create("t")
    for kind, name in ((TOPIC, "t"), (BROKER, "1"), (GROUP, "g")):
        found = await _described(client, kind, name, include_documentation=True)
        assert found.configs
        assert all(c.documentation.endswith(".") for c in found.configs)
    found = await _described(client, BROKER_LOGGER, "1", include_documentation=True)
    assert {c.documentation for c in found.configs} == {""}  # as in Kafka


@virtual
async def test_a_broker_shows_what_it_was_started_with() -> None:
    _, client = await started(default_partitions_count=7)
    found = await _described(client, BROKER, "1", include_synonyms=True)
    values = {c.name: c for c in found.configs}
    assert set(values) == set(BROKER_SETTINGS)
    partitions = values["num.partitions"]
    assert (partitions.value, partitions.config_source, partitions.read_only) == ("7", STATIC, True)
    assert _synonyms(found)["num.partitions"] == [
        ("num.partitions", "7", STATIC),
        ("num.partitions", "1", DEFAULT),
    ]
    assert not values["log.retention.ms"].read_only
    assert values["log.retention.ms"].value is None
    assert values["log.retention.hours"].value == "168"
    assert values["log.retention.hours"].read_only
    assert values["inter.broker.protocol.version"].value == "3.9-IV0"
    assert (values["node.id"].value, values["node.id"].config_source) == ("1", STATIC)


@virtual
async def test_under_no_name_stands_what_is_set_for_all_brokers() -> None:
    world, client = await started()
    assert (await _described(client, BROKER, "")).configs == []
    await world.gateway.broker.configure("broker", "", {"log.retention.ms": "7"})
    await world.gateway.broker.configure("broker", "1", {"log.retention.bytes": "9"})
    (found,) = (await _described(client, BROKER, "", include_synonyms=True)).configs
    assert (found.name, found.value, found.config_source) == ("log.retention.ms", "7", FOR_ALL)
    assert [(s.value, s.source) for s in found.synonyms] == [("7", FOR_ALL)]
    await client.create("t")
    topic = await _described(client, TOPIC, "t", include_synonyms=True)
    values = {c.name: (c.value, c.config_source) for c in topic.configs}
    assert values["retention.ms"] == ("7", FOR_ALL)
    assert values["retention.bytes"] == ("9", DYNAMIC)
    assert _synonyms(topic)["retention.ms"] == [
        ("log.retention.ms", "7", FOR_ALL),
        ("log.retention.hours", "168", DEFAULT),
    ]


@virtual
async def test_loggers_show_their_levels() -> None:
    _, client = await started()
    found = await _described(client, BROKER_LOGGER, "1")
    levels = {c.name: c.value for c in found.configs}
    assert {"root", "gateway.net.connection"} <= set(levels)
    assert {c.config_source for c in found.configs} == {OF_LOGGER}
    assert set(levels.values()) <= {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}


@virtual
async def test_groups_show_what_is_set_and_client_metrics_are_none() -> None:
    world, client = await started()
    await world.gateway.broker.configure("group", "g", {"consumer.session.timeout.ms": "50000"})
    found = await _described(client, GROUP, "g", include_synonyms=True)
    assert {c.name for c in found.configs} == set(GROUP_SETTINGS)
    assert _synonyms(found)["consumer.session.timeout.ms"] == [
        ("consumer.session.timeout.ms", "50000", OF_GROUP),
        ("group.consumer.session.timeout.ms", "45000", DEFAULT),
    ]
    other = await _described(client, GROUP, "other")
    assert {c.config_source for c in other.configs} == {DEFAULT}
    found = await _described(client, CLIENT_METRICS, "m")
    assert (found.error_code, found.configs) == (0, [])


@virtual
async def test_what_is_not_there_is_refused_with_a_reason() -> None:
    _, client = await started()
    for kind, name, code in (
        (TOPIC, "none", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (TOPIC, "a b", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (BROKER, "2", ErrorCode.INVALID_REQUEST),
        (BROKER, "x", ErrorCode.INVALID_REQUEST),
        (BROKER, "9" * 5_000, ErrorCode.INVALID_REQUEST),
        (BROKER_LOGGER, "", ErrorCode.INVALID_REQUEST),
        (BROKER_LOGGER, "2", ErrorCode.INVALID_REQUEST),
        (CLIENT_METRICS, "", ErrorCode.INVALID_REQUEST),
        (GROUP, "", ErrorCode.INVALID_REQUEST),
        (-1, "", ErrorCode.INVALID_REQUEST),
        (1, "x", ErrorCode.INVALID_REQUEST),
    ):
        found = await _described(client, kind, name)
        assert (kind, found.error_code, found.configs) == (kind, code, [])
        assert found.error_message
        assert len(found.error_message) < 300


@virtual
async def test_everything_that_has_settings_is_listed() -> None:
    world, client = await started()
    await client.create("a", "b")
    await world.gateway.broker.configure("group", "g", {"consumer.session.timeout.ms": "50000"})

    async def listed(version: int, *kinds: int) -> Any:
        body = ListConfigResourcesRequest(resource_types=list(kinds))
        reply = await client.call(ApiKey.LIST_CONFIG_RESOURCES, version, body)
        rows = [(r.resource_type, r.resource_name) for r in reply.config_resources]
        return reply.error_code, sorted(rows)

    brokers = [(BROKER, "1"), (BROKER_LOGGER, "1")]
    topics, groups = [(TOPIC, "a"), (TOPIC, "b")], [(GROUP, "g")]
    assert await listed(1) == (0, [*topics, *brokers, *groups])
    assert await listed(1, GROUP, TOPIC, GROUP) == (0, [*topics, *groups])
    assert await listed(1, CLIENT_METRICS) == (0, [])
    assert await listed(1, 64) == (ErrorCode.UNSUPPORTED_VERSION, [])
    assert await listed(0) == (0, [])
