"""Mode quorum to measure: with a logstore in each broker, or with logstores by themselves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from compat_tests.bench.broker import Running, gateway
from compat_tests.cluster.running import cluster
from compat_tests.support.deadline import wait_until
from gateway.testing.etcd_server import EtcdCluster
from wal_core.testing.s3_server import S3Server

_BUCKET = "quorum"
COUNT = 3
SETTLE_TIMEOUT_S = 120.0


@contextmanager
def together(folder: Path, *flags: str) -> Iterator[Running]:
    """Three brokers, each with a logstore, once all logs are served."""
    folder.mkdir()
    begun = time.perf_counter()
    with cluster(folder, 1, 2, 3, flags=flags, quorum=True) as nodes:
        nodes.create("first")
        wait_until(
            lambda: len(nodes.led_by("first")) == len(nodes.nodes),
            timeout_s=SETTLE_TIMEOUT_S,
            what="logs shared out",
        )
        started_s = time.perf_counter() - begun
        first, *others = (psutil.Process(node.pid) for node in nodes.nodes.values())
        yield Running(nodes.bootstrap, first, started_s, tuple(others))


@contextmanager
def apart(folder: Path) -> Iterator[Running]:
    """One broker, and three logstores as processes of their own."""
    folder.mkdir()
    with ExitStack() as stack:
        server = stack.enter_context(S3Server())
        server.make_bucket(_BUCKET)
        urls = stack.enter_context(EtcdCluster(folder, 1)).urls
        stores = [
            stack.enter_context(_logstore(folder / f"logstore-{n}", f"rack-{n}", urls))
            for n in range(COUNT)
        ]
        flags = ("--etcd", urls, "--node-id", "1")
        data = f"s3://{_BUCKET}/apart"
        running = stack.enter_context(gateway(data, "quorum", *flags, environ=server.environ()))
        yield running._replace(others=tuple(stores))


@contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """It stands still."""
    process.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED, what="a stopped process")
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextmanager
def _logstore(folder: Path, rack: str, etcd_urls: str) -> Iterator[psutil.Process]:
    words = ["--data", str(folder), "--listen", "127.0.0.1:0", "--rack", rack, "--etcd", etcd_urls]
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "logstore", *words, "--log-format", "json"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        first = process.stderr.readline()
        if json.loads(first)["event"] != "logstore ready":
            raise RuntimeError(f"the logstore did not start: {first}")
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=SETTLE_TIMEOUT_S)
