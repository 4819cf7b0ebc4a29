"""The supervisor starts, restarts and stops; its workers are a small program that obeys."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.net.listening import StartError, bind
from gateway.serving import EXIT_FAILED, EXIT_OK
from gateway.settings.config import Config
from gateway.workers.assignment import assign
from gateway.workers.supervisor import Pauses, Supervisor, check_data, reserve_port, supervise
from wal_core import Unavailable, open_store

PROGRAM = """
import json, os, signal, socket, sys
from gateway.cluster.coordination import shared_wire as wire

way, notes, link = sys.argv[1], sys.argv[2], socket.socket(fileno=int(sys.argv[3]))
node = json.load(sys.stdin)["config"]["node_id"]

def note(what):
    with open(notes, "a") as file:
        file.write(f"{what} {node}\\n")

def stop(*_):
    note("stop")
    sys.exit(0)

signal.signal(signal.SIGTERM, signal.SIG_IGN if way == "deaf" else stop)
note("start")
if way == "broken":
    sys.exit(3)
if way == "silent" and node == 1:
    link.sendall(wire.frame(wire.Grant(1, 1)))
link.sendall(wire.frame(wire.Ready(0)))
while True:
    signal.pause()
"""


class Scene:
    """A supervisor of two such workers, and what they noted."""

    def __init__(self, folder: Path, way: str, *, stop_s_max: float = 30.0) -> None:
        self._notes = folder / "notes"
        self._notes.touch()
        program = folder / "worker.py"
        program.write_text(PROGRAM)
        config = Config(data=str(folder), workers_count=2)
        self.ready = asyncio.Event()
        self.supervisor = Supervisor(
            [assign(config, n, port=1, own_port=1 + n) for n in (1, 2)],
            all_ready=self.ready.set,
            stop_s_max=stop_s_max,
            command=(sys.executable, str(program), way, str(self._notes)),
            pauses=Pauses(first_s=0.01),
        )
        self.running = asyncio.ensure_future(self.supervisor.run())

    @property
    def notes(self) -> list[str]:
        return self._notes.read_text().splitlines()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.01)

    async def stop(self) -> int:
        self.supervisor.stop()
        async with asyncio.timeout(60):
            return await self.running


async def test_the_first_starts_alone_and_all_stop_one_after_another(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "obedient")
    await scene.until(scene.ready.is_set)
    assert await scene.stop() == EXIT_OK
    assert scene.notes == ["start 1", "start 2", "stop 1", "stop 2"]
    assert scene.supervisor.pids == []


async def test_one_that_dies_is_started_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "obedient")
    await scene.until(scene.ready.is_set)
    for count in (2, 3):
        first, _ = scene.supervisor.pids
        os.kill(first, signal.SIGKILL)
        await scene.until(lambda count=count: scene.notes.count("start 1") == count)
    assert await scene.stop() == EXIT_OK
    assert scene.notes.count("start 2") == 1


async def test_one_that_cannot_start_ends_all(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "broken")
    async with asyncio.timeout(60):
        assert await scene.running == EXIT_FAILED
    assert scene.notes == ["start 1"]


async def test_a_program_that_is_not_there_ends_all(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "obedient")
    scene.supervisor._command = (str(tmp_path / "missing"),)
    async with asyncio.timeout(60):
        assert await scene.running == EXIT_FAILED
    assert not scene.ready.is_set()


async def test_one_that_does_not_stop_is_killed_and_the_exit_code_says_so(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "deaf", stop_s_max=0.1)
    await scene.until(scene.ready.is_set)
    assert await scene.stop() == EXIT_FAILED
    assert scene.supervisor.pids == []


async def test_one_that_is_silent_for_a_lease_is_killed_and_started_again(tmp_path: Path) -> None:
    """What it has locked nobody else could open."""
    scene = Scene(tmp_path, "silent")
    await scene.until(lambda: scene.notes.count("start 1") > 1)
    assert await scene.stop() == EXIT_OK


def test_a_port_that_another_broker_has_is_refused_even_if_that_shares_it() -> None:
    with ExitStack() as bound, bind("127.0.0.1", 0, "--listen", shared=True) as other:
        other.listen()
        with pytest.raises(StartError, match="another broker"):
            reserve_port("127.0.0.1", other.getsockname()[1], bound)


def test_workers_share_a_port_that_nobody_else_gets() -> None:
    with ExitStack() as bound:
        port = reserve_port("127.0.0.1", 0, bound)
        listeners = [
            bound.enter_context(bind("127.0.0.1", port, "--listen", shared=True)) for _ in range(2)
        ]
        for listener in listeners:
            listener.listen()
        with socket.create_connection(("127.0.0.1", port)):
            pass
        with pytest.raises(StartError, match="another broker"):
            bind("127.0.0.1", port, "--listen")


async def test_a_folder_that_a_broker_has_open_is_refused_before_anything_starts(
    tmp_path: Path,
) -> None:
    config = Config(data=str(tmp_path), workers_count=2)
    await check_data(config)
    store = await open_store(config.data, config.mode)
    await store.lock(0)
    with pytest.raises(Unavailable, match="in use by another process"):
        await check_data(config)
    await store.close()
    await check_data(config)


def test_what_keeps_it_from_starting_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "woodpecker.json").write_text("{}")
    config = Config(data=str(tmp_path), workers_count=2, listen_port=0)
    assert supervise(config) == EXIT_FAILED
    assert [record.message for record in caplog.records] == ["gateway failed"]
