"""Before a node tells what a log's owner alone knows: whether it is still the owner.

What it writes the store decides, by fences. What it reads nobody decides: a node that was paused,
or is cut off from the others, would show an end that has moved on long ago. While its lease is good
nobody takes its logs. Without, it looks at the store first, at all its logs together; and all who
ask meanwhile share the next look, which begins after they came.

After a lease that was lost its logs stay in doubt until nobody is about to take them any more
(`Member._look_at`). All the same what a client takes for the end of something, and what hints at a
newer owner (an offset beyond the end here, a sequence from after it), is never told from memory:
somebody without a view of the coordination store may have taken the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from wal_core import WalError

LOOK_S_MAX = 10.0
"""Longer: a slow store is waited for; shorter: clients are told sooner to come again."""


class Assurance:
    """`look` at all logs, which returns once those that are another's are let go of."""

    def __init__(self, look: Callable[[], Awaitable[None]]) -> None:
        self._look = look
        self._is_sure: Callable[[], bool] = lambda: True
        self.is_alone = True
        """Whether no other node takes logs from this one."""
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    def rests_on(self, is_sure: Callable[[], bool]) -> None:
        """While that is true there is nothing to look for. A node by itself is always sure."""
        self._is_sure = is_sure
        self.is_alone = False

    @property
    def is_sure(self) -> bool:
        return self._is_sure()

    async def until_sure(self) -> None:
        """What is served here when this returns was so after the call. Raises WalError, or
        TimeoutError where the store does not answer."""
        if not self._is_sure():
            await self._until_looked()

    async def look(self) -> bool:
        """The same whatever the lease says, but for a node by itself; whether it is known now."""
        if self.is_alone:
            return True
        try:
            await self._until_looked()
        except (WalError, TimeoutError):
            return False
        return True

    async def _until_looked(self) -> None:
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._after(self._running))
            self._next.add_done_callback(_seen)
        await asyncio.shield(self._next)

    async def _after(self, before: asyncio.Task[None] | None) -> None:
        if before is not None and not before.done():
            await asyncio.wait((before,))
        self._running, self._next = self._next, None
        async with asyncio.timeout(LOOK_S_MAX):
            await self._look()


def _seen(task: asyncio.Task[None]) -> None:
    """Its error, if those who asked have gone."""
    if not task.cancelled():
        task.exception()
