"""A real Apache Kafka: one node in KRaft mode, broker and controller in one, on loopback.

Its jars come from the Java registry (`compat_tests.support.java`). The storage is formatted once
per version by Kafka's own tool and copied for each start, which spares a start of Java.
"""

import fcntl
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from compat_tests.support.deadline import wait_until
from compat_tests.support.java import FOLDER, classpath, java
from wal_core.testing.ports import free_ports

KAFKA_3 = "3.9.2"
"""The last line that serves what Kafka 4 dropped: the oldest versions of most APIs."""
KAFKA_4 = "4.4.0"
TOOLS_4 = "4.3.1"
"""Whose tools, and whose Connect, are compared."""
READY_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 30.0
CLUSTER_ID = "b3JhY2xlb3JhY2xlb3JhYw"
NODE_ID = 1
# Small and quick to start: it serves one test run.
JVM_FLAGS = (
    "-Xms128m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Djava.net.preferIPv4Stack=true",
)
LOG_CONFIG_3 = """
log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c %m%n
"""
LOG_CONFIG_4 = """
Configuration:
  Appenders:
    Console:
      name: out
      PatternLayout:
        pattern: "%d %p %c %m%n"
  Loggers:
    Root:
      level: WARN
      AppenderRef:
        - ref: out
"""


class Kafka:
    """One data folder and the process that serves it; address and folder stay over restarts."""

    mode = "kafka"

    def __init__(
        self,
        folder: Path,
        *,
        version: str = KAFKA_3,
        settings: Mapping[str, str] | None = None,
        jvm_flags: Sequence[str] = JVM_FLAGS,
    ) -> None:
        """`settings` are more lines of `server.properties`, or others for those of `properties`.

        MissingClientError where there is no Java or the jars cannot be had.
        """
        self.folder = folder
        self.version = version
        self._java = java()
        self._classpath = classpath(f"org.apache.kafka:kafka_2.13:{version}")
        self._ports = free_ports(2)
        self._settings = dict(settings or {})
        self._jvm_flags = jvm_flags
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._ports[0]}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def properties(self) -> dict[str, str]:
        """Kafka's defaults, but for one node, its place, and first joins that wait for nobody."""
        broker, controller = (f"127.0.0.1:{port}" for port in self._ports)
        return {
            "process.roles": "broker,controller",
            "node.id": str(NODE_ID),
            "controller.quorum.voters": f"{NODE_ID}@{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.folder / "data"),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            **self._settings,
        }

    def start(self) -> "Kafka":
        """Returns when it answers on its port."""
        assert not self.running
        self.folder.mkdir(parents=True, exist_ok=True)
        _write_properties(self.folder / "server.properties", self.properties())
        if not (self.folder / "data").exists():
            shutil.copytree(self._formatted(), self.folder / "data")
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command("kafka.Kafka", str(self.folder / "server.properties")),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(
                lambda: not self.running or self._answers(),
                timeout_s=READY_TIMEOUT_S,
                what="a Kafka that answers",
            )
        except AssertionError:
            self.kill()
            raise
        assert self.running, f"Kafka ended before it was ready:\n{self.said()}"
        return self

    def _answers(self) -> bool:
        """It registers itself, then opens its port: who asks for metadata finds it."""
        try:
            with socket.create_connection(("127.0.0.1", self._ports[0]), timeout=5) as probe:
                # ApiVersions v0, no client id: a header without a body.
                probe.sendall(bytes.fromhex("0000000a0012000000000001ffff"))
                return len(probe.recv(4)) == 4
        except OSError:
            return False

    def said(self) -> str:
        """The last lines it printed."""
        lines = (self.folder / "log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-40:])

    def stop(self) -> None:
        """SIGTERM, which ends it in an orderly way."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _command(self, main: str, *arguments: str) -> list[str]:
        config = self.folder / ("log4j.properties" if self._is_3 else "log4j2.yaml")
        config.write_text(LOG_CONFIG_3 if self._is_3 else LOG_CONFIG_4)
        name = "log4j.configuration" if self._is_3 else "log4j2.configurationFile"
        flags = [*self._jvm_flags, f"-D{name}=file:{config}", "-cp", self._classpath]
        return [self._java, *flags, main, *arguments]

    @property
    def _is_3(self) -> bool:
        return self.version.startswith("3.")

    def _formatted(self) -> Path:
        """A folder that Kafka's tool has formatted; made once per version."""
        formatted = FOLDER / f"formatted-{self.version}"
        with (FOLDER / f"{formatted.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not formatted.exists():
                made = formatted.with_suffix(".new")
                shutil.rmtree(made, ignore_errors=True)
                path = self.folder / "format.properties"
                _write_properties(path, {**self.properties(), "log.dirs": str(made)})
                done = subprocess.run(
                    self._command(
                        "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(path)
                    ),
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, done.stdout + done.stderr
                made.rename(formatted)
        return formatted

    def __enter__(self) -> "Kafka":
        return self if self.running else self.start()

    def __exit__(self, *_: object) -> None:
        if self.running:  # nobody needs its data any more
            self.kill()


def _write_properties(path: Path, properties: Mapping[str, str]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
