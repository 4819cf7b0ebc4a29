"""Charges requests to the quotas of who sent them, once there is any quota.

A request is answered at once; the reply says how long its client is throttled, and the connection
is not read for that time (KIP-219). Records are sent though a quota is exceeded, where Kafka sends
an empty reply and reads them again later: the time until the next ones is the same.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from gateway.api import Api, Call, ReplyClass
from gateway.fairness.quotas import CONSUMED, PRODUCED, WINDOW_S, WORKED, Quotas
from gateway.fairness.stopwatch import Timed
from protocol import encode_response

if TYPE_CHECKING:
    from gateway.net.pending_request import PendingRequest

THROTTLE_MS_MAX = (1 << 31) - 1  # what a reply can say


def charge_records(request: PendingRequest, quotas: Quotas) -> None:
    """When it begins, and what comes behind it has not."""
    now_s = asyncio.get_running_loop().time()
    request.throttle_s = quotas.charge(
        PRODUCED, request.header.client_id, request.size_bytes, now_s
    )


async def throttled(
    request: PendingRequest, api: Api, call: Call, work: Coroutine[Any, Any, Any]
) -> Any:
    """The response that `work` makes, with the time for which its client is throttled."""
    quotas, client_id = call.broker.quotas, call.header.client_id
    is_timed = quotas.has(WORKED, client_id)
    timed = Timed(work)
    response = await (timed if is_timed else work)
    now_s = asyncio.get_running_loop().time()
    throttle_s = request.throttle_s  # for the records that it brought
    if is_timed:
        percent = 100.0 * timed.spent_s
        # As Kafka bounds it: one long request does not silence a client for minutes.
        worked_s = min(quotas.charge(WORKED, client_id, percent, now_s), WINDOW_S)
        throttle_s = max(throttle_s, worked_s)
    if api.reply is ReplyClass.DATA and quotas.has(CONSUMED, client_id):
        sent = encode_response(api.key, call.version, call.header.correlation_id, response)
        consumed_s = quotas.charge(CONSUMED, client_id, sum(map(len, sent)), now_s)
        throttle_s = max(throttle_s, consumed_s)
    if throttle_s:
        request.throttle_s = throttle_s
        if hasattr(response, "throttle_time_ms"):
            response.throttle_time_ms = min(math.ceil(throttle_s * 1_000), THROTTLE_MS_MAX)
    return response
