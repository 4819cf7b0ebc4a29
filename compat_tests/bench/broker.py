"""A gateway process to measure, and what it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

START_TIMEOUT_S = 30.0


class Running(NamedTuple):
    """A broker that accepts connections; `started_s` is from exec to its first accepted one.

    What it costs is what its process and the processes below it do, by the kernel's count.
    """

    bootstrap: str
    process: psutil.Process
    started_s: float
    others: tuple[psutil.Process, ...] = ()
    """Of a cluster."""

    def cpu_s(self) -> float:
        return sum(sum(each.cpu_times()[:2]) for each in self._processes())

    def memory_mb(self) -> float:
        return sum(each.memory_info().rss for each in self._processes()) / 1e6

    def _processes(self) -> list[psutil.Process]:
        first = [self.process, *self.others]
        return first + [child for each in first for child in each.children(recursive=True)]


@contextmanager
def gateway(
    data: Path | str,
    mode: str,
    *flags: str,
    environ: Mapping[str, str] | None = None,
    notes: Path | None = None,
    checkout: Path | None = None,
) -> Iterator[Running]:
    """Start `woodpecker-gateway serve` on a free port, stop it at the end; then its pauses are in
    the file `notes`, if one is given. Of the sources in `checkout`, or of those that run here."""
    module = ["gateway"] if notes is None else ["compat_tests.bench.watched", str(notes)]
    command = [sys.executable, "-m", *module, "serve", "--listen", "127.0.0.1:0"]
    command += ["--data", str(data), "--mode", mode, *flags]
    begun = time.perf_counter()
    # A module is looked for in the folder that a process is started in before all others.
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environ or {})},
        cwd=checkout,
    )
    assert process.stderr is not None
    draining = threading.Thread(target=process.stderr.read, daemon=True)
    try:
        port = _ready_port(process)
        started_s = time.perf_counter() - begun
        # A pipe that nobody reads fills up, and then the gateway waits with its next line.
        draining.start()
        yield Running(f"127.0.0.1:{port}", psutil.Process(process.pid), started_s)
    finally:
        process.terminate()
        process.wait(timeout=START_TIMEOUT_S)
        if draining.ident is not None:
            draining.join()
        process.stderr.close()


def _ready_port(process: subprocess.Popen[str]) -> int:
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        event = json.loads(line) if line.startswith("{") else {}
        if event.get("event") == "ready":
            return int(event["port"])
    raise RuntimeError("the gateway did not start: " + "".join(seen))
