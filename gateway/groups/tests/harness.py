"""What the group tests share: virtual time, an obedient journal, clients for members."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from gateway.groups import GroupCoordinator, group_config
from gateway.groups.classic import ClassicGroup
from gateway.groups.coordinator import OffsetToCommit
from gateway.groups.journal import Record
from gateway.groups.members import (
    Identity,
    JoinRequest,
    JoinResult,
    Protocols,
    SyncRequest,
    SyncResult,
)
from gateway.settings.config import Config
from gateway.tests.virtual import EPOCH_MS, CountingRng, VirtualClock, virtual
from protocol.error_codes import ErrorCode

__all__ = [
    "EPOCH_MS",
    "GROUP",
    "RANGE",
    "Client",
    "CountingRng",
    "FakeJournal",
    "VirtualClock",
    "enter_all",
    "group_of",
    "make",
    "pair",
    "resolve",
    "settle",
    "virtual",
]

GROUP = "orders/читатели"


class FakeJournal:
    """Keeps what was appended. `hold` stops confirmations, `failure` is raised instead of one."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Record]] = []
        self.failure: BaseException | None = None
        self.hold = False
        self.held: list[asyncio.Future[None]] = []

    def append(self, group_id: str, records: Sequence[Record]) -> Awaitable[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.failure is not None:
            future.set_exception(self.failure)
            return future
        self.log += [(group_id, record) for record in records]
        if self.hold:
            self.held.append(future)
        else:
            asyncio.get_running_loop().call_later(0.001, resolve, future)
        return future

    def release(self) -> None:
        held, self.held = self.held, []
        for future in held:
            resolve(future)

    def compacted(self) -> dict[bytes, bytes]:
        newest: dict[bytes, bytes] = {}
        for _, (key, value) in self.log:
            newest.pop(key, None)
            if value is not None:
                newest[key] = value
        return newest


def resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


RANGE: Protocols = (("range", b"R"),)


class Client:
    """One member as a consumer's coordinator client would drive it."""

    def __init__(
        self,
        coordinator: GroupCoordinator,
        name: str = "c",
        *,
        group: str = GROUP,
        instance: str | None = None,
        protocols: Protocols = RANGE,
        session_ms: int = 10_000,
        rebalance_ms: int = 60_000,
        version: int = 9,
    ) -> None:
        self.coordinator = coordinator
        self.name = name
        self.group = group
        self.instance = instance
        self.protocols = protocols
        self.session_ms = session_ms
        self.rebalance_ms = rebalance_ms
        self.version = version
        self.member_id = ""
        self.generation = -1
        self.joined: JoinResult | None = None
        self.synced: SyncResult | None = None

    @property
    def identity(self) -> Identity:
        return Identity(self.member_id, self.instance)

    @property
    def leads(self) -> bool:
        assert self.joined is not None
        return self.joined.leader_id == self.member_id

    async def join_once(self, **changes: Any) -> JoinResult:
        request: dict[str, Any] = {
            "member_id": self.member_id,
            "group_instance_id": self.instance,
            "client_id": self.name,
            "client_host": "/127.0.0.1",
            "session_timeout_ms": self.session_ms,
            "rebalance_timeout_ms": self.rebalance_ms,
            "protocol_type": "consumer",
            "protocols": self.protocols,
            "require_known_member_id": self.version >= 4,
            "supports_skip_assignment": self.version >= 9,
        }
        return await self.coordinator.join(self.group, JoinRequest(**(request | changes)))

    async def join(self) -> JoinResult:
        result = await self.join_once()
        if result.error is ErrorCode.MEMBER_ID_REQUIRED:
            self.member_id = result.member_id
            result = await self.join_once()
        if result.error is ErrorCode.NONE:
            self.member_id = result.member_id
            self.generation = result.generation
            self.joined = result
        return result

    async def sync(self, assignments: Mapping[str, bytes] | None = None, **over: Any) -> SyncResult:
        assert self.joined is not None
        if assignments is None:
            assignments = (
                {m.member_id: b"for " + m.member_id.encode() for m in self.joined.members}
                if self.leads
                else {}
            )
        call: dict[str, Any] = {
            "generation": self.generation,
            "protocol_type": "consumer",
            "protocol_name": self.joined.protocol_name,
            "assignments": assignments,
            "member": self.identity,
        }
        self.synced = await self.coordinator.sync(self.group, SyncRequest(**(call | over)))
        return self.synced

    async def enter(self) -> SyncResult:
        """Join and sync until the group is stable."""
        while True:
            joined = await self.join()
            if joined.error is ErrorCode.REBALANCE_IN_PROGRESS:
                continue
            assert joined.error is ErrorCode.NONE, joined
            synced = await self.sync()
            if synced.error is not ErrorCode.REBALANCE_IN_PROGRESS:
                return synced

    def heartbeat(self) -> ErrorCode:
        return self.coordinator.heartbeat(self.group, self.identity, self.generation)

    def leave(self) -> ErrorCode:
        error, codes = self.coordinator.leave(self.group, [self.identity])
        return error or codes[0]

    async def commit(self, offset: int, topic: str = "t", partition: int = 0) -> ErrorCode:
        wanted = OffsetToCommit(
            topic=topic, partition=partition, offset=offset, leader_epoch=3, metadata="m"
        )
        (code,) = await self.coordinator.commit(
            self.group, self.identity, self.generation, [wanted]
        )
        return code


def make(
    journal: FakeJournal | None = None,
    *,
    start: bool = True,
    rng: CountingRng | None = None,
    **limits: Any,
) -> GroupCoordinator:
    """A coordinator without initial delay, so that tests say what they wait for."""
    config = dataclasses.replace(
        group_config(Config()), **({"initial_rebalance_delay_ms": 0} | limits)
    )
    coordinator = GroupCoordinator(
        journal or FakeJournal(), config, clock=VirtualClock(), rng=rng or CountingRng()
    )
    if start:
        coordinator.start()
    return coordinator


async def settle() -> None:
    """Let everything happen that needs no time to pass."""
    for _ in range(20):
        await asyncio.sleep(0)


async def enter_all(*clients: Client) -> None:
    """Bring all clients into one stable generation."""
    await asyncio.gather(*(client.enter() for client in clients))
    generation = max(client.generation for client in clients)
    while any(c.generation != generation or c.heartbeat() is not ErrorCode.NONE for c in clients):
        await asyncio.gather(
            *(c.enter() for c in clients if c.heartbeat() is not ErrorCode.NONE),
        )
        generation = max(client.generation for client in clients)


def group_of(client: Client) -> ClassicGroup:
    return client.coordinator._groups[client.group]


async def pair(**limits):
    """A leader and a follower in one stable generation."""
    coordinator = make(**limits)
    leader, follower = Client(coordinator, "a"), Client(coordinator, "b")
    await leader.enter()
    await enter_all(leader, follower)
    assert leader.leads
    assert not follower.leads
    return leader, follower
