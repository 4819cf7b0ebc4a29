"""What all simulated clients share: finding a gateway, calling it, losing it.

As Kafka's clients do, a client gives a request some time and then gives up the whole connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gateway.testing.sim.history import Partition
from gateway.testing.sim.network import Link
from protocol import ApiKey, ErrorCode, Message
from protocol.messages.find_coordinator import FindCoordinatorRequest
from protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from wal_core.testing.seeds import stream

if TYPE_CHECKING:
    from gateway.testing.sim.node import Node
    from gateway.testing.sim.world import World

CALL_TIMEOUT_S = 3.0
LENGTH_AT, LENGTH_END = 8, 12  # of a record batch: the bytes behind LENGTH_END

# What clients repeat without telling anybody (I10): librdkafka and the Java client agree on these.
RETRIABLE = frozenset(
    {
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.LEADER_NOT_AVAILABLE,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.KAFKA_STORAGE_ERROR,
        ErrorCode.FENCED_LEADER_EPOCH,
        ErrorCode.UNKNOWN_LEADER_EPOCH,
    }
)


class Disconnected(Exception):
    """The connection is gone; what was under way may or may not have happened."""


Home = Partition | str | int | None
"""Whom a request is for: the leader of a partition, the coordinator of a group, a node by its id,
or anybody."""
WANDER_SHARE = 0.3
"""Of the requests that are for anybody: those for which another node of a cluster is chosen."""


class Client:
    """A connection to whichever gateway it finds; in a cluster one to each whom a request is for,
    as Metadata and FindCoordinator have it."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.rng = stream(world.plan.seed, "client", name)
        self._links: dict[Home, Link] = {}
        self.home: Home = None
        """For whom the last request was."""

    @property
    def link(self) -> Link | None:
        """The one of the last request."""
        return self._links.get(self._way)

    @property
    def _way(self) -> Home:
        return self.home if self.world.is_cluster else None

    def note(self, what: str) -> None:
        self.world.trace.note(self.name, what)

    def check_code(self, code: int, doing: str, where: Partition | None = None) -> bool:
        """True for success; anything else must be something that clients silently repeat.

        A gateway that was fenced and does not know it yet judges by what it knows: a client that
        still finds it may get other refusals. Nothing it says can be a success. Of a partition the
        log that it lies on counts.
        """
        if code == ErrorCode.NONE:
            return True
        log_id = None if where is None else self._log_of(where)
        stale = self.link is not None and not self.world.is_owner(self.link.node, log_id)
        if code not in RETRIABLE and not stale:
            self.world.trace.violation(
                "I10 clients see retriable codes", f"{self.name} got {_name(code)}: {doing}"
            )
        return False

    def _log_of(self, where: Partition) -> int | None:
        """As the gateway has it that this client talks to."""
        gateway = None if self.link is None else self.link.node.gateway
        partition = None if gateway is None else gateway.broker.partition(*where)
        return None if partition is None else partition.log_id

    async def connected(self) -> Link:
        """The link, made anew if need be; waits for a gateway that listens."""
        self._wander()
        while self.link is None or self.link.lost.done():
            node = await self._find()
            if node is not None:
                link = self.world.network.link(self.name, node)
                await asyncio.wait(
                    (link.opened, link.lost),
                    timeout=CALL_TIMEOUT_S,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if link.opened.done():
                    self._links[self._way] = link
                    continue
                link.cut()
            await asyncio.sleep(0.05 + 0.2 * self.rng.random())
        return self.link

    def _wander(self) -> None:
        if self.world.is_cluster and self._way is None and self.rng.random() < WANDER_SHARE:
            self.hang_up()

    async def _find(self) -> Node | None:
        """The gateway that the next request should go to; None: nobody knows just now."""
        home = self._way
        if home is None:
            return self.world.some_node(self.rng)
        try:
            node_id = await self._whose(home)
        except Disconnected:
            node_id = -1
        self.home = home
        return self.world.node_with_id(node_id)

    async def _whose(self, home: Home) -> int:
        """The id of the node that is told to be it; -1 for none. Raises Disconnected."""
        if isinstance(home, str):
            asked = FindCoordinatorRequest(coordinator_keys=[home])
            found = await self.call(ApiKey.FIND_COORDINATOR, 4, asked)
            return int(found.coordinators[0].node_id)
        if isinstance(home, int):
            return home
        assert home is not None
        request = MetadataRequest(
            topics=[MetadataRequestTopic(name=home[0])], allow_auto_topic_creation=False
        )
        reply = await self.call(ApiKey.METADATA, 9, request)
        for partition in reply.topics[0].partitions:
            if partition.partition_index == home[1]:
                return int(partition.leader_id)
        return -1

    def post(self, link: Link, key: ApiKey, version: int, body: Message) -> asyncio.Future[Any]:
        """Send a request down `link`; the reply's future stays pending if the link is lost."""
        frame, asked = link.conversation.ask(key, version, body, self.name)
        link.send(frame)
        return asked.reply

    async def call(
        self,
        key: ApiKey,
        version: int,
        body: Message,
        home: Home = None,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Any:
        """Raises Disconnected without an answer in time."""
        self.home = home
        link = await self.connected()
        reply = self.post(link, key, version, body)
        await asyncio.wait(
            (reply, link.lost), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if reply.done():
            return reply.result()
        self.hang_up()
        raise Disconnected(f"no answer to {key.name}")

    def hang_up(self) -> None:
        """Leave; the gateway may notice it much later."""
        if self.link is not None and not self.link.lost.done():
            self.link.cut(server_after_s=self.rng.choice((0.0, 0.001, 0.05, 1.0)))
        self._links.pop(self._way, None)

    async def pause(self) -> None:
        """Between two attempts."""
        await asyncio.sleep(0.02 + 0.15 * self.rng.random())


def batches_in(records: memoryview | bytes) -> Iterator[memoryview]:
    """The whole batches of a fetch reply."""
    view, at = memoryview(records), 0
    while at + LENGTH_END <= len(view):
        end = at + LENGTH_END + int.from_bytes(view[at + LENGTH_AT : at + LENGTH_END], "big")
        if end > len(view):
            return
        yield view[at:end]
        at = end


def _name(code: int) -> str:
    try:
        return ErrorCode(code).name
    except ValueError:
        return str(code)
