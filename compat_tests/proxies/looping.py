"""An event loop in a thread of its own, for proxies that work while a test blocks."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

STOP_TIMEOUT_S = 10.0
READ_BUFFER_BYTES = 1 << 20


class LoopThread:
    """Runs coroutines for a thread that has no loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def call(self, work: Coroutine[Any, Any, T], timeout_s: float = STOP_TIMEOUT_S) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout_s)

    def tell(self, action: Callable[[], object]) -> None:
        """Runs `action` in the loop's thread, soon."""
        self.loop.call_soon_threadsafe(action)

    def stop(self) -> None:
        self.call(self._end_tasks())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(STOP_TIMEOUT_S)
        self.loop.close()

    async def _end_tasks(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for _ in range(3):  # transports are aborted in the next turn, and say goodbye behind it
            await asyncio.sleep(0)


class Listener:
    """A TCP server on a random loopback port; each connection is a task that ends with it."""

    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself knows them weakly only
        self._thread = LoopThread()
        self.loop = self._thread.loop
        self._server = self._thread.call(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(
            self._accepted, "127.0.0.1", 0, limit=READ_BUFFER_BYTES, backlog=1024
        )

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not in the task: one that is cancelled before its first step never gets to an end.
        task = self.loop.create_task(self._connected(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._handle(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one of the two sides has gone

    def tell(self, action: Callable[[], object]) -> None:
        self._thread.tell(action)

    def close(self) -> None:
        self.tell(self._server.close)
        self._thread.stop()
