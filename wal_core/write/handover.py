"""How an opener gets a word in while the log's writer is busy.

A fence is a race for the next free slot, and a writer with several blocks on their way is always
some slots ahead. So an opener that has lost it leaves a *call*, an object; the writer looks for one
now and then while it writes, and then starts nothing for a moment. This is mere politeness: who
owns the log is decided by slots alone, with a call or without one.
"""

from __future__ import annotations

import asyncio

from wal_core.errors import WalError
from wal_core.format.versions import HANDOVER
from wal_core.stores.objects.base import AlreadyExists, ObjectStore
from wal_core.stores.persistence import Persistence

_CALL = b'{"version": %d}\n' % HANDOVER.version
_LOOK_INTERVAL_S = 1.0
"""A request a second while blocks are written, none while none are: a dollar a month on S3."""
_LOOK_TIMEOUT_S = 5.0
_HOLD_ROUND_TRIPS_COUNT = 20
_HOLD_MIN_S, _HOLD_MAX_S = 3.0, 30.0
_HUNG_UP_INTERVAL_S = 0.25
"""How long a writer starts nothing. What is on its way has to arrive, be listed and read, and then
the fence be created; much longer, and a caller that died would cost a healthy writer that much. Who
has got the log hangs up, which is looked for meanwhile: our next write then tells us about it."""


def call_key(log_id: int) -> str:
    """Of the object that asks the writer of a log to hold on (FORMAT.md)."""
    return f"handover/{log_id}"


async def call(objects: ObjectStore, log_id: int, persist: Persistence) -> None:
    """Ask the writer to start nothing for a moment; it takes the call away itself afterwards."""
    try:
        await persist(lambda: objects.create(call_key(log_id), [_CALL]))
    except AlreadyExists:
        pass  # somebody else's, or ours from before: not heard yet


async def hang_up(objects: ObjectStore, log_id: int, persist: Persistence) -> None:
    """The log is taken: nobody needs to hold on."""
    await persist(lambda: objects.delete(call_key(log_id)))


class Listener:
    """The writer's side."""

    def __init__(self, objects: ObjectStore, log_id: int) -> None:
        self._objects = objects
        self._key = call_key(log_id)
        self._loop = asyncio.get_running_loop()
        self._is_busy = False
        self._look_at_s = self._loop.time() + _LOOK_INTERVAL_S
        self.held_until_s = 0.0  # on the loop's clock

    def is_due(self) -> bool:
        """Whether to `listen` now that something is written. Who is told so has to."""
        if self._is_busy or self._loop.time() < self._look_at_s:
            return False
        self._is_busy = True
        return True

    async def listen(self) -> None:
        """Look for a call; heed it, once, and take it away. Raises nothing of the store's."""
        try:
            await self._listen()
        except (WalError, TimeoutError):
            pass  # asked again soon
        finally:
            self._is_busy = False
            self._look_at_s = self._loop.time() + _LOOK_INTERVAL_S

    async def _is_called(self) -> bool:
        async with asyncio.timeout(_LOOK_TIMEOUT_S):
            return await self._objects.size(self._key) is not None

    async def _is_still_called(self) -> bool:
        """Where nobody answers we go on waiting."""
        try:
            return await self._is_called()
        except (WalError, TimeoutError):
            return True

    async def _listen(self) -> None:
        begun_s = self._loop.time()
        if not await self._is_called():
            return
        now_s = self._loop.time()
        hold_s = (now_s - begun_s) * _HOLD_ROUND_TRIPS_COUNT
        self.held_until_s = now_s + min(max(hold_s, _HOLD_MIN_S), _HOLD_MAX_S)
        while (left_s := self.held_until_s - self._loop.time()) > 0:
            await asyncio.sleep(min(left_s, _HUNG_UP_INTERVAL_S))
            if not await self._is_still_called():
                self.held_until_s = self._loop.time()
                return
        async with asyncio.timeout(_LOOK_TIMEOUT_S):
            await self._objects.delete(self._key)
