"""From a request's bytes to its answer's: decode, handle, encode.

What is small, or ordered by its arrival (produce, fetch), is decoded at once. Anything else that is
large goes through the gate of large requests (`bulk_gate.py`), and its handler works in slices.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.api import Api, Call, CloseConnection, ReplyClass, error_code
from gateway.api.forwarding import answered
from gateway.net.bulk_gate import BulkGate, TooMuchWaiting
from gateway.net.throttling import throttled
from gateway.observe.logger import log_event
from protocol import (
    ErrorCode,
    Message,
    RequestHeader,
    TooManyElements,
    decode_request,
    encode_response,
    message_classes,
)

if TYPE_CHECKING:
    from gateway.net.hub import Hub
    from gateway.net.pending_request import PendingRequest
    from protocol import Piece

logger = logging.getLogger(__name__)

LARGE_REQUEST_BYTES = 16 * 1024
"""Five thousand elements at most: some 4 ms of decoding."""
LARGE_ANSWER_COUNT = 2_000
"""Partitions, offsets, settings: as many take about as long."""


async def answer(request: PendingRequest, call: Call, hub: Hub) -> Sequence[Piece]:
    """The encoded reply; empty when none is due. Raises CloseConnection, DecodeError."""
    header, api = request.header, request.api
    if api is None or not api.min_version <= header.api_version <= api.max_version:
        return _refuse_version(header, api)
    assert request.frame is not None
    if api.reply is not ReplyClass.SMALL:
        await hub.services.pace.enter()
    try:
        if len(request.frame) > LARGE_REQUEST_BYTES and not api.pipelined:
            return await _answer_large(request, api, call, hub)
        message = _decode(request, api)
        if api.weigh is not None and api.weigh(message, call) > LARGE_ANSWER_COUNT:
            return await _answer_at_length(request, api, message, call, hub)
        may_begin = api.reply is not ReplyClass.LARGE or await request.room.may_begin()
        return _encode(
            header, await _handled(request, api, message, call, hub, may_begin=may_begin)
        )
    except TooManyElements:
        if not api.answers_excess:
            raise
        nothing = message_classes(api.key).request()
        return _encode(header, api.on_error(nothing, ErrorCode.INVALID_REQUEST))


async def _answer_large(request: PendingRequest, api: Api, call: Call, hub: Hub) -> Sequence[Piece]:
    may_begin = api.reply is not ReplyClass.LARGE or await request.room.may_begin()
    async with _slot(request, call, hub.bulk):
        message = await hub.bulk.compute(partial(_decode, request, api))
        if not request.is_parking:
            response = await _handled(request, api, message, call, hub, may_begin=may_begin)
            return await hub.bulk.compute(partial(_encode, call.header, response))
    # It may be parked for minutes, with what its handler keeps of it.
    return _encode(
        call.header, await _handled(request, api, message, call, hub, may_begin=may_begin)
    )


async def _answer_at_length(
    request: PendingRequest, api: Api, message: Message, call: Call, hub: Hub
) -> Sequence[Piece]:
    """The large answer to a small request. One after the other: so each finds counted what those
    before it take of the room for replies.
    """
    gate = hub.long_answers if api.reply is ReplyClass.LARGE else hub.bulk
    has_waited = api.reply is not ReplyClass.LARGE
    may_begin = True
    while True:
        async with _slot(request, call, gate):
            # Nobody waits for room in here, which would keep others from working.
            if has_waited or request.room.may_begin_now:
                response = await _handled(request, api, message, call, hub, may_begin=may_begin)
                return await gate.compute(partial(_encode, call.header, response))
        has_waited, may_begin = True, await request.room.may_begin()


@asynccontextmanager
async def _slot(request: PendingRequest, call: Call, gate: BulkGate) -> AsyncIterator[None]:
    request.is_queued = True
    try:
        async with gate.slot(call.client_host, request.size_bytes):
            request.is_queued = False
            yield
    except TooMuchWaiting as error:
        raise CloseConnection(str(error)) from None


def _decode(request: PendingRequest, api: Api) -> Message:
    frame, request.frame = request.frame, None  # from here on only record views keep its memory
    assert frame is not None
    return decode_request(request.header, frame, request.at, api.elements_max_count)


def _encode(header: RequestHeader, response: Message | None) -> Sequence[Piece]:
    if response is None:
        return ()
    return encode_response(header.api_key, header.api_version, header.correlation_id, response)


def _refuse_version(header: RequestHeader, api: Api | None) -> Sequence[Piece]:
    """As Kafka: what does not answer it in version 0 (KIP-511) closes."""
    if api is None or not api.answers_any_version:
        name = f"API key {header.api_key}" if api is None else api.name
        raise CloseConnection(
            f"{header.client_id or 'a client without id'} sent {name} version "
            f"{header.api_version}, which ApiVersions does not offer"
        )
    response = api.on_error(None, ErrorCode.UNSUPPORTED_VERSION)
    assert response is not None
    return encode_response(api.key, 0, header.correlation_id, response)


async def _handled(
    request: PendingRequest, api: Api, message: Any, call: Call, hub: Hub, *, may_begin: bool
) -> Any:
    """The handler's response, which says for how long the client is throttled if it is."""
    if not call.broker.quotas.is_any:
        return await _outcome(api, message, call, hub, may_begin=may_begin)
    return await throttled(
        request, api, call, _outcome(api, message, call, hub, may_begin=may_begin)
    )


async def _outcome(api: Api, message: Any, call: Call, hub: Hub, may_begin: bool) -> Message | None:
    """The handler's response, or the API's error response when it raised (I8), or when there has
    been no room for replies for too long. Its errors are counted.
    """
    try:
        if may_begin:
            if api.of_owner and not (assurance := call.broker.logs.assurance).is_sure:
                await assurance.until_sure()
            response = await answered(api, message, call)
        else:
            response = api.on_error(message, ErrorCode.REQUEST_TIMED_OUT)
    except CloseConnection:
        raise
    except Exception as error:
        code = error_code(error)
        if code is ErrorCode.UNKNOWN_SERVER_ERROR:
            log_event(
                logger,
                logging.ERROR,
                "handler failed",
                error=error,
                api=api.name,
                version=call.version,
                client_id=call.header.client_id,
            )
        response = api.on_error(message, code)
    hub.counts.answered(api, response)
    return response
