"""Several writes at once, bounded in number and bytes; the first error ends all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from wal_core.config import MIB

COUNT_MAX = 16
BYTES_MAX = 32 * MIB


class Window:
    """`async with Window() as window: await window.start(work, bytes_count)`; all is done at the
    end of the block. One piece of work always goes, whatever its size.
    """

    def __init__(self) -> None:
        self._flying: dict[asyncio.Task[None], int] = {}

    async def start(self, work: Coroutine[None, None, None], bytes_count: int) -> None:
        """Begin a piece of work once there is room for it."""
        try:
            while self._flying and (
                len(self._flying) >= COUNT_MAX
                or sum(self._flying.values()) + bytes_count > BYTES_MAX
            ):
                await self._wait(asyncio.FIRST_COMPLETED)
        except BaseException:
            work.close()
            raise
        self._flying[asyncio.ensure_future(work)] = bytes_count

    async def _wait(self, until: str) -> None:
        done, _ = await asyncio.wait(self._flying, return_when=until)
        for task in done:
            del self._flying[task]
        for task in done:
            task.result()

    async def __aenter__(self) -> Window:
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        try:
            while kind is None and self._flying:
                await self._wait(asyncio.FIRST_COMPLETED)
        finally:
            for task in self._flying:
                task.cancel()
            await asyncio.gather(*self._flying, return_exceptions=True)
            self._flying.clear()
