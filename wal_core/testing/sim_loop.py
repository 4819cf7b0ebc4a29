"""An asyncio event loop with virtual time: an hour of waiting passes in a millisecond.

Rules: time advances only when nothing is ready, then jumps to the next timer. Callbacks keep
asyncio's FIFO order, so the same seed gives the same run; vary latencies and faults, not the
order. No threads and no sockets: executor work runs inline after a virtual delay, and a callback
from another thread is an error. When nothing is ready and no timer is set, everybody waits for
somebody else: that is reported as a deadlock instead of hanging.

Several processes may share the loop (sim_process.py): each step of one is taken only while it runs.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import random  # noqa: TID251 - seeded, for tests
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from wal_core.testing.sim_process import ProcessHandle, ProcessTimer, current_process, is_dead

T = TypeVar("T")

EXECUTOR_DELAY_S = 0.001
"""Virtual time a piece of executor work takes at most."""


class SimDeadlock(AssertionError):
    """Every task waits and nothing is scheduled that could wake one."""


class SimOverrun(AssertionError):
    """The virtual clock passed its limit: something retries or polls for ever."""


class _NoSelector:
    """Where a real loop would wait for sockets, this one advances the clock."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop

    def select(self, timeout_s: float | None) -> list[Any]:
        if timeout_s is None:
            raise SimDeadlock(self._loop.describe_waiting())
        if timeout_s > 0:
            self._loop.advance(timeout_s)
        return []


class SimLoop(asyncio.base_events.BaseEventLoop):
    """Use through `run`."""

    def __init__(self, seed: int = 0, *, virtual_s_max: float = 1e6) -> None:
        super().__init__()
        self.rng = random.Random(seed)  # noqa: S311 - reproducible on purpose
        self._now_s = 0.0
        self._virtual_s_max = virtual_s_max
        self._selector = _NoSelector(self)
        # Timers this close count as due; far below any latency, far above rounding.
        self._clock_resolution = 1e-9
        self.slow_executor: list[float] = []  # factors in force; the worst one counts
        self._over = False
        self.set_task_factory(_make_task)

    def time(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Let the clock jump; called when nothing is ready."""
        self._now_s += seconds
        if self._now_s > self._virtual_s_max:
            raise SimOverrun(f"virtual time passed {self._virtual_s_max} s")

    def describe_waiting(self) -> str:
        """Who waits, for the deadlock report."""
        lines = [f"deadlock at virtual second {self._now_s:.3f}; waiting:"]
        for task in sorted(asyncio.all_tasks(self), key=lambda task: task.get_name()):
            frames = task.get_stack(limit=1)
            where = f"{frames[-1].f_code.co_name}:{frames[-1].f_lineno}" if frames else "?"
            lines.append(f"  {task.get_name()} at {where}: {task.get_coro()!r}")
        return "\n".join(lines)

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        if context is None:
            context = contextvars.copy_context()
        handle: asyncio.Handle
        process = current_process(context)
        if process is None:
            handle = asyncio.Handle(callback, args, self, context)
        else:
            handle = ProcessHandle(callback, args, self, context)
            handle.process = process
        if not self._over:
            self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        if context is None:
            context = contextvars.copy_context()
        timer: asyncio.TimerHandle
        process = current_process(context)
        if process is None:
            timer = asyncio.TimerHandle(when, callback, args, self, context)
        else:
            timer = ProcessTimer(when, callback, args, self, context)
            timer.process = process
        if not self._over:
            heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
            timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def end(self) -> None:
        """From now on nothing is scheduled any more: what is left is only taken apart."""
        self._over = True
        self.set_exception_handler(lambda loop, context: None)

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run inline, a little later in virtual time."""
        future: asyncio.Future[T] = self.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except BaseException as error:
                if isinstance(error, (KeyboardInterrupt, SystemExit)):
                    raise
                process = current_process()
                if process is not None and not process.alive:
                    return  # it died in the middle
                future.set_exception(error)

        slowness = max(self.slow_executor, default=1.0)
        self.call_later(self.rng.random() * EXECUTOR_DELAY_S * slowness, work)
        return future

    def call_soon_threadsafe(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        if not self._over and threading.get_ident() != self._thread_id:  # type: ignore[attr-defined]
            raise AssertionError("a thread called into the simulation")
        return self.call_soon(callback, *args, context=context)

    def _process_events(self, event_list: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector."""


def _make_task(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **options)
    process = current_process(options.get("context"))
    if process is not None:
        process.owns(task)
    return task


def run(
    main: Callable[[], Coroutine[Any, Any, T]], seed: int = 0, *, virtual_s_max: float = 1e6
) -> T:
    """Run `main()` to its end in virtual time and return its result.

    Inside, `asyncio.get_running_loop()` is the SimLoop: `.time()` is the virtual clock and `.rng`
    a seeded generator. Tasks left over are cancelled.
    """
    loop = SimLoop(seed, virtual_s_max=virtual_s_max)
    try:
        return loop.run_until_complete(main())
    finally:
        try:
            left = [task for task in asyncio.all_tasks(loop) if not is_dead(task)]
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
