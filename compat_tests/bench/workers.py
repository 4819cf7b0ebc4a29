"""What a second worker gives: tiny produces to two partitions, with one worker and with two.

The sender (`tiny.c`) is compiled here, one process a partition. On a machine with two cores it
takes CPU that two workers have need of and one has not, and so does whatever else runs. So beside
the requests a second there are those a second of CPU that the workers used, and with them what the
workers would do with a core each: requests a CPU second times workers. Rounds of one and of two
workers take turns; the ratio is that of each pair.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from compat_tests.bench.broker import Running, gateway
from compat_tests.bench.report import heading, line
from compat_tests.support.deadline import wait_until
from compat_tests.wire.batches import build
from compat_tests.wire.connection import frame_of, framed
from compat_tests.wire.messages import PRODUCE_VERSION, produce_request

WORKERS = (1, 2)
PARTITIONS = 2
IN_FLIGHT = 64
VALUE = b"x" * 10
SOURCE = Path(__file__).with_name("tiny.c")
BUILD = Path(__file__).parents[2] / "build" / "bench"
MEMORY = Path("/dev/shm")  # cores are compared, not disks
SECONDS = 5.0
SETTLE_TIMEOUT_S = 60.0


class Round(NamedTuple):
    """Of all senders and all workers together; CPU in cores."""

    requests_per_s: float
    sender_cpu: float
    worker_cpu: float
    workers: int

    @property
    def a_core_each_per_s(self) -> float:
        return self.requests_per_s / self.worker_cpu * self.workers


def bench_workers(mode: str, rounds: int, seconds: float = SECONDS) -> None:
    """Prints a row for each number of workers, and the ratios."""
    sender = compiled()
    heading(f"{mode}: tiny produces, {PARTITIONS} partitions, {IN_FLIGHT} in flight on each")
    if sender is None:
        line("left out: there is no C compiler (cc) to build the sender with")
        return
    seen: dict[int, list[Round]] = {count: [] for count in WORKERS}
    for _ in range(rounds):
        for count in WORKERS:
            seen[count].append(_round(sender, mode, count, seconds))
    for count, runs in seen.items():
        title = f"{count} worker{'s' * (count > 1)}"
        line(
            title,
            f"{_median(runs, lambda run: run.requests_per_s):,.0f} req/s",
            f"{_median(runs, lambda run: run.a_core_each_per_s):,.0f} a core each",
            f"workers {_median(runs, lambda run: run.worker_cpu):.2f} cores",
            f"senders {_median(runs, lambda run: run.sender_cpu):.2f} cores",
        )
    pairs = list(zip(*seen.values(), strict=True))
    raw = [two.requests_per_s / one.requests_per_s for one, two in pairs]
    fair = [two.a_core_each_per_s / one.a_core_each_per_s for one, two in pairs]
    line("two beside one, as measured", f"{statistics.median(raw):.2f}", _all(raw))
    line("  with a core each", f"{statistics.median(fair):.2f}", _all(fair))


def _median(runs: list[Round], of: Callable[[Round], float]) -> float:
    return statistics.median(map(of, runs))


def _all(values: list[float]) -> str:
    return "(" + " ".join(f"{value:.2f}" for value in values) + ")"


def compiled() -> Path | None:
    """The sender, built if it is older than its source; None without a compiler."""
    program = BUILD / "tiny"
    if program.exists() and program.stat().st_mtime >= SOURCE.stat().st_mtime:
        return program
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    BUILD.mkdir(parents=True, exist_ok=True)
    words = (compiler, "-O2", "-Wall", "-Wextra", "-Werror", str(SOURCE), "-o", str(program))
    subprocess.run(words, check=True)
    return program


def _round(sender: Path, mode: str, workers: int, seconds: float) -> Round:
    place = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="bench-workers-", dir=place) as name:
        folder = Path(name)
        flags = ("--logs-count", str(PARTITIONS), "--workers", str(workers))
        with gateway(folder / "data", mode, *flags) as broker:
            ports = _leaders(broker, workers)
            return _measured(sender, folder, broker, ports, seconds)


def _leaders(broker: Running, workers: int) -> list[int]:
    """The port of each partition's owner, once all workers own one."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})

    def is_made() -> bool:
        try:
            admin.create_topics([NewTopic("tiny", PARTITIONS)])["tiny"].result()
        except KafkaException:  # not yet
            return False
        return True

    def owners() -> list[int]:
        told = admin.list_topics("tiny", timeout=10)
        partitions = told.topics["tiny"].partitions
        return [told.brokers[p.leader].port for p in partitions.values() if p.leader >= 0]

    def is_shared() -> bool:
        found = owners()
        return len(found) == PARTITIONS and len(set(found)) == workers

    wait_until(is_made, timeout_s=SETTLE_TIMEOUT_S, what="a topic")
    wait_until(is_shared, timeout_s=SETTLE_TIMEOUT_S, what="an owner for each partition")
    return owners()


def _measured(
    sender: Path, folder: Path, broker: Running, ports: list[int], seconds: float
) -> Round:
    workers = broker.process.children() or [broker.process]
    running = []
    before_s = _cpu_s(workers)
    for index, port in enumerate(ports):
        request = folder / f"request-{index}"
        body = produce_request({"tiny": {index: build([VALUE])}})
        request.write_bytes(framed(frame_of(body, PRODUCE_VERSION, 1, "bench")))
        words = [str(sender), str(port), str(request), str(IN_FLIGHT), str(seconds)]
        running.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
    told = [process.communicate()[0].split() for process in running]
    used_s = _cpu_s(workers) - before_s
    rates, shares = zip(*((float(rate), float(cpu)) for rate, cpu in told), strict=True)
    return Round(sum(rates), sum(shares), used_s / seconds, len(workers))


def _cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)
