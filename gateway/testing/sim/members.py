"""Simulated members of a consumer group: they join, share partitions, read, commit, and leave.

What must hold whoever coordinates: a partition has one owner per generation, a member gets what
the leader gave it, commits of an earlier generation are refused, and a committed offset that is
read back is the last one acknowledged (or one that nobody got an answer for).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.testing.sim.client import Client, Disconnected
from gateway.testing.sim.consumers import Fetcher
from gateway.testing.sim.history import Commit, Partition
from protocol import ApiKey, ErrorCode
from protocol.messages.heartbeat import HeartbeatRequest
from protocol.messages.join_group import (
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    JoinGroupResponse,
)
from protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity
from protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from protocol.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestTopic
from protocol.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

if TYPE_CHECKING:
    from gateway.testing.sim.world import World

GROUP = "group"
SESSION_TIMEOUT_MS, REBALANCE_TIMEOUT_MS = 600, 1_000
COMMIT_SHARE, LOOK_SHARE, SLEEP_SHARE, LEAVE_SHARE = 0.4, 0.2, 0.03, 0.03  # of a member's rounds
PROTOCOL_TYPE, PROTOCOL = "simulated", "one by one"

REJOIN = frozenset(
    {
        ErrorCode.MEMBER_ID_REQUIRED,
        ErrorCode.UNKNOWN_MEMBER_ID,
        ErrorCode.ILLEGAL_GENERATION,
        ErrorCode.REBALANCE_IN_PROGRESS,
    }
)
"""What sends a member back to JoinGroup."""


@dataclass(slots=True)
class Generations:
    """What is known of a group's generations, from the answers to SyncGroup."""

    given: dict[tuple[int, str], bytes]  # generation and member: what a leader gave it
    owners: dict[tuple[int, Partition], str]
    newest: int = 0  # that anybody was told is complete


class Member(Fetcher):
    """One member. It starts again from what is committed after each rebalance."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self._member_id = ""
        self._generation = -1

    async def run(self) -> None:
        while not self.world.winding_down:
            try:
                if await self._join() and await self._begin():
                    await self._read()
            except Disconnected:
                self.note("lost its connection")
            await self.pause()

    def _goes_on(self, code: int, doing: str) -> bool:
        """Whether a member may go on as it is; else it joins again."""
        if code not in REJOIN:
            if code == ErrorCode.NOT_COORDINATOR:  # whoever says so may never be it again
                self.hang_up()
            return self.check_code(code, doing)
        if code == ErrorCode.UNKNOWN_MEMBER_ID:
            self._member_id = ""
        return False

    async def _join(self) -> bool:
        request = JoinGroupRequest(
            group_id=GROUP,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            member_id=self._member_id,
            protocol_type=PROTOCOL_TYPE,
            protocols=[JoinGroupRequestProtocol(name=PROTOCOL)],
        )
        reply = await self.call(ApiKey.JOIN_GROUP, 9, request, GROUP)
        if reply.error_code == ErrorCode.MEMBER_ID_REQUIRED:
            self._member_id = reply.member_id
        if not self._goes_on(reply.error_code, "JoinGroup"):
            return False
        self._member_id, self._generation = reply.member_id, reply.generation_id
        return await self._sync(reply)

    async def _sync(self, joined: JoinGroupResponse) -> bool:
        seen = self.world.generations
        given = self._assignments(joined)
        seen.given |= {(self._generation, member): share for member, share in given.items()}
        request = SyncGroupRequest(
            group_id=GROUP,
            generation_id=self._generation,
            member_id=self._member_id,
            protocol_type=PROTOCOL_TYPE,
            protocol_name=PROTOCOL,
            assignments=[
                SyncGroupRequestAssignment(member_id=member, assignment=share)
                for member, share in given.items()
            ],
        )
        reply = await self.call(ApiKey.SYNC_GROUP, 5, request, GROUP)
        if not self._goes_on(reply.error_code, "SyncGroup"):
            return False
        mine = bytes(reply.assignment)
        partitions = [_partition(word) for word in mine.decode().split()]
        self.note(f"has {mine.decode()} in generation {self._generation}")
        if mine != seen.given.get((self._generation, self._member_id)):
            self.world.trace.violation(
                "a member has what its leader gave it",
                f"{self.name} has {mine!r} in generation {self._generation}",
            )
        for where in partitions:
            owner = seen.owners.setdefault((self._generation, where), self._member_id)
            if owner != self._member_id:
                self.world.trace.violation(
                    "a partition has one owner", f"{where} in generation {self._generation}"
                )
        seen.newest = max(seen.newest, self._generation)
        self.positions = dict.fromkeys(partitions, 0)
        return True

    def _assignments(self, joined: JoinGroupResponse) -> dict[str, bytes]:
        """Of the leader: each partition to the next member."""
        members = [member.member_id for member in joined.members]
        if joined.leader != self._member_id or not members:
            return {}
        shares: dict[str, list[str]] = {member: [] for member in members}
        for number, (topic, index) in enumerate(self.world.plan.partitions):
            shares[members[number % len(members)]].append(f"{topic}:{index}")
        return {member: " ".join(share).encode() for member, share in shares.items()}

    async def _begin(self) -> bool:
        """Find out where to read on."""
        found = await committed(self, tuple(self.positions))
        if found is None:
            return False
        self.session += 1
        self.positions = {where: max(found[where], 0) for where in self.positions}
        await self.learn_epochs()
        return True

    async def _read(self) -> None:
        while not self.world.winding_down:
            beat = HeartbeatRequest(
                group_id=GROUP, generation_id=self._generation, member_id=self._member_id
            )
            reply = await self.call(ApiKey.HEARTBEAT, 4, beat, GROUP)
            if not self._goes_on(reply.error_code, "Heartbeat"):
                return
            if self.positions:
                await self.poll(wait_ms=50)
            if self.rng.random() < LOOK_SHARE:
                await committed(self, self.world.plan.partitions)
            sleeps = self.rng.random() < SLEEP_SHARE
            if sleeps:  # past its session, and then commits what it has read, as if nothing were
                await asyncio.sleep(2 * SESSION_TIMEOUT_MS / 1_000)
            commits = sleeps or self.rng.random() < COMMIT_SHARE
            if self.positions and commits and not await self._commit():
                return
            if self.rng.random() < LEAVE_SHARE:
                await self._leave()
                return
            await asyncio.sleep(0.05)

    async def _commit(self) -> bool:
        commits = [Commit(where, offset) for where, offset in self.positions.items()]
        newest = self.world.generations.newest
        self.world.history.commits += commits
        reply = await self.call(ApiKey.OFFSET_COMMIT, 8, self._commit_request(), GROUP)
        codes = {
            (topic.name, answer.partition_index): answer.error_code
            for topic in reply.topics
            for answer in topic.partitions
        }
        for commit in commits:
            code = codes[commit.partition]
            if code in REJOIN:
                self.world.history.commits.remove(commit)
            if not self._goes_on(code, "OffsetCommit"):
                return False
            commit.done = True
            if self._generation < newest:
                self.world.trace.violation(
                    "earlier generations cannot commit",
                    f"{self.name} of {self._generation}, though {newest} was complete",
                )
        self.note("committed " + ", ".join(f"{c.partition} {c.offset}" for c in commits))
        return True

    def _commit_request(self) -> OffsetCommitRequest:
        topics: dict[str, list[OffsetCommitRequestPartition]] = {}
        for (topic, index), offset in self.positions.items():
            row = OffsetCommitRequestPartition(partition_index=index, committed_offset=offset)
            topics.setdefault(topic, []).append(row)
        return OffsetCommitRequest(
            group_id=GROUP,
            generation_id_or_member_epoch=self._generation,
            member_id=self._member_id,
            topics=[OffsetCommitRequestTopic(name=n, partitions=p) for n, p in topics.items()],
        )

    async def _leave(self) -> None:
        request = LeaveGroupRequest(
            group_id=GROUP, members=[MemberIdentity(member_id=self._member_id)]
        )
        self.note("leaves the group")
        reply = await self.call(ApiKey.LEAVE_GROUP, 5, request, GROUP)
        self._goes_on(reply.error_code or reply.members[0].error_code, "LeaveGroup")
        self._member_id = ""


async def committed(
    client: Client, partitions: tuple[Partition, ...]
) -> dict[Partition, int] | None:
    """What the group has committed (-1: nothing), checked; None if the answer is an error."""
    topics: dict[str, list[int]] = {}
    for topic, index in partitions:
        topics.setdefault(topic, []).append(index)
    asked = [OffsetFetchRequestTopic(name=n, partition_indexes=i) for n, i in topics.items()]
    commits = client.world.history.commits
    # In order of invocation: what was acknowledged by now, and what may come at any time.
    last = {commit.partition: commit.offset for commit in commits if commit.done}
    reply = await client.call(
        ApiKey.OFFSET_FETCH, 7, OffsetFetchRequest(group_id=GROUP, topics=asked), GROUP
    )
    if reply.error_code == ErrorCode.NOT_COORDINATOR:
        client.hang_up()
    if not client.check_code(reply.error_code, "OffsetFetch"):
        return None
    found = {
        (topic.name, answer.partition_index): answer.committed_offset
        for topic in reply.topics
        for answer in topic.partitions
    }
    # Another gateway may have taken over, and this one not know it yet.
    if client.link is None or not client.world.owns_groups(client.link.node, GROUP):
        return found
    for where, offset in found.items():
        later = {c.offset for c in commits if c.partition == where and not c.done}
        newest = {c.offset for c in commits if c.partition == where and c.done}
        if offset != last.get(where, -1) and offset not in later | newest:
            _stale(client, where, offset, last.get(where, -1))
        if offset < last.get(where, -1) and offset not in later:
            _stale(client, where, offset, last[where])
        if offset != last.get(where, -1):  # what was shown is promised like what was acknowledged
            commits.append(Commit(where, offset, done=True))
    return found


def _stale(client: Client, where: Partition, offset: int, last: int) -> None:
    client.world.trace.violation(
        "a committed offset is the last one", f"{where} is at {offset}, {last} was acknowledged"
    )


def _partition(word: str) -> Partition:
    topic, _, index = word.partition(":")
    return topic, int(index)
