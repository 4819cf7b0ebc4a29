"""Acknowledged appends through three logstores, beside three processes that do the least there is.

`python -m wal_core.testing.bench_logstores FOLDER`. Three processes of each kind on loopback. The
bare ones receive as many bytes, write, sync and answer, one request at a time and with nothing
else to do. An append is acknowledged when two of three have answered. Rounds take turns, so that
what else the machine does hits both; ratios are those of a round.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, cast

import uvloop

from wal_core import Entry, ServedLogstore, SystemRng
from wal_core.errors import WalError
from wal_core.format.block import BlockIds, encode_entries
from wal_core.logstore.remote import RemoteLimits, RemoteReplica, dial
from wal_core.logstore.replica import Asker
from wal_core.stores.files import fdatasync

COUNT = 3
ACKS_COUNT = 2
RECORD_BYTES = 1024
FRAME_BYTES = 100
"""About what a frame and a block add to a record."""
_ANSWER = b"12345678"
LOG, NONCE = 1, b"n" * 16
WARM_S = 0.5

Append = Callable[[int], Awaitable[None]]


class Figures(NamedTuple):
    p10_ms: float
    p50_ms: float
    p99_ms: float
    per_s: float
    cpu_us: float  # of all processes and of who asks, for each


# -- the processes --------------------------------------------------------------------------------


def serve_bare(folder: Path, listener: socket.socket) -> None:
    """One connection; so many bytes are one request."""
    fd = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wanted = RECORD_BYTES + FRAME_BYTES
    held = b""
    while received := connection.recv(1 << 20):
        held += received
        count = len(held) // wanted
        if count:
            os.write(fd, held[: count * wanted])
            fdatasync(fd)
            connection.sendall(_ANSWER * count)
            held = held[count * wanted :]


async def serve_logstore(folder: Path, listener: socket.socket) -> None:
    listener.setblocking(False)
    served = ServedLogstore(folder, SystemRng(), bytes_max=1 << 34)
    await served.start(listener)
    await asyncio.Event().wait()


def child(kind: str, folder: Path, fd: int) -> None:
    listener = socket.socket(fileno=fd)
    if kind == "bare":
        serve_bare(folder, listener)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_logstore(folder, listener))


class Processes:
    """Three of a kind, until `end`."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.addresses: list[tuple[str, int]] = []
        self._processes = []
        for number in range(COUNT):
            place = folder / f"{kind}-{number}"
            place.mkdir(parents=True)
            listener = socket.create_server(("127.0.0.1", 0))
            self.addresses.append(listener.getsockname())
            words = [kind, str(place), "--fd", str(listener.fileno())]
            command = [sys.executable, "-m", __spec__.name, *words]
            process = subprocess.Popen(command, pass_fds=[listener.fileno()])  # noqa: S603 - this file
            self._processes.append(process)
            listener.close()

    def cpu_s(self) -> float:
        """Used so far; counted in hundredths by the system."""
        ticks = 0
        for process in self._processes:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


# -- who asks them --------------------------------------------------------------------------------


class BarePeer(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._waiting: list[Callable[[], None]] = []

    def ask(self, request: bytes, answered: Callable[[], None]) -> None:
        self._waiting.append(answered)
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        for _ in range(len(data) // len(_ANSWER)):
            self._waiting.pop(0)()


def acked() -> tuple[asyncio.Future[None], Callable[[], None]]:
    """Done once it was called for the second time."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    count = 0

    def answered() -> None:
        nonlocal count
        count += 1
        if count == ACKS_COUNT:
            future.set_result(None)

    return future, answered


async def bare(processes: Processes) -> Append:
    loop = asyncio.get_running_loop()
    peers = [(await loop.create_connection(BarePeer, *at))[1] for at in processes.addresses]
    request = os.urandom(RECORD_BYTES + FRAME_BYTES)

    def append(_: int) -> Awaitable[None]:
        future, answered = acked()
        for peer in peers:
            peer.ask(request, answered)
        return future

    return append


async def logstores(processes: Processes) -> Append:
    patient = RemoteLimits(connect_s=60, answer_s=60)  # processes start
    replicas = [
        RemoteReplica(f"{at}", dial(*at), SystemRng(), limits=patient) for at in processes.addresses
    ]
    askers = [Asker(LOG, await replica.join(LOG, 1, NONCE), 1, NONCE) for replica in replicas]
    payload = os.urandom(RECORD_BYTES)
    pairs = list(zip(replicas, askers, strict=True))

    def append(number: int) -> Awaitable[None]:
        ids = BlockIds(LOG, 0, number, 1, number, NONCE)
        stored = b"".join(encode_entries(ids, [Entry(1, number, 1, 1, 0, payload)]).pieces)
        future, answered = acked()

        def told(end: int | WalError) -> None:
            if isinstance(end, WalError):
                raise end
            answered()

        for replica, asker in pairs:
            replica.begin_append(asker, stored, told)
        return future

    return append


# -- rounds ---------------------------------------------------------------------------------------


async def one_by_one(append: Append, first: int, seconds: float) -> list[float]:
    took_ms = []
    end_s = time.perf_counter() + seconds
    number = first
    while (before_s := time.perf_counter()) < end_s:
        await append(number)
        number += 1
        took_ms.append((time.perf_counter() - before_s) * 1000)
    return took_ms


async def at_a_rate(append: Append, first: int, seconds: float, per_s: float) -> list[float]:
    """An open loop: each begins when it is due, whatever the ones before do."""
    took_ms: list[float] = []
    flying: set[asyncio.Future[None]] = set()
    began_s = time.perf_counter()
    count = int(seconds * per_s)
    for number in range(count):
        due_s = began_s + number / per_s
        if (left_s := due_s - time.perf_counter()) > 0:
            await asyncio.sleep(left_s)
        # A timer of the loop counts milliseconds, and may come early.
        from_s = min(due_s, time.perf_counter())

        def done(flight: asyncio.Future[None], from_s: float = from_s) -> None:
            flying.discard(flight)
            took_ms.append((time.perf_counter() - from_s) * 1000)

        flight = asyncio.ensure_future(append(first + number))
        flying.add(flight)
        flight.add_done_callback(done)
    while flying:
        await asyncio.wait(flying)
    return took_ms


def not_longer(took_ms: list[float], *shares: float) -> list[float]:
    """So long these shares of all waits took at most."""
    ordered = sorted(took_ms)
    return [ordered[int(len(ordered) * share)] for share in shares]


class Side:
    """One kind of processes, and how many appends they have had."""

    def __init__(self, processes: Processes, append: Append) -> None:
        self._processes = processes
        self._append = append
        self._count = 0

    async def round(self, seconds: float, per_s: float | None = None) -> Figures:
        """One at a time, or in an open loop of that rate."""
        before_s = self._processes.cpu_s() + time.process_time()
        if per_s is None:
            took_ms = await one_by_one(self._append, self._count, seconds)
        else:
            took_ms = await at_a_rate(self._append, self._count, seconds, per_s)
        cpu_s = self._processes.cpu_s() + time.process_time() - before_s
        count = len(took_ms)
        self._count += count
        p10_ms, p50_ms, p99_ms = not_longer(took_ms, 0.1, 0.5, 0.99)
        return Figures(p10_ms, p50_ms, p99_ms, count / seconds, cpu_s * 1e6 / count)


async def compare(folder: Path, rounds: int, seconds: float) -> None:
    kinds = {"bare": bare, "logstore": logstores}
    running = {kind: Processes(kind, folder) for kind in kinds}
    try:
        sides = {
            kind: Side(running[kind], await make(running[kind])) for kind, make in kinds.items()
        }
        for side in sides.values():  # warm
            await side.round(WARM_S)
        _say("one at a time")
        figures: dict[str, Figures] = {}
        for _ in range(rounds):
            figures = {kind: await side.round(seconds) for kind, side in sides.items()}
            _show(figures)
        per_s = figures["bare"].per_s / 2
        _say(f"open loop, {per_s:.0f} a second")
        for _ in range(rounds):
            _show({kind: await side.round(seconds, per_s) for kind, side in sides.items()})
    finally:
        for processes in running.values():
            processes.end()


def bare_at_a_rate(folder: Path, seconds: float, per_s: float) -> dict[str, float]:
    """How long three bare processes take for such appends: shares of the waits, in ms."""

    async def measured() -> list[float]:
        append = await bare(processes)
        await one_by_one(append, 0, WARM_S)
        return await at_a_rate(append, 0, seconds, per_s)

    folder = folder / f"bare-{os.getpid()}"
    processes = Processes("bare", folder)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            took_ms = runner.run(measured())
    finally:
        processes.end()
        shutil.rmtree(folder)
    names = ("p50_ms", "p90_ms", "p99_ms", "p999_ms")
    found = zip(names, not_longer(took_ms, 0.5, 0.9, 0.99, 0.999), strict=True)
    return {**dict(found), "max_ms": max(took_ms)}


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _show(figures: dict[str, Figures]) -> None:
    for kind, one in figures.items():
        _say(
            f"  {kind:9} p10 {one.p10_ms:.3f} p50 {one.p50_ms:.3f} p99 {one.p99_ms:.3f} ms,"
            f" {one.per_s:.0f}/s, CPU {one.cpu_us:.0f} us"
        )
    bare, ours = figures["bare"], figures["logstore"]
    _say(
        f"  ratio     p10 {ours.p10_ms / bare.p10_ms:.2f} p50 {ours.p50_ms / bare.p50_ms:.2f}"
        f" CPU {ours.cpu_us / bare.cpu_us:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="+", help="FOLDER")
    parser.add_argument("--fd", type=int, default=-1, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    if options.fd >= 0:
        child(options.words[0], Path(options.words[1]), options.fd)
        return
    folder = Path(options.words[0]) / f"bench-logstores-{os.getpid()}"
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(compare(folder, options.rounds, options.seconds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
