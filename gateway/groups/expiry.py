"""What nobody used for the retention time goes: offsets first, then the empty group (KIP-211).

The time runs from the last commit or from the loss of the last member, whichever is later. Offsets
of groups with members never expire here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from gateway.groups.classic import ClassicGroup
from gateway.groups.committed import TopicPartition
from gateway.groups.config import GroupConfig
from gateway.groups.offsets import GroupOffsets
from gateway.groups.states import State
from wal_core import Clock

SWEEP_STEP_COUNT = 2_000
"""Groups and offsets looked at in one go, so that the sweep holds the loop for some ms only."""


class Expiry:
    """`groups` are those there are; `let_go` is asked for one that is empty in every way."""

    def __init__(
        self,
        config: GroupConfig,
        groups: Mapping[str, ClassicGroup],
        offsets: GroupOffsets,
        clock: Clock,
        let_go: Callable[[ClassicGroup], None],
    ) -> None:
        self._config = config
        self._groups = groups
        self._offsets = offsets
        self._clock = clock
        self._let_go = let_go
        self._timer: asyncio.TimerHandle | None = None
        self._queue: list[str] = []
        # What an expired group still has: its id, and slices of its offsets.
        self._expiring: deque[tuple[str, Sequence[TopicPartition]]] = deque()

    def start(self) -> None:
        """Look now and then; needs the running loop."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._config.offsets_check_interval_ms / 1_000, self._begin)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self) -> None:
        self._queue = list(dict.fromkeys((*self._groups, *self._offsets.group_ids())))
        self._step()

    def _step(self) -> None:
        """Some of it, and the rest in later turns of the loop."""
        limit_ms = self._clock.now_ms() - self._config.offsets_retention_ms
        left_count = SWEEP_STEP_COUNT
        while left_count > 0 and self._queue and not self._expiring:
            group_id = self._queue.pop()
            left_count -= 1 + self._offsets.count_of(group_id)
            self._expire(group_id, limit_ms)
        if self._expiring:
            self._offsets.expire(*self._expiring.popleft(), limit_ms)
        if self._queue or self._expiring:
            self._timer = asyncio.get_running_loop().call_later(0, self._step)
        else:
            self.start()

    def _expire(self, group_id: str, limit_ms: int) -> None:
        group = self._groups.get(group_id)
        if group is not None and group.state is not State.EMPTY:
            return
        since_ms = -1 if group is None else group.state_since_ms
        old = self._offsets.expired(group_id, since_ms, limit_ms)
        if old:
            self._expiring += [(group_id, some) for some in old]
        elif group is not None and group_id not in self._offsets:
            self._let_go(group)
