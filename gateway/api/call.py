"""What every handler gets beside its request, and the one table from our errors to Kafka's
codes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.broker.broker import Broker
from gateway.broker.errors import BrokerError
from gateway.broker.producer_state import SequenceError
from protocol import ApiKey, BatchError, ErrorCode, Message, RequestHeader
from wal_core import Corrupt, Fenced, Invalid, Truncated, Unavailable

if TYPE_CHECKING:
    from gateway.broker.order_line import OrderLine
    from gateway.fairness.pace import Pace
    from gateway.fairness.reply_share import ReplyRoom
    from gateway.fairness.threads import FairThreads, Share
    from gateway.fairness.turns import Turns
    from gateway.groups import GroupCoordinator
    from gateway.settings.config import Config


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers may use; built once by gateway.server."""

    config: Config
    broker: Broker
    groups: GroupCoordinator
    lookups: FairThreads
    pace: Pace  # of what may take long on the loop


@dataclass(frozen=True, slots=True)
class Call:
    """One request's surroundings."""

    header: RequestHeader
    client_host: str
    services: Services
    turns: Turns  # of the connection's fetches
    produces: OrderLine  # of the connection
    lookups: Share  # the connection's, of the threads that look into batches
    room: ReplyRoom  # for the reply to this request

    @property
    def version(self) -> int:
        return self.header.api_version

    @property
    def broker(self) -> Broker:
        return self.services.broker


TIMEOUT_MAX_MS = 300_000  # a request may not be parked for longer than a client would wait


def patience_s(timeout_ms: int) -> float:
    """How long a request lets its answer be waited for, by its own `timeout_ms`."""
    return min(max(timeout_ms, 1), TIMEOUT_MAX_MS) / 1_000


class CloseConnection(Exception):
    """The only answer Kafka has for this: the connection is closed (a failed acks=0 produce)."""


REQUEST_ELEMENTS_MAX_COUNT = 100_000
"""Ten times the partitions that a gateway has by default. Decoding as many takes 0.13 s."""


@dataclass(frozen=True, slots=True)
class Api:
    """A row of the handler table. Everything about an API is derived from its row."""

    key: ApiKey
    min_version: int
    max_version: int
    handle: Callable[[Any, Call], Awaitable[Message | None]]
    # The answer when `handle` raised: the same error for everything that was asked.
    on_error: Callable[[Any, ErrorCode], Message | None]
    # True: requests behind it on the same connection start while it waits (replies stay in order).
    pipelined: bool = False
    # True: a small request may have a large reply, so it begins only while there is room for
    # replies. (A fetch takes room for what it reads.)
    has_large_reply: bool = False
    # Of all arrays of a request together: what comes from people or clients has fewer.
    elements_max_count: int = REQUEST_ELEMENTS_MAX_COUNT
    # True: a request with more is answered INVALID_REQUEST; else, as in Kafka, the connection ends.
    answers_excess: bool = False
    # About how many elements the answer to a request will have, where that does not go by its size.
    weigh: Callable[[Any, Call], int] | None = None

    @property
    def name(self) -> str:
        return "".join(part.capitalize() for part in self.key.name.split("_"))


# I10: when storage hiccups clients must see codes they retry silently; 56 and 7 are such, -1 is
# not.
_CODES: tuple[tuple[type[Exception], ErrorCode], ...] = (
    (Fenced, ErrorCode.NOT_LEADER_OR_FOLLOWER),
    (Unavailable, ErrorCode.KAFKA_STORAGE_ERROR),
    (Corrupt, ErrorCode.KAFKA_STORAGE_ERROR),
    (Truncated, ErrorCode.OFFSET_OUT_OF_RANGE),
    (TimeoutError, ErrorCode.REQUEST_TIMED_OUT),
    (Invalid, ErrorCode.UNKNOWN_SERVER_ERROR),  # our own bug: the caller logs it
)


def error_code(error: BaseException) -> ErrorCode:
    """Kafka's code for an error of ours; UNKNOWN_SERVER_ERROR for one that nobody expected."""
    if isinstance(error, BrokerError | SequenceError | BatchError):
        return ErrorCode(error.code)
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return ErrorCode.UNKNOWN_SERVER_ERROR


def failure_of(confirmation: asyncio.Future[None] | None) -> tuple[ErrorCode, str | None]:
    """The code and the reason of a change that failed or was not confirmed in time, else NONE.

    Raises what nobody expected.
    """
    if confirmation is None or not confirmation.done() or confirmation.cancelled():
        return ErrorCode.REQUEST_TIMED_OUT, "storage did not confirm in time"
    error = confirmation.exception()
    if error is None:
        return ErrorCode.NONE, None
    code = error_code(error)
    if code is ErrorCode.UNKNOWN_SERVER_ERROR:
        raise error
    return code, str(error) or None
