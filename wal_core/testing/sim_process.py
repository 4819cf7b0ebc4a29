"""Processes inside the simulated loop: they can be stopped, continued and killed at any step.

Whatever is started in a process's context belongs to it, and so does all that this starts: tasks,
timers, callbacks. The loop asks the process before each of these steps. A paused process keeps
its steps for later, timers that came due included, as after SIGSTOP and SIGCONT. A dead one never
takes another step: no `finally` runs, nothing is cancelled, nobody is told. What it handed to the
world before (a request on the wire, bytes in the page cache) is the world's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import enum
import weakref
from collections.abc import Callable, Coroutine
from typing import Any


class State(enum.Enum):
    RUNNING = enum.auto()
    PAUSED = enum.auto()
    DEAD = enum.auto()


class Process:
    """Start things in it with `spawn` and `call`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self.name = name
        self.state = State.RUNNING
        self.running_since_s = loop.time()
        self._loop = loop
        self._context = contextvars.Context()
        self._context.run(_CURRENT.set, self)
        self._parked: list[asyncio.Handle] = []
        # Kept until `bury`: a coroutine that nobody refers to would be closed and run its cleanup.
        self._tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._grave: list[object] = []
        self._trap: Callable[[], None] | None = None
        self._trap_steps_left_count = 0

    @property
    def alive(self) -> bool:
        return self.state is not State.DEAD

    def context(self) -> contextvars.Context:
        """A context that makes whatever runs in it this process's."""
        return self._context.copy()

    def spawn(self, main: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        return self.context().run(lambda: self._loop.create_task(main, name=name))

    def call(self, callback: Callable[..., object], *args: Any) -> None:
        """Have `callback` run as a step of this process, after those that are ready."""
        self._loop.call_soon(callback, *args, context=self.context())

    # -- faults ----------------------------------------------------------------------------

    def after_steps(self, count: int, act: Callable[[], None]) -> None:
        """Call `act` instead of letting the process take its step number `count` from now."""
        self._trap, self._trap_steps_left_count = act, count

    def disarm(self) -> None:
        """Forget what `after_steps` was to do."""
        self._trap = None

    def pause(self) -> None:
        if self.state is State.RUNNING:
            self.state = State.PAUSED

    def resume(self) -> None:
        if self.state is not State.PAUSED:
            return
        self.state = State.RUNNING
        self.running_since_s = self._loop.time()
        parked, self._parked = self._parked, []
        for handle in parked:
            if not handle.cancelled():
                self._loop.call_soon(handle._run, context=contextvars.Context())

    def kill(self) -> None:
        """No further step. The step that is being taken goes on, but whoever it talks to outside
        has to look at `alive` first.
        """
        self.state = State.DEAD
        self._trap = None
        self._grave += [*self._parked, *self._tasks]
        _dead_tasks.update(self._tasks)
        self._parked.clear()

    def bury(self) -> None:
        """Free the memory of a dead process, after the loop's last step. Its coroutines are closed
        now, and whatever their cleanup tries meets a loop that does nothing.
        """
        for thing in self._grave:
            if isinstance(thing, asyncio.Task) and not thing.done():
                thing._log_destroy_pending = False  # type: ignore[attr-defined]
                coroutine = thing.get_coro()
                # Cleanup that awaits is refused, any other error is of no interest any more.
                with contextlib.suppress(BaseException):
                    coroutine.close()
        self._grave.clear()

    # -- the loop's side -------------------------------------------------------------------

    def admits(self, handle: asyncio.Handle) -> bool:
        """Whether a step may be taken now; if not it is kept, for later or for the grave."""
        if self.state is State.RUNNING and self._trap is not None:
            self._trap_steps_left_count -= 1
            if self._trap_steps_left_count < 0:
                trap, self._trap = self._trap, None
                trap()
        if self.state is State.RUNNING:
            return True
        (self._parked if self.state is State.PAUSED else self._grave).append(handle)
        return False

    def owns(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)


_dead_tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()


def is_dead(task: asyncio.Task[Any]) -> bool:
    """Whether its process is: it will never be done."""
    return task in _dead_tasks


_CURRENT: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


def current_process(context: contextvars.Context | None = None) -> Process | None:
    """Whose step this is, or whose context that is; None for the world itself."""
    return _CURRENT.get() if context is None else context.get(_CURRENT)


class ProcessHandle(asyncio.Handle):
    """A step of a process."""

    __slots__ = ("process",)
    _cancelled: bool
    process: Process

    def _run(self) -> None:
        if not self._cancelled and self.process.admits(self):
            super()._run()


class ProcessTimer(asyncio.TimerHandle):
    """A timed step of a process."""

    __slots__ = ("process",)
    _cancelled: bool
    process: Process

    def _run(self) -> None:
        if not self._cancelled and self.process.admits(self):
            super()._run()
