"""What nobody used for the retention time goes: offsets first, then the empty group (KIP-211).

The time runs from the last commit or from the loss of the last member, whichever is later. A group
with members keeps what it has committed for the topics it reads; for others it runs from the last
commit, while the group is stable and its members are consumers, as in Kafka (ClassicGroup).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from gateway.groups.classic import ClassicGroup
from gateway.groups.config import GroupConfig
from gateway.groups.offsets import GroupOffsets, OffsetsToExpire
from gateway.groups.states import State
from gateway.groups.subscriptions import CONSUMER_PROTOCOL_TYPE, topics_of

SWEEP_STEP_COUNT = 2_000
"""Groups and offsets looked at in one go, so that the sweep holds the loop for some ms only."""


class Expiry:
    """`groups` are those there are; `let_go` is asked for one that is empty in every way."""

    def __init__(
        self,
        config: GroupConfig,
        groups: Mapping[str, ClassicGroup],
        offsets: GroupOffsets,
        let_go: Callable[[ClassicGroup], None],
    ) -> None:
        self._config = config
        self._groups = groups
        self._offsets = offsets
        self._let_go = let_go
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look now and then; needs the running loop."""
        self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._config.offsets_check_interval_ms / 1_000)
            await self._sweep()

    async def _sweep(self) -> None:
        """All of it, some in each turn of the loop."""
        left_count = SWEEP_STEP_COUNT
        for group_id in dict.fromkeys((*self._groups, *self._offsets.group_ids())):
            left_count -= 1 + self._offsets.count_of(group_id)
            group = self._groups.get(group_id)
            if group is None or group.state is State.EMPTY:
                await self._expire_unused(group_id, group)
            elif group.state is State.STABLE and group.protocol_type == CONSUMER_PROTOCOL_TYPE:
                await self._expire_unread(group)
            if left_count <= 0:
                left_count = SWEEP_STEP_COUNT
                await asyncio.sleep(0)

    async def _expire_unused(self, group_id: str, group: ClassicGroup | None) -> None:
        since_ms = -1 if group is None else group.state_since_ms
        old = self._offsets.expired(group_id, since_ms)
        if old:
            await self._expire(old, group)
        elif group is not None and group_id not in self._offsets:
            self._let_go(group)

    async def _expire_unread(self, group: ClassicGroup) -> None:
        """What is so old is looked for first: what members read takes its time to find out."""
        old = self._offsets.expired(group.group_id)
        if not old:
            return
        topics = await topics_of(group)
        if topics is not None:
            await self._expire(old.besides(topics), group)

    async def _expire(self, old: OffsetsToExpire, group: ClassicGroup | None) -> None:
        """Slice by slice, while the group is as it was."""
        before = _life_of(group)
        for some in old.slices():
            if self._groups.get(old.group_id) is not group or _life_of(group) != before:
                return
            self._offsets.expire(old, some)
            await asyncio.sleep(0)


def _life_of(group: ClassicGroup | None) -> tuple[State, int] | None:
    return None if group is None else (group.state, group.generation)
