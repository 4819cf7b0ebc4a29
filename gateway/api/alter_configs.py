"""AlterConfigs (33), versions 0-2, and IncrementalAlterConfigs (44), versions 0-1: of topics,
brokers, groups and loggers.

KIP-133 replaces all that is set on a resource, KIP-339 sets, unsets, appends to and subtracts from
lists. Each resource changes as a whole or not at all, in one record of the log. Levels of loggers
(KIP-412) hold at once and until the process ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from gateway.api.call import Call, Outcome, outcomes_of
from gateway.api.configs import KINDS_KNOWN, Kind, check_broker_id
from gateway.broker.broker_configs import broker_problem, setting_of_broker
from gateway.broker.errors import BrokerError
from gateway.broker.group_configs import GROUP_SETTINGS, group_problem
from gateway.broker.setting_types import LIST, Setting, items_of, shown
from gateway.broker.stored_configs import ALL_BROKERS
from gateway.broker.topic_configs import SETTINGS, config_problem
from gateway.broker.waiting import STORAGE_TIMEOUT_S
from gateway.observe.levels import LEVELS, ROOT, exists, set_level, unset_level
from gateway.observe.logger import log_event
from protocol import ErrorCode
from protocol.messages.alter_configs import (
    AlterConfigsRequest,
    AlterConfigsResourceResponse,
    AlterConfigsResponse,
)
from protocol.messages.incremental_alter_configs import (
    AlterableConfig as AlterableStep,
)
from protocol.messages.incremental_alter_configs import (
    AlterConfigsResourceResponse as IncrementalResourceResponse,
)
from protocol.messages.incremental_alter_configs import (
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)

logger = logging.getLogger(__name__)

SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3  # AlterConfigOp.OpType


def is_stored(request: AlterConfigsRequest | IncrementalAlterConfigsRequest) -> bool:
    """Whether it is about what the catalog keeps; levels of loggers are a process's own."""
    return all(resource.resource_type != Kind.BROKER_LOGGER for resource in request.resources)


class _Resource(Protocol):
    resource_type: int
    resource_name: str


class _Change(NamedTuple):
    """What is asked of one resource: steps, or all that is to be set on it."""

    resource: _Resource
    names: Sequence[str]
    whole: Mapping[str, str | None]
    steps: Sequence[AlterableStep] | None = None


async def alter_configs(request: AlterConfigsRequest, call: Call) -> AlterConfigsResponse:
    changes = []
    for resource in request.resources:
        names = [config.name for config in resource.configs]
        whole = {config.name: config.value for config in resource.configs}
        changes.append(_Change(resource, names, whole))
    outcomes = await _alter(changes, request.validate_only, call)
    return AlterConfigsResponse(
        responses=[
            AlterConfigsResourceResponse(
                error_code=outcome.code,
                error_message=outcome.message,
                resource_type=change.resource.resource_type,
                resource_name=change.resource.resource_name,
            )
            for change, outcome in zip(changes, outcomes, strict=True)
        ]
    )


async def incremental_alter_configs(
    request: IncrementalAlterConfigsRequest, call: Call
) -> IncrementalAlterConfigsResponse:
    changes = []
    for resource in request.resources:
        names = [config.name for config in resource.configs]
        changes.append(_Change(resource, names, {}, resource.configs))
    outcomes = await _alter(changes, request.validate_only, call)
    return IncrementalAlterConfigsResponse(
        responses=[
            IncrementalResourceResponse(
                error_code=outcome.code,
                error_message=outcome.message,
                resource_type=change.resource.resource_type,
                resource_name=change.resource.resource_name,
            )
            for change, outcome in zip(changes, outcomes, strict=True)
        ]
    )


async def _alter(changes: list[_Change], validate_only: bool, call: Call) -> list[Outcome]:
    counts = Counter((c.resource.resource_type, c.resource.resource_name) for c in changes)

    def begin(change: _Change) -> asyncio.Future[None] | None:
        resource = change.resource
        is_repeated = counts[resource.resource_type, resource.resource_name] > 1
        return _begin(change, is_repeated, validate_only, call)

    return await outcomes_of((partial(begin, each) for each in changes), STORAGE_TIMEOUT_S)


def _begin(
    change: _Change, is_repeated: bool, validate_only: bool, call: Call
) -> asyncio.Future[None] | None:
    """What is to be waited for. Raises BrokerError."""
    kind = change.resource.resource_type
    _check_names(change, is_repeated)
    alter = _ALTER.get(kind)
    if alter is None:
        raise BrokerError(
            ErrorCode.INVALID_REQUEST,
            f"resource type {kind} is not known; known are {KINDS_KNOWN}",
        )
    return alter(change, validate_only, call)


def _check_names(change: _Change, is_repeated: bool) -> None:
    if is_repeated:
        raise BrokerError(
            ErrorCode.INVALID_REQUEST,
            f"{change.resource.resource_name!r} is named twice in the request",
        )
    repeated = [name for name, count in Counter(change.names).items() if count > 1]
    if repeated:
        raise BrokerError(ErrorCode.INVALID_REQUEST, f"{repeated[0]} is given twice")


def _topic(change: _Change, validate_only: bool, call: Call) -> asyncio.Future[None] | None:
    name = change.resource.resource_name
    if not name:
        raise BrokerError(ErrorCode.INVALID_REQUEST, "settings for all topics are the broker's")
    call.broker.creations.check_name(name)
    topic = call.broker.topics.named(name)
    if topic is None:
        raise BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"there is no topic {name!r}")
    wanted = _wanted(change, topic.configs, SETTINGS.get)
    problem = config_problem(wanted)
    if problem is not None:
        raise BrokerError(ErrorCode.INVALID_CONFIG, problem)
    return None if validate_only else call.broker.change_configs(topic, wanted)


def _broker(change: _Change, validate_only: bool, call: Call) -> asyncio.Future[None] | None:
    name = change.resource.resource_name
    if name != ALL_BROKERS:
        check_broker_id(name, call)
    had = call.broker.configs.of("broker", name)
    wanted = _wanted(change, had, setting_of_broker)
    for setting, value in wanted.items():
        if had.get(setting) != value:
            problem = broker_problem(setting, value, call.services.config)
            if problem is not None:  # INVALID_REQUEST, as Kafka's ConfigAdminManager has it
                raise BrokerError(ErrorCode.INVALID_REQUEST, problem)
    return None if validate_only else call.broker.configure("broker", name, wanted)


def _group(change: _Change, validate_only: bool, call: Call) -> asyncio.Future[None] | None:
    name = change.resource.resource_name
    id_bytes_max = call.services.config.group_id_bytes_max
    if not 1 <= len(name.encode()) <= id_bytes_max:
        raise BrokerError(
            ErrorCode.INVALID_REQUEST,
            f"expected the id of a group, 1 to {id_bytes_max} bytes, got {len(name.encode())}",
        )
    wanted = _wanted(change, call.broker.configs.of("group", name), GROUP_SETTINGS.get)
    problem = group_problem(wanted)
    if problem is not None:
        raise BrokerError(ErrorCode.INVALID_CONFIG, problem)
    return None if validate_only else call.broker.configure("group", name, wanted)


def _loggers(change: _Change, validate_only: bool, call: Call) -> None:
    """All steps of a request, or none of them."""
    if change.steps is None:
        raise BrokerError(
            ErrorCode.INVALID_REQUEST,
            "levels of loggers are changed one by one: use IncrementalAlterConfigs",
        )
    check_broker_id(change.resource.resource_name, call)
    for step in change.steps:
        _check_level(step)
    for step in change.steps if not validate_only else ():
        if step.config_operation == DELETE:
            unset_level(step.name)
        else:
            assert step.value is not None
            set_level(step.name, step.value)
        level = step.value if step.config_operation == SET else "that of the one above"
        log_event(logger, logging.INFO, "log level changed", changed=step.name, to=level)


def _check_level(step: AlterableStep) -> None:
    if step.config_operation not in (SET, DELETE):
        raise BrokerError(
            ErrorCode.INVALID_REQUEST,
            f"levels of loggers are set ({SET}) or deleted ({DELETE}), not {step.config_operation}",
        )
    if not exists(step.name):
        raise BrokerError(ErrorCode.INVALID_CONFIG, f"there is no logger {shown(step.name)}")
    if step.config_operation == DELETE and step.name == ROOT:
        raise BrokerError(ErrorCode.INVALID_REQUEST, f"the {ROOT} logger has a level of its own")
    if step.config_operation == SET and step.value is None:
        raise BrokerError(ErrorCode.INVALID_REQUEST, f"no value is given for {step.name}")
    if step.config_operation == SET and step.value not in LEVELS:
        raise BrokerError(
            ErrorCode.INVALID_CONFIG,
            f"expected one of {', '.join(LEVELS)} for {step.name}, got {shown(step.value or '')}",
        )


def _client_metrics(change: _Change, validate_only: bool, call: Call) -> None:
    raise BrokerError(
        ErrorCode.INVALID_REQUEST,
        "clients push no metrics here (KIP-714), so none can be asked for",
    )


_Alter = Callable[[_Change, bool, Call], asyncio.Future[None] | None]
_ALTER: Mapping[int, _Alter] = {
    Kind.TOPIC: _topic,
    Kind.BROKER: _broker,
    Kind.BROKER_LOGGER: _loggers,
    Kind.CLIENT_METRICS: _client_metrics,
    Kind.GROUP: _group,
}

_Lookup = Callable[[str], Setting | None]


def _wanted(change: _Change, had: Mapping[str, str], setting_of: _Lookup) -> dict[str, str]:
    """The settings afterwards; which values they take is not checked. Raises BrokerError."""
    wanted = change.whole if change.steps is None else _after(change.steps, had, setting_of)
    missing = [name for name, value in wanted.items() if value is None]
    if missing:
        raise BrokerError(ErrorCode.INVALID_REQUEST, f"no value is given for {missing[0]}")
    return {name: value for name, value in wanted.items() if value is not None}


def _after(
    steps: Sequence[AlterableStep], had: Mapping[str, str], setting_of: _Lookup
) -> dict[str, str | None]:
    """`had` after every step. Raises BrokerError."""
    configs: dict[str, str | None] = dict(had)
    for step in steps:
        if step.config_operation == DELETE:
            configs.pop(step.name, None)
        elif step.config_operation == SET or step.value is None:
            configs[step.name] = step.value
        elif step.config_operation in (APPEND, SUBTRACT):
            setting = setting_of(step.name)
            configs[step.name] = _list_changed(configs.get(step.name), step, setting)
        else:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST,
                f"operation {step.config_operation} on {step.name} is not known",
            )
    return configs


def _list_changed(had: str | None, step: AlterableStep, setting: Setting | None) -> str:
    if setting is None or setting.type != LIST:
        raise BrokerError(
            ErrorCode.INVALID_CONFIG,
            f"nothing can be appended to or subtracted from {step.name}: it is not a list",
        )
    assert step.value is not None
    items = dict.fromkeys(items_of((setting.default or "") if had is None else had))
    for item in items_of(step.value):
        if step.config_operation == SUBTRACT:
            items.pop(item, None)
        else:
            items[item] = None
    return ",".join(items)


def alter_configs_error(request: AlterConfigsRequest, code: ErrorCode) -> AlterConfigsResponse:
    return AlterConfigsResponse(
        responses=[
            AlterConfigsResourceResponse(
                error_code=code, resource_type=r.resource_type, resource_name=r.resource_name
            )
            for r in request.resources
        ]
    )


def incremental_alter_configs_error(
    request: IncrementalAlterConfigsRequest, code: ErrorCode
) -> IncrementalAlterConfigsResponse:
    return IncrementalAlterConfigsResponse(
        responses=[
            IncrementalResourceResponse(
                error_code=code, resource_type=r.resource_type, resource_name=r.resource_name
            )
            for r in request.resources
        ]
    )
