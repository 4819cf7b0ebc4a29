"""DescribeConfigs through the codec."""

from typing import Any

import pytest

from gateway.broker.topic_configs import SETTINGS
from gateway.tests.harness import Client, started, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from protocol.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource

TOPIC, BROKER, BROKER_LOGGER = 2, 4, 8


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


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_topics_settings_say_where_they_come_from(version: int) -> None:
    @virtual
    async def body() -> None:
        _, client = await started(message_bytes_max=123_456)
        configs = [CreatableTopicConfig(name="retention.ms", value="5")]
        topic = CreatableTopic(name="t", num_partitions=1, replication_factor=1, configs=configs)
        await client.call(ApiKey.CREATE_TOPICS, 7, CreateTopicsRequest(topics=[topic]))
        found = await _described(client, TOPIC, "t", version=version, include_synonyms=True)
        assert found.error_code == 0
        values = {c.name: c for c in found.configs}
        assert set(values) == set(SETTINGS)
        assert (values["retention.ms"].value, values["retention.ms"].config_source) == ("5", 1)
        assert (values["max.message.bytes"].value, values["max.message.bytes"].config_source) == (
            "123456",
            5,
        )
        assert values["leader.replication.throttled.replicas"].value == ""
        synonyms = {
            name: [(s.name, s.value, s.source) for s in value.synonyms]
            for name, value in values.items()
        }
        assert synonyms["retention.ms"] == [
            ("retention.ms", "5", 1),
            ("log.retention.ms", "604800000", 5),
        ]
        assert synonyms["flush.ms"] == [("log.flush.interval.ms", str(2**63 - 1), 5)]
        assert synonyms["max.message.bytes"] == [("message.max.bytes", "123456", 5)]
        assert synonyms["remote.storage.enable"] == []
        assert not values["retention.ms"].is_sensitive
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
    everything = await _described(client, TOPIC, "t")
    assert len(everything.configs) > 10
    # None at all means all, as in Kafka.
    assert (await _described(client, TOPIC, "t", keys=[])).configs == everything.configs


@virtual
async def test_the_broker_under_its_id_and_under_none() -> None:
    _, client = await started(default_partitions_count=7)
    for name in ("1", ""):
        found = await _described(client, BROKER, name)
        values = {c.name: c.value for c in found.configs}
        assert values["num.partitions"] == "7"
        assert all(c.read_only for c in found.configs)


@virtual
async def test_what_is_not_there_is_refused_with_a_reason() -> None:
    _, client = await started()
    for kind, name, code in (
        (TOPIC, "none", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (BROKER, "2", ErrorCode.INVALID_REQUEST),
        (BROKER, "x", ErrorCode.INVALID_REQUEST),
        (BROKER_LOGGER, "1", ErrorCode.INVALID_REQUEST),
        (-1, "", ErrorCode.INVALID_REQUEST),
    ):
        found = await _described(client, kind, name)
        assert (found.error_code, found.configs) == (code, [])
        assert found.error_message
