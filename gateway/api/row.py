"""What a row of the handler table says of an API. Nobody asks elsewhere which API it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from protocol import ApiKey, ErrorCode, Message

if TYPE_CHECKING:
    import asyncio

    from gateway.api.call import Call
    from gateway.broker.broker import Broker

REQUEST_ELEMENTS_MAX_COUNT = 100_000
"""Ten times the partitions that a gateway has by default. Decoding as many takes 0.13 s."""


class ReplyClass(Enum):
    """What the reply to a request takes of the memory for replies."""

    SMALL = "small"  # about as much as the request: it is not asked for
    LARGE = "large"  # maybe much, for a small request: it begins only while there is room
    DATA = "data"  # records: the handler takes room for what it reads, few at a time


class Operation(Enum):
    """Kafka's AclOperation."""

    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    DELETE = "Delete"
    ALTER = "Alter"
    DESCRIBE = "Describe"
    DESCRIBE_CONFIGS = "DescribeConfigs"
    ALTER_CONFIGS = "AlterConfigs"


class Resource(Enum):
    """Kafka's ResourceType."""

    TOPIC = "Topic"
    GROUP = "Group"
    CLUSTER = "Cluster"
    TRANSACTIONAL_ID = "TransactionalId"


class Permission(NamedTuple):
    """What who calls an API must be allowed, on each resource that the request names."""

    operation: Operation
    resource: Resource


class Begun(Protocol):
    """What an API has begun at once; there is nothing left to do but to wait and to answer."""

    error: Exception | None
    """Why it was refused. Without one there is something to wait for."""
    confirmation: asyncio.Future[None] | None
    patience_s: float
    """How long its answer is waited for."""

    @property
    def version(self) -> int:
        """Of the request, for the frame of a refusal."""
        ...

    @property
    def correlation_id(self) -> int:
        """Likewise."""
        ...

    def answer(self) -> bytes:
        """The whole frame, once it is confirmed."""
        ...

    def refusal(self, error: BaseException) -> Message:
        """The answer instead, if that fails or takes too long."""
        ...


class AtOnce(NamedTuple):
    """How the most common requests of an API are begun in the step that they arrive in, without a
    task. Both say None of all others."""

    read: Callable[[memoryview], Any]
    begin: Callable[[Any, memoryview, Broker], Begun | None]


def always(request: Message) -> bool:
    """Whatever it asks for."""
    return True


@dataclass(frozen=True, slots=True)
class Api:
    """A row of the handler table. Everything about an API is derived from its row."""

    key: ApiKey
    min_version: int
    max_version: int
    handle: Callable[[Any, Call], Awaitable[Message | None]]
    # The answer when `handle` raised: the same error for everything that was asked.
    on_error: Callable[[Any, ErrorCode], Message | None]
    # None: anybody may. Nobody is refused yet: this is what an authoriser will ask.
    permission: Permission | None
    # True: requests behind it on the same connection start while it waits (replies stay in order).
    pipelined: bool = False
    # True: it may wait for minutes, for its client's sake alone.
    parks: bool = False
    # True: it is carried out though its client has gone (acks=0), and what it brought is its own
    # until it is durable.
    brings_data: bool = False
    reply: ReplyClass = ReplyClass.SMALL
    # Of all arrays of a request together: what comes from people or clients has fewer.
    elements_max_count: int = REQUEST_ELEMENTS_MAX_COUNT
    # True: a request with more is answered INVALID_REQUEST; else, as in Kafka, the connection ends.
    answers_excess: bool = False
    # True: a version that is not served is answered in version 0 (KIP-511); else, as in Kafka, the
    # connection ends.
    answers_any_version: bool = False
    # Whether a request is for whoever writes the catalog: any other node sends it on.
    of_controller: Callable[[Any], bool] | None = None
    # True: it tells what a log's owner alone can tell: who may have lost logs looks first.
    of_owner: bool = False
    at_once: AtOnce | None = None
    # About how many elements the answer to a request will have, where that does not go by its size.
    weigh: Callable[[Any, Call], int] | None = None

    @property
    def name(self) -> str:
        """Kafka's, which the README's matrix, logs and metric labels show."""
        return "".join(part.capitalize() for part in self.key.name.split("_"))
