"""AlterConfigs (33), versions 0-2, and IncrementalAlterConfigs (44), versions 0-1: of topics.

KIP-133 replaces all that is set on a topic, KIP-339 sets, unsets, appends to and subtracts from
lists. Each topic changes as a whole or not at all, in one record of the log. The broker's own
settings are those it was started with.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple, Protocol

from gateway.api.call import Call, error_code, failure_of
from gateway.broker.broker import STORAGE_TIMEOUT_S
from gateway.broker.errors import BrokerError
from gateway.broker.topic_configs import LIST, SETTINGS, config_problem
from gateway.broker.waiting import wait_confirmed
from gateway.fairness.slices import Slices
from protocol import ErrorCode
from protocol.messages.alter_configs import (
    AlterableConfig,
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

TOPIC = 2  # ConfigResource.Type
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3  # AlterConfigOp.OpType


class _Resource(Protocol):
    resource_type: int
    resource_name: str


class _Change(NamedTuple):
    """What is asked of one resource: from the settings it has, those it is to have."""

    resource: _Resource
    names: list[str]
    apply: Callable[[Mapping[str, str]], Mapping[str, str | None]]


class _Outcome(NamedTuple):
    code: ErrorCode = ErrorCode.NONE
    message: str | None = None


async def alter_configs(request: AlterConfigsRequest, call: Call) -> AlterConfigsResponse:
    changes = []
    for resource in request.resources:
        names = [config.name for config in resource.configs]
        changes.append(_Change(resource, names, partial(_all, resource.configs)))
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
        changes.append(_Change(resource, names, partial(_steps, resource.configs)))
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


async def _alter(changes: list[_Change], validate_only: bool, call: Call) -> list[_Outcome]:
    """All are begun, then waited for together, so that all of a request share a write."""
    counts = Counter((c.resource.resource_type, c.resource.resource_name) for c in changes)
    begun: list[_Outcome | asyncio.Future[None]] = []
    slices = Slices()
    for change in changes:
        if slices.is_over:
            await slices.pause()
        resource = (change.resource.resource_type, change.resource.resource_name)
        begun.append(_begin(change, counts[resource] > 1, validate_only, call))
    await wait_confirmed([b for b in begun if isinstance(b, asyncio.Future)], STORAGE_TIMEOUT_S)
    return [_Outcome(*failure_of(b)) if isinstance(b, asyncio.Future) else b for b in begun]


def _begin(
    change: _Change, is_repeated: bool, validate_only: bool, call: Call
) -> _Outcome | asyncio.Future[None]:
    """The outcome, or what is to be waited for."""
    resource = change.resource
    try:
        if is_repeated:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST,
                f"{resource.resource_name!r} is named twice in the request",
            )
        if resource.resource_type != TOPIC:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST,
                "only topics have settings that can be changed while the broker runs; its own are "
                "those it was started with",
            )
        topic = call.broker.topics.named(resource.resource_name)
        if topic is None:
            raise BrokerError(
                ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
                f"there is no topic {resource.resource_name!r}",
            )
        configs = _changed(change, topic.configs)
        return _Outcome() if validate_only else call.broker.change_configs(topic, configs)
    except Exception as error:
        code = error_code(error)
        if code is ErrorCode.UNKNOWN_SERVER_ERROR:
            raise
        return _Outcome(code, str(error) or None)


def _changed(change: _Change, had: Mapping[str, str]) -> dict[str, str]:
    """The settings afterwards, checked. Raises BrokerError."""
    repeated = [name for name, count in Counter(change.names).items() if count > 1]
    if repeated:
        raise BrokerError(ErrorCode.INVALID_REQUEST, f"{repeated[0]} is given twice")
    wanted = change.apply(had)
    missing = [name for name, value in wanted.items() if value is None]
    if missing:
        raise BrokerError(ErrorCode.INVALID_REQUEST, f"no value is given for {missing[0]}")
    problem = config_problem(wanted)
    if problem is not None:
        raise BrokerError(ErrorCode.INVALID_CONFIG, problem)
    return {name: value for name, value in wanted.items() if value is not None}


def _all(wanted: list[AlterableConfig], had: Mapping[str, str]) -> dict[str, str | None]:
    """What KIP-133 means: whatever was set is forgotten."""
    return {config.name: config.value for config in wanted}


def _steps(steps: list[AlterableStep], had: Mapping[str, str]) -> dict[str, str | None]:
    """`had` after every step. Raises BrokerError."""
    configs: dict[str, str | None] = dict(had)
    for step in steps:
        if step.config_operation == DELETE:
            configs.pop(step.name, None)
        elif step.config_operation == SET or step.value is None:
            configs[step.name] = step.value
        elif step.config_operation in (APPEND, SUBTRACT):
            configs[step.name] = _list_changed(configs.get(step.name), step)
        else:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST,
                f"operation {step.config_operation} on {step.name} is not known",
            )
    return configs


def _list_changed(had: str | None, step: AlterableStep) -> str:
    setting = SETTINGS.get(step.name)
    if setting is None or setting.type != LIST:
        raise BrokerError(
            ErrorCode.INVALID_CONFIG,
            f"nothing can be appended to or subtracted from {step.name}: it is not a list",
        )
    assert step.value is not None
    items = dict.fromkeys(_items(setting.default if had is None else had))
    for item in _items(step.value):
        if step.config_operation == SUBTRACT:
            items.pop(item, None)
        else:
            items[item] = None
    return ",".join(items)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


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
