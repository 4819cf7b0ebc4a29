"""Many reads, several in flight, their results in the order of asking."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")


async def in_order(
    wanted: Iterable[K],
    read: Callable[[K], Coroutine[Any, Any, V]],
    *,
    size_bytes: Callable[[K], int],
    count_max: int,
    bytes_max: int,
) -> AsyncGenerator[tuple[K, V], None]:
    """Each of `wanted` with what `read` returns for it; `size_bytes` says what that will take of
    memory. One is always read, whatever its size. Close it early with `contextlib.aclosing`."""
    coming = iter(wanted)
    ahead = next(coming, None)
    reads: deque[tuple[K, asyncio.Task[V]]] = deque()
    flying_bytes = 0
    try:
        while ahead is not None or reads:
            while ahead is not None and (
                not reads
                or (len(reads) < count_max and flying_bytes + size_bytes(ahead) <= bytes_max)
            ):
                reads.append((ahead, asyncio.ensure_future(read(ahead))))
                flying_bytes += size_bytes(ahead)
                ahead = next(coming, None)
            one, task = reads[0]
            found = await task
            reads.popleft()
            flying_bytes -= size_bytes(one)
            yield one, found
    finally:
        for _, task in reads:
            task.cancel()
        await asyncio.gather(*(task for _, task in reads), return_exceptions=True)
