"""Kafka Connect: a file into a topic and out of it, and offsets set back to where they began."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from compat_tests.java.running import Running
from compat_tests.support.client import Client, Library
from compat_tests.support.deadline import wait_until
from compat_tests.support.gateway import Gateway
from compat_tests.support.java import classpath, java
from compat_tests.support.javac import JVM_FLAGS
from compat_tests.support.kafka import TOOLS_4
from wal_core.testing.ports import free_ports

CONNECT = tuple(f"org.apache.kafka:connect-{name}:{TOOLS_4}" for name in ("runtime", "file"))
MAIN = "org.apache.kafka.connect.cli.ConnectStandalone"
STARTUP_TIMEOUT_S = 90.0
FILE = "org.apache.kafka.connect.file.FileStream"


def write_properties(path: Path, settings: Mapping[str, object]) -> str:
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return str(path)


class Worker:
    """Connect's REST interface."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/connectors"

    def ask(self, path: str = "", method: str = "GET") -> Any:
        request = urllib.request.Request(self._base + path, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def states(self, name: str) -> set[str]:
        """Of the connector and its tasks."""
        try:
            status = self.ask(f"/{name}/status")
        except urllib.error.URLError:  # it is starting
            return set()
        return {part["state"] for part in (status["connector"], *status["tasks"])}

    def wait(self, name: str, state: str) -> None:
        wait_until(
            lambda: self.states(name) == {state},
            timeout_s=STARTUP_TIMEOUT_S,
            what=f"{name} to be {state}",
        )

    def set_back(self, name: str) -> None:
        """Stops it, forgets its offsets, and lets it go on."""
        self.ask(f"/{name}/stop", "PUT")
        self.wait(name, "STOPPED")
        self.ask(f"/{name}/offsets", "DELETE")
        assert self.ask(f"/{name}/offsets") == {"offsets": []}
        self.ask(f"/{name}/resume", "PUT")
        self.wait(name, "RUNNING")


def has(path: Path, lines: list[str]) -> None:
    wait_until(
        lambda: path.exists() and path.read_text().splitlines() == lines,
        timeout_s=60,
        what=f"{len(lines)} lines in {path.name}",
    )


@pytest.mark.timeout(240)
def test_a_file_goes_through_a_topic_and_again_from_its_beginning(
    own_gateway: Callable[..., Gateway],
    need: Callable[[str], Library],
    launch: Callable[[Library, Gateway], Client],
    tmp_path: Path,
) -> None:
    gateway = own_gateway("file")
    client = launch(need("java-4.4"), gateway)
    (port,) = free_ports(1)
    text = "org.apache.kafka.connect.storage.StringConverter"
    worker_settings = {
        "bootstrap.servers": gateway.bootstrap,
        "listeners": f"http://127.0.0.1:{port}",
        "key.converter": text,
        "value.converter": text,
        "offset.storage.file.filename": tmp_path / "offsets",
        "offset.flush.interval.ms": 200,
        "plugin.discovery": "service_load",
    }
    source = {"name": "in", "connector.class": FILE + "SourceConnector", "topic": "lines"}
    sink = {"name": "out", "connector.class": FILE + "SinkConnector", "topics": "lines"}
    read, written = tmp_path / "read", tmp_path / "written"
    lines = [f"line {number}" for number in range(5)]
    read.write_text("\n".join(lines) + "\n")
    command = [java(), *JVM_FLAGS, "-cp", classpath(*CONNECT), MAIN]
    command += [
        write_properties(tmp_path / "worker.properties", worker_settings),
        write_properties(tmp_path / "in.properties", {**source, "file": read}),
        write_properties(tmp_path / "out.properties", {**sink, "file": written}),
    ]
    worker = Worker(port)
    with Running(command) as process:
        for name in ("in", "out"):
            worker.wait(name, "RUNNING")
        has(written, lines)
        gateway.restart(graceful=False)
        with read.open("a") as file:
            file.write("one more\n")
        has(written, [*lines, "one more"])
        assert [record.value for record in client.read_all("lines", 6)][-1] == b"one more"

        worker.set_back("out")
        has(written, [*lines, "one more"] * 2)
        worker.set_back("in")
        has(written, [*lines, "one more"] * 3)
        process.terminate()
