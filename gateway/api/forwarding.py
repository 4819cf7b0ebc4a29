"""What only the controller does, for clients that asked another node.

A request for the catalog goes on as it came, and the answer comes back as it is. This node answers
once it knows what the controller has written, so that the same client finds here what it made. The
controller decides: of sixteen nodes that hear of a new name at once each asks it, and it creates
the topic once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from typing import Any

from gateway.api.call import Call
from gateway.api.row import Api
from gateway.broker.broker import CATALOG_WAIT_S
from gateway.broker.topic_rules import OFFSETS_TOPIC, topic_name_problem
from gateway.broker.waiting import patience_s
from gateway.cluster.controller_line import AGAIN_S, SERVED, ControllerHere, ControllerLine
from protocol import ApiKey, ErrorCode, Message
from protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest
from protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from wal_core import Unavailable, WalError

CHANGE_S = 25.0
"""For requests without a time of their own; below the 30 s that clients wait for an answer."""
CREATION_S = 5.0
"""For a topic that comes into being by its first touch; whoever touches it asks again."""
CREATE_TOPICS_VERSION, DELETE_TOPICS_VERSION, METADATA_VERSION = 7, 6, 12
DEFAULT = -1
_ROWS = ("topics", "results", "responses", "entries")


async def answered(api: Api, request: Any, call: Call) -> Message | None:
    """By the handler here, or by the controller. Raises what either does."""
    if api.of_controller is None or not api.of_controller(request):
        return await api.handle(request, call)
    if call.broker.catalog.is_ours:
        response = await api.handle(request, call)
        # A gateway by itself has nobody to ask, and has done here what was never durable.
        if not (_is_lost(response) and _is_elsewhere(call)):
            return response
        # It finds out by this very change that another node is: which does it instead.
    return await _forward(api, request, call)


async def _forward(api: Api, request: Any, call: Call) -> Message | None:
    """Let the controller answer. Raises Unavailable and TimeoutError, which clients repeat."""
    if call.is_forwarded:
        return api.on_error(request, ErrorCode.NOT_CONTROLLER)
    asked_ms = getattr(request, "timeout_ms", None)
    timeout_s = CHANGE_S if asked_ms is None else min(CHANGE_S, patience_s(asked_ms))
    line = call.services.controller
    deadline_s = asyncio.get_running_loop().time() + timeout_s
    while True:
        left_s = deadline_s - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise TimeoutError("another node took the catalog, and is not known yet")
        try:
            reply: Message = await line.ask(
                api.key, call.version, request, left_s, is_refused=_is_refused
            )
            break
        except ControllerHere:
            if call.broker.catalog.is_ours:
                return await api.handle(request, call)
            await asyncio.sleep(AGAIN_S)
    await _caught_up(call)
    return reply


async def _caught_up(call: Call) -> None:
    """What was done is done; only that it is known here may take longer."""
    with contextlib.suppress(WalError, TimeoutError):
        await call.broker.catalog.look(CATALOG_WAIT_S)


def _is_refused(reply: Any) -> bool:
    return _codes(reply) == {ErrorCode.NOT_CONTROLLER} or _is_lost(reply)


def _is_lost(reply: Any) -> bool:
    """Nothing of it was done: the catalog's log had been fenced."""
    return _codes(reply) == {ErrorCode.NOT_LEADER_OR_FOLLOWER}


def _is_elsewhere(call: Call) -> bool:
    return not call.broker.catalog.is_ours


def _codes(reply: Any) -> set[int]:
    if getattr(reply, "error_code", ErrorCode.NONE) != ErrorCode.NONE:
        return {reply.error_code}
    rows = next((rows for name in _ROWS if (rows := getattr(reply, name, None))), ())
    return {getattr(row, "error_code", ErrorCode.NONE) for row in rows}


async def ask_for_offsets_topic(line: ControllerLine, timeout_s: float) -> None:
    """The controller creates it for whoever asks where it is, as for any first touch."""
    asked = MetadataRequest(topics=[MetadataRequestTopic(name=OFFSETS_TOPIC)])
    with contextlib.suppress(ControllerHere):
        await line.ask(ApiKey.METADATA, METADATA_VERSION, asked, timeout_s)


async def tell_served(line: ControllerLine, log_id: int, topic_ids: Sequence[bytes]) -> None:
    """Nothing is left on that log of these deleted topics. Raises Unavailable, TimeoutError."""
    request = DeleteTopicsRequest(
        topics=[DeleteTopicState(name=None, topic_id=topic_id) for topic_id in topic_ids]
    )
    with contextlib.suppress(ControllerHere):
        await line.ask(
            ApiKey.DELETE_TOPICS,
            DELETE_TOPICS_VERSION,
            request,
            CREATION_S,
            is_refused=_is_refused,
            client_id=f"{SERVED}{log_id}",
        )


async def create_missing(names: Collection[str], call: Call) -> dict[str, ErrorCode]:
    """Have topics created that are touched first, if that is allowed; why one is not, by name."""
    broker = call.broker
    wanted = [
        name
        for name in dict.fromkeys(names)
        if broker.topics.named(name) is None and topic_name_problem(name) is None
    ]
    if not wanted or broker.catalog.is_ours or call.is_forwarded:
        return {}
    if not broker.limits.auto_create_topics:
        return {}
    topics = [
        CreatableTopic(name=name, num_partitions=DEFAULT, replication_factor=DEFAULT)
        for name in wanted
    ]
    request = CreateTopicsRequest(topics=topics, timeout_ms=int(CREATION_S * 1_000))
    try:
        reply = await call.services.controller.ask(
            ApiKey.CREATE_TOPICS, CREATE_TOPICS_VERSION, request, CREATION_S, is_refused=_is_refused
        )
    except ControllerHere:
        return {}
    except (TimeoutError, Unavailable):
        return dict.fromkeys(wanted, ErrorCode.LEADER_NOT_AVAILABLE)
    await _caught_up(call)
    return {
        row.name: ErrorCode(row.error_code)
        for row in reply.topics
        if row.error_code not in (ErrorCode.NONE, ErrorCode.TOPIC_ALREADY_EXISTS)
    }
