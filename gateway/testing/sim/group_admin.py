"""A simulated administrator of groups that have no members: commits for them, deletes some of their
offsets, deletes them, and begins again under the same name.

It is alone with its groups and does one thing at a time, so it always knows what must be there. A
step whose outcome it does not learn may still happen: it then leaves that name alone for ever.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.testing.sim.client import Client, Disconnected
from gateway.testing.sim.history import Partition
from protocol import ApiKey, ErrorCode
from protocol.messages.delete_groups import DeleteGroupsRequest
from protocol.messages.list_groups import ListGroupsRequest
from protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from protocol.messages.offset_fetch import OffsetFetchRequest

if TYPE_CHECKING:
    from gateway.testing.sim.world import World

LIVES_MAX_COUNT = 4  # of one name
DELETE_OFFSET_SHARE = 0.4  # of the steps of a life
STALE = "what was deleted of a group is gone, and nothing else"


@dataclass(slots=True)
class KnownGroup:
    """What is known of a group: its offsets, none if there is no such group."""

    offsets: dict[Partition, int] = field(default_factory=dict)
    certain: bool = True


class GroupAdmin(Client):
    """Goes on until the run ends."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "groups")

    async def run(self) -> None:
        while not self.world.winding_down:
            known = KnownGroup()
            name = f"short group{len(self.world.short_groups)}"
            self.world.short_groups[name] = known
            try:
                for _ in range(self.rng.randint(1, LIVES_MAX_COUNT)):
                    if not await self._live(name, known):
                        break
            except Disconnected as error:
                known.certain = False
                self.note(f"does not know about {name}: {error}")
                self.hang_up()
                await self.pause()

    async def _live(self, name: str, known: KnownGroup) -> bool:
        """One life; False if it shall not end."""
        for _ in range(self.rng.randint(1, 5)):
            if known.offsets and self.rng.random() < DELETE_OFFSET_SHARE:
                await self._delete_offset(name, known)
            else:
                await self._commit(name, known)
            await self._look(name, known)
        if self.world.winding_down or self.rng.random() < 0.1:
            return False
        await self._delete(name, known)
        await self._look(name, known)
        return True

    async def _commit(self, name: str, known: KnownGroup) -> None:
        where, offset = self.rng.choice(self.world.plan.partitions), self.rng.randrange(1_000)
        row = OffsetCommitRequestPartition(partition_index=where[1], committed_offset=offset)
        request = OffsetCommitRequest(
            group_id=name, topics=[OffsetCommitRequestTopic(name=where[0], partitions=[row])]
        )
        reply = await self.call(ApiKey.OFFSET_COMMIT, 8, request, name)
        self._must(reply.topics[0].partitions[0].error_code, f"commit {where} {offset} of {name}")
        known.offsets[where] = offset
        await self._pause_briefly()

    async def _delete_offset(self, name: str, known: KnownGroup) -> None:
        topic, index = self.rng.choice(list(known.offsets))
        row = OffsetDeleteRequestPartition(partition_index=index)
        request = OffsetDeleteRequest(
            group_id=name, topics=[OffsetDeleteRequestTopic(name=topic, partitions=[row])]
        )
        reply = await self.call(ApiKey.OFFSET_DELETE, 0, request, name)
        self._must(reply.error_code, f"delete offsets of {name}")
        self._must(reply.topics[0].partitions[0].error_code, f"delete {topic}-{index} of {name}")
        del known.offsets[topic, index]
        await self._pause_briefly()

    async def _delete(self, name: str, known: KnownGroup) -> None:
        request = DeleteGroupsRequest(groups_names=[name])
        reply = await self.call(ApiKey.DELETE_GROUPS, 2, request, name)
        code = reply.results[0].error_code
        if not known.offsets and code == ErrorCode.GROUP_ID_NOT_FOUND:
            return  # its last offset took it along
        self._must(code, f"delete {name}")
        known.offsets.clear()
        await self._pause_briefly()

    async def _look(self, name: str, known: KnownGroup) -> None:
        found = await offsets_of(self, name)
        if found is None:
            raise Disconnected(f"looked for {name}")
        # Another gateway may have taken over, and this one not know it yet.
        if self.link is not None and self.world.owns_groups(self.link.node, name):
            judge(self.world, name, found, known)

    async def _pause_briefly(self) -> None:
        await asyncio.sleep(self.rng.choice((0.0, 0.01, 0.2)))

    def _must(self, code: int, doing: str) -> None:
        """Success, or an answer after which nobody knows. (Who asks again asks somebody else.)"""
        if not self.check_code(code, doing):
            raise Disconnected(f"code {code}: {doing}")
        self.note(f"did {doing}")


async def offsets_of(client: Client, name: str) -> dict[Partition, int] | None:
    """What a group has committed; None if the answer is an error."""
    request = OffsetFetchRequest(group_id=name, topics=None)
    reply = await client.call(ApiKey.OFFSET_FETCH, 7, request, name)
    if not client.check_code(reply.error_code, f"OffsetFetch of {name}"):
        client.hang_up()
        return None
    return {
        (topic.name, answer.partition_index): answer.committed_offset
        for topic in reply.topics
        for answer in topic.partitions
    }


def judge(world: World, name: str, found: dict[Partition, int], known: KnownGroup) -> None:
    if found != known.offsets:
        world.trace.violation(STALE, f"{name} has {found}, expected {known.offsets}")


FinalGroups = dict[str, dict[Partition, int]]


async def check_short_groups(world: World, name: str, before: FinalGroups) -> None:
    """Every group is as it must be; where that was not known, as it was `before` (filled in)."""
    client = Client(world, name)
    for group, known in world.short_groups.items():
        found = await _patiently(client, group)
        if group in before and before[group] != found:
            world.trace.violation("I5 the store is the truth", f"{group} is another afterwards")
        before[group] = found
        if known.certain:
            judge(world, group, found, known)
    if world.short_groups:
        rows = [row for n in world.node_ids for row in (await _listed(client, n)).groups]
        listed = {row.group_id for row in rows}
        for group, offsets in before.items():
            if offsets and group not in listed:
                world.trace.violation(STALE, f"{group} has {offsets} and is not listed")


async def _patiently(client: Client, group: str) -> dict[Partition, int]:
    while True:
        try:
            found = await offsets_of(client, group)
        except Disconnected:
            continue
        if found is not None:
            return found
        await client.pause()


async def _listed(client: Client, node_id: int) -> Any:
    while True:
        try:
            reply = await client.call(ApiKey.LIST_GROUPS, 4, ListGroupsRequest(), node_id)
        except Disconnected:
            continue
        if client.check_code(reply.error_code, "ListGroups"):
            return reply
        await client.pause()
