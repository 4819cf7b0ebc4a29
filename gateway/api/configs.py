"""DescribeConfigs (32), versions 1-4: topics and this broker.

v3 adds type and documentation. Synonyms (KIP-226) are, as in Kafka, the topic's own value if one is
set, then the broker's setting it falls back to, under its own name. The broker's settings are those
that clients look for, under Kafka's names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gateway.api.call import Call
from gateway.broker.topic_configs import (
    BOOLEAN,
    INT,
    LONG,
    SETTINGS,
    STRING,
    broker_name,
    default_value,
)
from gateway.fairness.slices import Slices
from protocol import ErrorCode
from protocol.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)

# ConfigResource.Type and ConfigSource as Kafka numbers them.
TOPIC, BROKER = 2, 4
SOURCE_TOPIC, SOURCE_STATIC_BROKER, SOURCE_DEFAULT = 1, 4, 5
# kafka-ui and its kin take a broker without it for version 1.0 and hide features.
KAFKA_VERSION_SHOWN = "3.9"


class _Value(NamedTuple):
    name: str
    value: str
    type: int
    source: int
    read_only: bool
    fallback: tuple[str, str] | None = None  # the broker's setting that holds without one: value


async def describe_configs(request: DescribeConfigsRequest, call: Call) -> DescribeConfigsResponse:
    results = []
    seen: set[tuple[int, str]] = set()  # each once: an answer is a hundred times what asks for it
    slices = Slices()
    for resource in request.resources:
        if slices.is_over:
            await slices.pause()
        named = (resource.resource_type, resource.resource_name)
        if named not in seen:
            seen.add(named)
            results.append(_describe(resource, request, call))
    return DescribeConfigsResponse(results=results)


def describe_configs_weight(request: DescribeConfigsRequest, call: Call) -> int:
    """Settings that the answer will show, about."""
    return len(request.resources) * len(SETTINGS)


def _describe(
    resource: DescribeConfigsResource, request: DescribeConfigsRequest, call: Call
) -> DescribeConfigsResult:
    result = DescribeConfigsResult(
        resource_type=resource.resource_type, resource_name=resource.resource_name, configs=[]
    )
    values: Iterable[_Value]
    if resource.resource_type == TOPIC:
        topic = call.broker.topics.named(resource.resource_name)
        if topic is None:
            result.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            result.error_message = f"there is no topic {resource.resource_name!r}"
            return result
        values = _topic_values(topic.configs, call.broker.limits.message_bytes_max)
    elif resource.resource_type == BROKER:
        own_id = str(call.broker.node.node_id)
        if resource.resource_name not in ("", own_id):
            result.error_code = ErrorCode.INVALID_REQUEST
            result.error_message = f"this is broker {own_id}, not {resource.resource_name!r}"
            return result
        values = _broker_values(call)
    else:
        result.error_code = ErrorCode.INVALID_REQUEST
        result.error_message = (
            f"only topics ({TOPIC}) and brokers ({BROKER}) have settings here, "
            f"not resource type {resource.resource_type}"
        )
        return result
    wanted = set(resource.configuration_keys or ())  # none: all, as in Kafka
    result.configs = [
        _answer(value, request.include_synonyms)
        for value in values
        if not wanted or value.name in wanted
    ]
    return result


def _answer(value: _Value, with_synonyms: bool) -> DescribeConfigsResourceResult:
    synonyms = []
    if value.source in (SOURCE_TOPIC, SOURCE_STATIC_BROKER):
        own = DescribeConfigsSynonym(name=value.name, value=value.value, source=value.source)
        synonyms.append(own)
    if value.fallback is not None:
        name, default = value.fallback
        synonyms.append(DescribeConfigsSynonym(name=name, value=default, source=SOURCE_DEFAULT))
    return DescribeConfigsResourceResult(
        name=value.name,
        value=value.value,
        read_only=value.read_only,
        config_source=value.source,
        config_type=value.type,
        synonyms=synonyms if with_synonyms else [],
        documentation=None,
    )


def _topic_values(configs: dict[str, str], message_bytes_max: int) -> Iterable[_Value]:
    for name, setting in SETTINGS.items():
        default = default_value(name, message_bytes_max)
        of_broker = broker_name(name)
        fallback = None if of_broker is None else (of_broker, default)
        if name in configs:
            yield _Value(name, configs[name], setting.type, SOURCE_TOPIC, False, fallback)
        else:
            yield _Value(name, default, setting.type, SOURCE_DEFAULT, False, fallback)


def _broker_values(call: Call) -> Iterable[_Value]:
    config, broker = call.services.config, call.broker
    shown = (
        ("advertised.listeners", f"PLAINTEXT://{broker.node.host}:{broker.node.port}", STRING),
        ("auto.create.topics.enable", str(config.auto_create_topics).lower(), BOOLEAN),
        ("broker.id", str(broker.node.node_id), INT),
        ("default.replication.factor", "1", INT),
        ("delete.topic.enable", "true", BOOLEAN),
        ("fetch.max.bytes", str(config.fetch_bytes_max), INT),
        ("group.initial.rebalance.delay.ms", str(config.group_initial_rebalance_delay_ms), INT),
        ("group.max.session.timeout.ms", str(config.group_session_timeout_max_ms), INT),
        ("group.min.session.timeout.ms", str(config.group_session_timeout_min_ms), INT),
        ("inter.broker.protocol.version", KAFKA_VERSION_SHOWN, STRING),
        ("log.message.timestamp.type", "CreateTime", STRING),
        ("log.retention.bytes", "-1", LONG),
        ("log.retention.ms", SETTINGS["retention.ms"].default, LONG),
        ("message.max.bytes", str(config.message_bytes_max), INT),
        ("min.insync.replicas", "1", INT),
        ("node.id", str(broker.node.node_id), INT),
        ("num.partitions", str(config.default_partitions_count), INT),
        ("offset.metadata.max.bytes", str(config.offset_metadata_bytes_max), INT),
        ("offsets.topic.num.partitions", str(config.offsets_partitions_count), INT),
        ("socket.request.max.bytes", str(config.request_bytes_max), INT),
    )
    for name, value, kind in shown:
        yield _Value(name, value, kind, SOURCE_STATIC_BROKER, read_only=True)


def describe_configs_error(
    request: DescribeConfigsRequest, code: ErrorCode
) -> DescribeConfigsResponse:
    return DescribeConfigsResponse(
        results=[
            DescribeConfigsResult(
                error_code=code, resource_type=r.resource_type, resource_name=r.resource_name
            )
            for r in request.resources
        ]
    )
