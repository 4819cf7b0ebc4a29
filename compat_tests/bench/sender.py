"""Loads from C: prepared Produce requests, sent by `tiny.c`, and what came of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from compat_tests.bench.sides import Side
from compat_tests.support.environments import MissingClientError
from compat_tests.wire.batches import build
from compat_tests.wire.connection import frame_of, framed
from compat_tests.wire.messages import PRODUCE_VERSION, produce_request

SOURCE = Path(__file__).with_name("tiny.c")
BUILD = Path(__file__).parents[2] / "build" / "bench"
SHARES = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "p999_ms": 0.999, "p9999_ms": 0.9999}
FILL_S = 120.0


class Load(NamedTuple):
    """`values` are the records of every batch, a batch a request."""

    values: Sequence[bytes]
    partitions: int = 1
    connections: int = 1
    in_flight: int = 1
    seconds: float = 3.0
    rate: float = 0.0
    requests: int = 0

    @property
    def batch_bytes(self) -> int:
        return sum(map(len, self.values))


class Sent(NamedTuple):
    """Of all senders together. `waits` are (milliseconds, how many times), ascending."""

    replies: int
    seconds: float
    sender_cpu_s: float
    broker_cpu_s: float
    longest_ms: float
    waits: list[tuple[float, int]]

    def figures(self, load: Load) -> dict[str, float]:
        """Requests and bytes a second, what they cost the broker, and how long they took."""
        sent_bytes = self.replies * load.batch_bytes
        found = {
            "requests_per_s": self.replies / self.seconds,
            "requests_per_cpu_s": self.replies / max(self.broker_cpu_s, 1e-3),
            "cpu_us_per_request": self.broker_cpu_s * 1e6 / self.replies,
            "mb_per_s": sent_bytes / 1e6 / self.seconds,
            "cpu_s_per_gb": self.broker_cpu_s * 1e9 / sent_bytes,
            "sender_cpu_us_per_request": self.sender_cpu_s * 1e6 / self.replies,
        }
        found |= {name: self.percentile(share) for name, share in SHARES.items()}
        return {**found, "max_ms": self.longest_ms}

    def percentile(self, share: float) -> float:
        """Of all replies: milliseconds that this share of them took at most."""
        seen = 0
        for wait_ms, count in self.waits:
            seen += count
            if seen >= share * self.replies:
                return wait_ms
        return self.longest_ms


def send(side: Side, load: Load, topic: str = "") -> Sent:
    """To a topic of its own, or to one that is there; all replies counted, and all records found
    again. RuntimeError if one was refused."""
    if not topic:
        with side.topic(load.partitions) as made:
            return send(side, load, made)
    before = side.records_count(topic, load.partitions)
    sent = _send(side, load, topic)
    written = side.records_count(topic, load.partitions) - before
    if written != sent.replies * len(load.values):
        raise RuntimeError(f"{side.name}: {sent.replies} replies, {written} records")
    return sent


def _send(side: Side, load: Load, topic: str) -> Sent:
    ports = side.leaders(topic, load.partitions)
    batch = build(load.values)
    processes = []
    with tempfile.TemporaryDirectory(prefix="sender-") as folder:
        before_s = side.running.cpu_s()
        owners = sorted(set(ports))
        for port in owners:
            path = Path(folder) / str(port)
            mine = [n for n, owner in enumerate(ports) if owner == port]
            path.write_bytes(b"".join(_request(topic, n, batch) for n in mine))
            words = (port, path, max(1, load.connections // len(owners)), load.in_flight)
            words += (load.seconds, load.rate / len(owners), load.requests // len(owners))
            processes.append(
                subprocess.Popen([sender(), *map(str, words)], stdout=subprocess.PIPE, text=True)
            )
        told = [process.communicate()[0] for process in processes]
        used_s = side.running.cpu_s() - before_s
    if any(process.returncode for process in processes):
        raise RuntimeError(f"{side.name}: a sender failed, see above")
    return _together([json.loads(each) for each in told], used_s)


def _request(topic: str, partition: int, batch: bytes) -> bytes:
    body = produce_request({topic: {partition: batch}})
    return framed(frame_of(body, PRODUCE_VERSION, 1, "bench"))


def _together(told: list[dict], used_s: float) -> Sent:
    counts: dict[float, int] = {}
    for each in told:
        for least_ns, count in each["buckets"]:
            counts[least_ns / 1e6] = counts.get(least_ns / 1e6, 0) + count
    return Sent(
        sum(each["replies"] for each in told),
        max(each["seconds"] for each in told),
        sum(each["cpu_s"] for each in told),
        used_s,
        max(each["longest_ns"] for each in told) / 1e6,
        sorted(counts.items()),
    )


def fill(side: Side, load: Load, topic: str) -> None:
    """So many requests as fast as it goes."""
    send(side, load._replace(seconds=FILL_S), topic)


def sender() -> Path:
    """The program."""
    return built(SOURCE)


def built(source: Path) -> Path:
    """A program of one file of C, built if it is older than that."""
    program = BUILD / source.stem
    if program.exists() and program.stat().st_mtime >= source.stat().st_mtime:
        return program
    compiler = shutil.which("cc")
    if compiler is None:
        raise MissingClientError("no cc on PATH; the bench needs a C compiler for its clients")
    BUILD.mkdir(parents=True, exist_ok=True)
    words = (compiler, "-O2", "-Wall", "-Wextra", "-Werror", str(source), "-o", str(program))
    subprocess.run(words, check=True)
    return program
