"""What every handler gets beside its request, and the one table from our errors to Kafka's
codes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gateway.broker.broker import Broker
from gateway.broker.errors import BrokerError
from gateway.broker.producer_state import SequenceError
from gateway.broker.waiting import wait_confirmed
from gateway.cluster.controller_line import FORWARDED, SERVED
from gateway.fairness.slices import Slices
from protocol import BatchError, ErrorCode, RequestHeader
from wal_core import Corrupt, Fenced, Invalid, Truncated, Unavailable, WalError

if TYPE_CHECKING:
    from gateway.broker.fetch_sessions import FetchSessions
    from gateway.broker.order_line import OrderLine
    from gateway.cluster.controller_line import ControllerLine
    from gateway.fairness.pace import Pace
    from gateway.fairness.reply_share import ReplyRoom
    from gateway.fairness.threads import FairThreads, Share
    from gateway.fairness.turns import Turns
    from gateway.groups import GroupCoordinators
    from gateway.settings.config import Config


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers may use; built once by gateway.server."""

    config: Config
    broker: Broker
    groups: GroupCoordinators
    lookups: FairThreads
    pace: Pace  # of what may take long on the loop
    fetch_sessions: FetchSessions
    controller: ControllerLine


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
    def is_forwarded(self) -> bool:
        """Whether another node asks, for a client of its own."""
        return (self.header.client_id or "").startswith(FORWARDED)

    @property
    def served_log(self) -> int | None:
        """The log of which another node says that nothing is left there of the topics that the
        request deletes; None for any other request."""
        of_log = (self.header.client_id or "").removeprefix(SERVED)
        is_it = of_log != self.header.client_id and of_log.isascii() and of_log.isdecimal()
        return int(of_log[:NUMBER_CHARS_MAX]) if is_it else None

    @property
    def broker(self) -> Broker:
        return self.services.broker


NUMBER_CHARS_MAX = 9


class CloseConnection(Exception):
    """The only answer Kafka has for this: the connection is closed (a failed acks=0 produce)."""


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


async def groups_ready(call: Call) -> ErrorCode:
    """Wait until group records have a place; the code for the client when they get none in time,
    which makes it look for the coordinator again."""
    try:
        await call.broker.offsets_topic.ready()
    except Fenced:
        return ErrorCode.NOT_COORDINATOR
    except (WalError, TimeoutError):
        return ErrorCode.COORDINATOR_NOT_AVAILABLE
    return ErrorCode.NONE


class Outcome(NamedTuple):
    """Of a change: Kafka's code, and the reason in words where it has failed."""

    code: ErrorCode = ErrorCode.NONE
    message: str | None = None


def failure_of(confirmation: asyncio.Future[None] | None) -> Outcome:
    """The code and the reason of a change that failed or was not confirmed in time, else NONE.

    Raises what nobody expected.
    """
    if confirmation is None or not confirmation.done() or confirmation.cancelled():
        return Outcome(ErrorCode.REQUEST_TIMED_OUT, "storage did not confirm in time")
    error = confirmation.exception()
    return Outcome() if error is None else _expected(error)


def _expected(error: BaseException) -> Outcome:
    code = error_code(error)
    if code is ErrorCode.UNKNOWN_SERVER_ERROR:
        raise error
    return Outcome(code, str(error) or None)


async def outcomes_of(
    changes: Iterable[Callable[[], asyncio.Future[None] | None]], timeout_s: float
) -> list[Outcome]:
    """All are begun, then waited for together, so that all of a request share a write. A change
    that has nothing to be waited for begins with None; one that is refused raises.

    Raises what nobody expected.
    """
    begun: list[Outcome | asyncio.Future[None]] = []
    slices = Slices()
    for begin in changes:
        if slices.is_over:
            await slices.pause()
        try:
            begun.append(begin() or Outcome())
        except Exception as error:
            begun.append(_expected(error))
    await wait_confirmed([b for b in begun if isinstance(b, asyncio.Future)], timeout_s)
    return [failure_of(b) if isinstance(b, asyncio.Future) else b for b in begun]
