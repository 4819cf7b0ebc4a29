"""Members of groups, thousands of them, on connections of their own: what joining, rebalancing and
heartbeats cost a broker, whichever listens at an address.
"""

from __future__ import annotations

import asyncio
import resource
import struct
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from compat_tests.bench.report import percentile

FIND_COORDINATOR, JOIN, HEARTBEAT, LEAVE, SYNC = 10, 11, 12, 13, 14
REBALANCE_IN_PROGRESS, MEMBER_ID_REQUIRED = 27, 79
COORDINATOR_NOT_READY = (14, 15, 16)  # Kafka's, until it has loaded what there is of groups
SESSION_TIMEOUT_MS, REBALANCE_TIMEOUT_MS = 45_000, 300_000
METADATA = struct.pack(">hi", 0, 1) + b"\x00\x05bench" + struct.pack(">i", -1)
SHARE = struct.pack(">hi", 0, 0) + struct.pack(">i", -1)
PATIENCE_S = 60.0
HEARTBEAT_S = 0.1
CONNECTING_COUNT = 100  # at a time: a listener's queue is short


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def blob(value: bytes) -> bytes:
    return struct.pack(">i", len(value)) + value


class Reader:
    def __init__(self, frame: bytes) -> None:
        self.frame, self.at = frame, 0

    def take(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self.frame, self.at)
        self.at += struct.calcsize(form)
        return int(value)

    def text(self) -> str:
        length = max(self.take(">h"), 0)
        self.at += length
        return self.frame[self.at - length : self.at].decode()

    def skip_blob(self) -> None:
        length = max(self.take(">i"), 0)
        self.at += length


class Member:
    """JoinGroup 5, SyncGroup 3, Heartbeat 3, LeaveGroup 1, as librdkafka sends them."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.member_id = ""
        self.generation = -1
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def connect(self, bootstrap: str) -> None:
        host, port = bootstrap.rsplit(":", 1)
        self._reader, self._writer = await asyncio.open_connection(host, int(port))

    def close(self) -> None:
        self._writer.close()

    async def call(self, key: int, version: int, body: bytes) -> Reader:
        frame = struct.pack(">hhi", key, version, 1) + text("bench") + body
        self._writer.write(blob(frame))
        (length,) = struct.unpack(">i", await self._reader.readexactly(4))
        reply = Reader(await self._reader.readexactly(length))
        reply.take(">i")
        return reply

    async def find_coordinator(self) -> int:
        return (await self.call(FIND_COORDINATOR, 0, text(self.group))).take(">h")

    async def enter(self) -> None:
        """Until the group is stable with this member in it."""
        while not await self._enter_once():
            pass

    async def _enter_once(self) -> bool:
        reply = await self._join()
        reply.take(">i")
        code = reply.take(">h")
        self.generation = reply.take(">i")
        reply.text()
        leader, self.member_id = reply.text(), reply.text()
        if code in COORDINATOR_NOT_READY:
            await asyncio.sleep(HEARTBEAT_S)
            return False
        if code in (MEMBER_ID_REQUIRED, REBALANCE_IN_PROGRESS):
            return False
        assert code == 0, f"JoinGroup: {code}"
        ids = []
        for _ in range(reply.take(">i")):
            ids.append(reply.text())
            reply.text()
            reply.skip_blob()
        return await self._sync(ids if leader == self.member_id else ())

    async def _join(self) -> Reader:
        body = text(self.group) + struct.pack(">ii", SESSION_TIMEOUT_MS, REBALANCE_TIMEOUT_MS)
        body += text(self.member_id) + struct.pack(">h", -1) + text("consumer")
        body += struct.pack(">i", 1) + text("range") + blob(METADATA)
        return await self.call(JOIN, 5, body)

    def _who(self) -> bytes:
        who = text(self.group) + struct.pack(">i", self.generation) + text(self.member_id)
        return who + struct.pack(">h", -1)

    async def _sync(self, ids: Sequence[str]) -> bool:
        shares = b"".join(text(member_id) + blob(SHARE) for member_id in ids)
        reply = await self.call(SYNC, 3, self._who() + struct.pack(">i", len(ids)) + shares)
        reply.take(">i")
        code = reply.take(">h")
        assert code in (0, REBALANCE_IN_PROGRESS), f"SyncGroup: {code}"
        return code == 0

    async def heartbeat(self) -> int:
        reply = await self.call(HEARTBEAT, 3, self._who())
        reply.take(">i")
        return reply.take(">h")

    async def leave(self) -> None:
        reply = await self.call(LEAVE, 1, text(self.group) + text(self.member_id))
        reply.take(">i")
        assert reply.take(">h") == 0


class Times(NamedTuple):
    """Of many doing the same at the same time: in all, and of each."""

    total_s: float
    p50_ms: float
    p99_ms: float


async def connected(bootstrap: str, groups: Sequence[str]) -> list[Member]:
    """A member for each, none of them in its group yet."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))
    members = [Member(group) for group in groups]
    for start in range(0, len(members), CONNECTING_COUNT):
        some = members[start : start + CONNECTING_COUNT]
        await asyncio.gather(*(member.connect(bootstrap) for member in some))
    async with asyncio.timeout(PATIENCE_S):
        while await members[0].find_coordinator() != 0:
            await asyncio.sleep(0.2)
    return members


async def together(members: Sequence[Member], what: str) -> Times:
    """All of them call their method `what`."""
    took_ms = []

    async def one(member: Member) -> None:
        begun_s = time.perf_counter()
        await getattr(member, what)()
        took_ms.append(1_000 * (time.perf_counter() - begun_s))

    begun_s = time.perf_counter()
    await asyncio.gather(*map(one, members))
    took_ms.sort()
    total_s = time.perf_counter() - begun_s
    return Times(total_s, percentile(took_ms, 0.5), percentile(took_ms, 0.99))


async def form(members: Sequence[Member], *, are_in: bool = False) -> Times:
    """Until one generation of a group has them all. As clients do: a heartbeat tells each of a
    rebalance, then it joins again.
    """
    entered: Counter[int] = Counter()
    took_ms = []
    whole = asyncio.Event()

    async def one(member: Member) -> None:
        begun_s = time.perf_counter()
        is_in = are_in
        while not whole.is_set():
            if is_in and await member.heartbeat() == 0:
                await asyncio.sleep(HEARTBEAT_S)
                continue
            await member.enter()
            is_in = True
            took_ms.append(1_000 * (time.perf_counter() - begun_s))
            entered[member.generation] += 1
            if entered[member.generation] == len(members):
                whole.set()

    begun_s = time.perf_counter()
    await asyncio.gather(*map(one, members))
    took_ms.sort()
    total_s = time.perf_counter() - begun_s
    return Times(total_s, percentile(took_ms, 0.5), percentile(took_ms, 0.99))
