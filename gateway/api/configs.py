"""DescribeConfigs (32), versions 0-4: topics, brokers, their loggers (KIP-412), groups (KIP-848),
and client metrics, of which there are none; ListConfigResources (74), versions 0-1.

v0 says only whether a value is the default; v1 where it comes from, and its synonyms (KIP-226), if
asked; v3 types and, if asked, sentences (KIP-569). No names mean all names, as null does. Without a
name a broker's settings are those set for all brokers. As in Kafka 3.9's ConfigHelper.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from gateway.api.call import Call, error_code
from gateway.broker.broker_configs import (
    BROKER_SETTINGS,
    Source,
    static_values,
    synonyms_of,
)
from gateway.broker.errors import BrokerError
from gateway.broker.group_configs import GROUP_SETTINGS, of_all_groups
from gateway.broker.setting_types import UNKNOWN, Setting
from gateway.broker.stored_configs import ALL_BROKERS
from gateway.broker.topic_configs import SETTINGS, broker_name
from gateway.broker.topics import Topic
from gateway.fairness.slices import Slices
from gateway.observe.levels import levels
from protocol import ErrorCode
from protocol.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)
from protocol.messages.list_config_resources import (
    ConfigResource,
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
)

FIRST_VERSION_WITH_TYPES = 1


class Kind(IntEnum):
    """ConfigResource.Type: what has settings. Persistent on the wire, never renumber."""

    TOPIC = 2
    BROKER = 4
    BROKER_LOGGER = 8
    CLIENT_METRICS = 16
    GROUP = 32


KINDS_KNOWN = ", ".join(f"{kind.value} ({kind.name})" for kind in Kind)


class _Value(NamedTuple):
    """One row."""

    name: str
    value: str | None
    setting: Setting
    synonyms: Sequence[DescribeConfigsSynonym]
    read_only: bool = False
    # None: of the first synonym, else that it is the default.
    source: Source | None = None


class _Brokers:
    """Where values of this broker come from, the strongest first."""

    def __init__(self, call: Call) -> None:
        configs, node = call.broker.configs, call.broker.node
        self._layers: tuple[tuple[Source, Mapping[str, str]], ...] = (
            (Source.DYNAMIC_BROKER, configs.of("broker", str(node.node_id))),
            (Source.DYNAMIC_DEFAULT_BROKER, configs.of("broker", ALL_BROKERS)),
            (Source.STATIC_BROKER, static_values(call.services.config, node)),
            (Source.DEFAULT, _DEFAULTS),
        )

    def synonyms(self, name: str) -> list[DescribeConfigsSynonym]:
        """All values that there are for a setting; none if it has none under its own name."""
        found = [
            DescribeConfigsSynonym(name=each, value=values[each], source=source.value)
            for source, values in self._layers
            for each in synonyms_of(name)
            if each in values
        ]
        while found and found[0].name != name:
            del found[0]
        return found

    def values(self) -> Iterator[_Value]:
        for name, row in BROKER_SETTINGS.items():
            synonyms = self.synonyms(name)
            value = synonyms[0].value if synonyms else None
            yield _Value(name, value, row.setting, synonyms, read_only=not row.is_dynamic)

    def values_for_all(self) -> Iterator[_Value]:
        source, values = self._layers[1]
        for name, value in values.items():
            row = BROKER_SETTINGS.get(name)
            if row is not None:
                own = DescribeConfigsSynonym(name=name, value=value, source=source.value)
                yield _Value(name, value, row.setting, [own])


_DEFAULTS: Mapping[str, str] = {
    name: row.default for name, row in BROKER_SETTINGS.items() if row.default is not None
}


async def describe_configs(request: DescribeConfigsRequest, call: Call) -> DescribeConfigsResponse:
    results = []
    seen: set[tuple[int, str]] = set()  # each once: an answer is a hundred times what asks for it
    slices = Slices()
    brokers = _Brokers(call)
    for resource in request.resources:
        if slices.is_over:
            await slices.pause()
        named = (resource.resource_type, resource.resource_name)
        if named not in seen:
            seen.add(named)
            results.append(_described(resource, request, brokers, call))
    return DescribeConfigsResponse(results=results)


def describe_configs_weight(request: DescribeConfigsRequest, call: Call) -> int:
    """Settings that the answer will show, about."""
    return len(request.resources) * len(BROKER_SETTINGS)


def _described(
    resource: DescribeConfigsResource,
    request: DescribeConfigsRequest,
    brokers: _Brokers,
    call: Call,
) -> DescribeConfigsResult:
    result = DescribeConfigsResult(
        resource_type=resource.resource_type, resource_name=resource.resource_name, configs=[]
    )
    try:
        values = _values(resource, brokers, call)
        wanted = frozenset(resource.configuration_keys or ())
        result.configs = [
            _row(value, request) for value in values if not wanted or value.name in wanted
        ]
    except BrokerError as error:
        result.error_code = error_code(error)
        result.error_message = str(error)
    return result


def _values(resource: DescribeConfigsResource, brokers: _Brokers, call: Call) -> Iterable[_Value]:
    """Raises BrokerError for what is not there."""
    name = resource.resource_name
    match resource.resource_type:
        case Kind.TOPIC:
            call.broker.creations.check_name(name)
            topic = call.broker.topics.named(name)
            if topic is None:
                raise BrokerError(
                    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"there is no topic {name!r}"
                )
            return _topic_values(topic, brokers)
        case Kind.BROKER if not name:
            return brokers.values_for_all()
        case Kind.BROKER:
            check_broker_id(name, call)
            return brokers.values()
        case Kind.BROKER_LOGGER:
            check_broker_id(name, call)
            return _logger_values()
        case Kind.CLIENT_METRICS | Kind.GROUP if not name:
            raise BrokerError(ErrorCode.INVALID_REQUEST, "expected a name, got none")
        case Kind.CLIENT_METRICS:
            return ()
        case Kind.GROUP:
            return _group_values(call.broker.configs.of("group", name))
    raise BrokerError(
        ErrorCode.INVALID_REQUEST,
        f"resource type {resource.resource_type} is not known; known are {KINDS_KNOWN}",
    )


def check_broker_id(name: str, call: Call) -> None:
    """Raise INVALID_REQUEST for what is not the id of this broker."""
    own_id = call.broker.node.node_id
    if not name.isascii() or not name.isdecimal():
        raise BrokerError(
            ErrorCode.INVALID_REQUEST, f"expected the id of a broker, a number, got {name[:60]!r}"
        )
    if call.is_forwarded and call.broker.cluster.node(int(name[:20])) is not None:
        return  # for whom it was sent has sent it on
    if int(name[:20]) != own_id:
        raise BrokerError(
            ErrorCode.INVALID_REQUEST, f"unexpected broker id: this is {own_id}, not {name[:20]}"
        )


def _topic_values(topic: Topic, brokers: _Brokers) -> Iterator[_Value]:
    for name, setting in SETTINGS.items():
        of_broker = broker_name(name)
        synonyms = [] if of_broker is None else brokers.synonyms(of_broker)
        value = topic.config(name)
        if name in topic.configs:
            value = setting.understood(topic.configs[name])
            source = Source.TOPIC.value
            synonyms.insert(0, DescribeConfigsSynonym(name=name, value=value, source=source))
        yield _Value(name, value, setting, synonyms)


def _group_values(configs: Mapping[str, str]) -> Iterator[_Value]:
    for name, setting in GROUP_SETTINGS.items():
        own = configs.get(name)
        layers = (
            (name, own and setting.understood(own), Source.GROUP),
            (of_all_groups(name), setting.default, Source.DEFAULT),
        )
        synonyms = [
            DescribeConfigsSynonym(name=each, value=value, source=source.value)
            for each, value, source in layers
            if value is not None
        ]
        yield _Value(name, synonyms[0].value, setting, synonyms)


_LOGGER = Setting(UNKNOWN, None)  # as Kafka describes them


def _logger_values() -> Iterator[_Value]:
    for name, level in levels():
        yield _Value(name, level, _LOGGER, (), source=Source.DYNAMIC_BROKER_LOGGER)


def _row(value: _Value, request: DescribeConfigsRequest) -> DescribeConfigsResourceResult:
    doc = value.setting.doc
    source = value.synonyms[0].source if value.synonyms else Source.DEFAULT.value
    if value.source is not None:
        source = value.source.value
    return DescribeConfigsResourceResult(
        name=value.name,
        value=value.value,
        read_only=value.read_only,
        config_source=source,
        is_default=source == Source.DEFAULT.value,
        config_type=value.setting.type,
        synonyms=list(value.synonyms) if request.include_synonyms else [],
        documentation=doc if request.include_documentation or not doc else None,
    )


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


async def list_config_resources(
    request: ListConfigResourcesRequest, call: Call
) -> ListConfigResourcesResponse:
    """Before types were asked for, it listed what client metrics are subscribed to (KIP-714)."""
    if call.version < FIRST_VERSION_WITH_TYPES:
        return ListConfigResourcesResponse()
    found = []
    slices = Slices()
    for number in dict.fromkeys(request.resource_types or Kind):
        if number not in frozenset(Kind):
            return list_config_resources_error(request, ErrorCode.UNSUPPORTED_VERSION)
        for name in _named(Kind(number), call):
            found.append(ConfigResource(resource_name=name, resource_type=number))
            if slices.is_over:
                await slices.pause()
    return ListConfigResourcesResponse(config_resources=found)


def _named(kind: Kind, call: Call) -> list[str]:
    """What there is of a kind."""
    match kind:
        case Kind.TOPIC:
            return [topic.name for topic in call.broker.topics]
        case Kind.BROKER | Kind.BROKER_LOGGER:
            return [str(call.broker.node.node_id)]
        case Kind.GROUP:
            return list(call.broker.configs.names("group"))
        case Kind.CLIENT_METRICS:
            return []


def list_config_resources_weight(request: ListConfigResourcesRequest, call: Call) -> int:
    """Names that the answer will have, about."""
    return len(call.broker.topics)


def list_config_resources_error(
    request: ListConfigResourcesRequest, code: ErrorCode
) -> ListConfigResourcesResponse:
    return ListConfigResourcesResponse(error_code=code)
