"""Starts workers, starts again whoever ends, and stops all of them one after another.

Here is what the workers know of each other (a coordination store in memory), and no data, no
client, no request: what can fail is in the workers. The first one starts alone, so that one founds
the cluster in new data. A worker that ends before any of them has ever been ready would end again:
then nothing is started again, and the exit code says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import msgspec

from gateway.cluster.coordination.shared_server import StoreLink
from gateway.cluster.coordination.static import StaticStore
from gateway.cluster.view import CATALOG_LOG_ID
from gateway.net.listening import StartError, bind
from gateway.observe.banner import announce_ready
from gateway.observe.logger import log_event
from gateway.serving import EXIT_FAILED, EXIT_OK
from gateway.settings.config import Config
from gateway.settings.log_settings import cloud_settings
from gateway.workers.assignment import Assignment, assign
from wal_core import WalError, open_store

logger = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "gateway.workers.worker")
NOT_STARTED = 127  # as shells have it
STOP_S_MIN = 10.0  # besides what requests and hand-overs may take


class Pauses(NamedTuple):
    """Before a worker is started again: doubled each time, until it has lasted for `steady_s`."""

    first_s: float = 0.1
    most_s: float = 10.0
    steady_s: float = 30.0


PAUSES = Pauses()


class Supervisor:
    """`run` once. `command` gets the number of a descriptor as its last word, and an assignment as
    its input."""

    def __init__(
        self,
        assignments: Sequence[Assignment],
        *,
        all_ready: Callable[[], None],
        stop_s_max: float,
        command: Sequence[str] = COMMAND,
        pauses: Pauses = PAUSES,
    ) -> None:
        """`all_ready` is called once, when every worker has been ready."""
        self._command = command
        self._pauses = pauses
        self._stop_s_max = stop_s_max
        self._all_ready = all_ready
        self._store = StaticStore()
        self._workers = [_Worker(assignment) for assignment in assignments]
        self._any_ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self._is_told_ready = False
        self._exit_code = EXIT_OK

    @property
    def pids(self) -> list[int]:
        """Of the workers that run."""
        return [w.process.pid for w in self._workers if w.process is not None]

    def stop(self) -> None:
        """Let `run` stop all workers and return."""
        self._stopping.set()

    async def run(self) -> int:
        """Until `stop`, or until no worker can start; returns the exit code."""
        loop = asyncio.get_running_loop()
        keeping = [loop.create_task(self._keep(worker)) for worker in self._workers]
        stop = loop.create_task(self._stopping.wait())
        # None of the others ends before that, unless something here is wrong.
        await asyncio.wait((stop, *keeping), return_when=asyncio.FIRST_COMPLETED)
        self._stopping.set()
        for worker, task in zip(self._workers, keeping, strict=True):
            await self._end(worker, task)
        await asyncio.gather(stop, *keeping)
        await self._store.close()
        return self._exit_code

    async def _keep(self, worker: _Worker) -> None:
        if worker is not self._workers[0]:
            await self._unless_stopping(self._any_ready.wait())
        loop, pause_s = asyncio.get_running_loop(), self._pauses.first_s
        while not self._stopping.is_set():
            began_s = loop.time()
            code = await self._run_once(worker)
            if self._stopping.is_set():
                # One that had not begun to listen to signals has nothing to finish.
                if code not in (EXIT_OK, -signal.SIGTERM):
                    self._exit_code = EXIT_FAILED
                return
            if not self._any_ready.is_set():
                log_event(logger, logging.ERROR, "worker failed", node=worker.node_id, code=code)
                self._exit_code = EXIT_FAILED
                self._stopping.set()
                return
            if loop.time() - began_s >= self._pauses.steady_s:
                pause_s = self._pauses.first_s
            again_ms = round(pause_s * 1_000)
            log_event(
                logger,
                logging.WARNING,
                "worker ended",
                node=worker.node_id,
                code=code,
                again_in_ms=again_ms,
            )
            await self._unless_stopping(asyncio.sleep(pause_s))
            pause_s = min(2 * pause_s, self._pauses.most_s)

    async def _run_once(self, worker: _Worker) -> int:
        """From its start to its end; its exit code, or minus the signal that ended it."""
        ours, theirs = socket.socketpair()
        try:
            process = worker.process = await asyncio.create_subprocess_exec(
                *self._command,
                str(theirs.fileno()),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is for the supervisor alone
            )
        except OSError as error:
            ours.close()
            reason = str(error)
            log_event(
                logger, logging.ERROR, "worker not started", node=worker.node_id, reason=reason
            )
            return NOT_STARTED
        finally:
            theirs.close()
        link = StoreLink(
            self._store,
            ready=lambda: self._is_ready(worker),
            silent=lambda: self._kill(worker, "it has not been heard of for a lease"),
        )
        serving = asyncio.get_running_loop().create_task(link.serve(ours), name="a worker's store")
        try:
            await _tell(process, worker.assignment)
            if self._stopping.is_set():
                process.terminate()
            return await process.wait()
        finally:
            worker.process = None
            # Whatever it has sent is read, up to the end.
            await serving

    def _is_ready(self, worker: _Worker) -> None:
        worker.was_ready = True
        log_event(logger, logging.INFO, "worker ready", node=worker.node_id)
        self._any_ready.set()
        if not self._is_told_ready and all(worker.was_ready for worker in self._workers):
            self._is_told_ready = True
            self._all_ready()

    async def _end(self, worker: _Worker, task: asyncio.Task[None]) -> None:
        if worker.process is not None:
            with contextlib.suppress(ProcessLookupError):
                worker.process.terminate()
        done, _ = await asyncio.wait((task,), timeout=self._stop_s_max)
        if not done:
            self._kill(worker, "it did not stop in time")
            await asyncio.wait((task,))

    def _kill(self, worker: _Worker, reason: str) -> None:
        if worker.process is None:
            return
        log_event(logger, logging.ERROR, "worker killed", node=worker.node_id, reason=reason)
        with contextlib.suppress(ProcessLookupError):
            worker.process.kill()

    async def _unless_stopping(self, waiting: Coroutine[Any, Any, object]) -> None:
        first = asyncio.ensure_future(waiting)
        stop = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait((first, stop), return_when=asyncio.FIRST_COMPLETED)
        for task in (first, stop):
            task.cancel()


class _Worker:
    """One of the assignments, and the process that has it just now."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        self.node_id = assignment.config.node_id
        self.process: asyncio.subprocess.Process | None = None
        self.was_ready = False


async def _tell(process: asyncio.subprocess.Process, assignment: Assignment) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # it has ended, as its exit code will say
        process.stdin.write(msgspec.json.encode(assignment))
        await process.stdin.drain()
        process.stdin.close()


def supervise(config: Config) -> int:
    """`serve` with several workers, until SIGTERM or SIGINT; the exit code."""
    try:
        return asyncio.run(_supervise(config))
    except (StartError, WalError) as error:
        log_event(logger, logging.ERROR, "gateway failed", reason=error)
        return EXIT_FAILED


async def _supervise(config: Config) -> int:
    loop = asyncio.get_running_loop()
    with ExitStack() as bound:
        port, *own_ports = (
            reserve_port(config.listen_host, wanted, bound) for wanted in _ports(config)
        )
        await check_data(config)
        supervisor = Supervisor(
            [
                assign(config, number, port=port, own_port=own_port)
                for number, own_port in enumerate(own_ports, 1)
            ],
            all_ready=lambda: announce_ready(logger, config, port),
            stop_s_max=2 * config.drain_ms / 1_000 + STOP_S_MIN,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, supervisor.stop)
        code = await supervisor.run()
    log_event(logger, logging.INFO, "workers stopped", code=code)
    return code


def _ports(config: Config) -> list[int]:
    """The one of all, then each worker's own."""
    first = config.listen_port
    return [first + number if first else 0 for number in range(config.workers_count + 1)]


def reserve_port(host: str, port: int, bound: ExitStack) -> int:
    """Keep a port for workers, over their ends; what it is. Raises StartError when anybody has it:
    who only binds it to share it would not hear of another broker there."""
    if not hasattr(socket, "SO_REUSEPORT"):
        raise StartError("this system cannot share a port (SO_REUSEPORT): leave out --workers")
    alone = bind(host, port, "--listen")
    try:
        alone.listen(1)
        port = alone.getsockname()[1]
    except OSError as error:
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    finally:
        alone.close()
    bound.enter_context(bind(host, port, "--listen", shared=True))
    return port


async def check_data(config: Config) -> None:
    """What no worker could open is said once, before any is started. Raises WalError."""
    store = await open_store(config.data, config.mode, cloud=cloud_settings(config))
    try:
        if store.locks:
            await store.lock(CATALOG_LOG_ID)
            await store.unlock(CATALOG_LOG_ID)
    finally:
        await store.close()
