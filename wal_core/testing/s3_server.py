"""A real S3 server for tests and benchmarks: started on a random loopback port, gone afterwards.

Two independent ones can be had as Python packages: ministack (fast, the default) and moto. Both
keep everything in memory.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from threading import Thread
from typing import Literal

Kind = Literal["ministack", "moto"]

REGION = "us-east-1"
ACCESS_KEY = "test-access-key"
SECRET_KEY = "test-secret-key"  # noqa: S105 - of a server that believes everybody
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
LOG_LINES_KEPT_COUNT = 200
_POLL_S = 0.02


class S3Server:
    """One server process. Use it as a context manager."""

    def __init__(self, kind: Kind = "ministack") -> None:
        self.kind = kind
        self.endpoint = ""
        self.log: deque[str] = deque(maxlen=LOG_LINES_KEPT_COUNT)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> S3Server:
        port = _free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        environ = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        environ |= {"SERVICES": "s3", "S3_PERSIST": "0", "LOG_LEVEL": "WARNING"}
        environ |= {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1"}
        self._process = subprocess.Popen(  # noqa: S603 - our own words
            _command(self.kind, port),
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        Thread(target=self._follow, args=(self._process,), daemon=True).start()
        try:
            self._wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def environ(self) -> dict[str, str]:
        """What a program needs in its environment to find this server and nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }

    def make_bucket(self, name: str) -> None:
        """The servers check no signature, so a bare PUT does."""
        request = urllib.request.Request(f"{self.endpoint}/{name}", method="PUT")  # noqa: S310
        with _opener().open(request, timeout=10):
            pass

    def _follow(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.log.append(line.rstrip())

    def _wait_ready(self) -> None:
        assert self._process is not None
        deadline_s = time.perf_counter() + START_TIMEOUT_S
        while True:
            try:
                with _opener().open(self.endpoint, timeout=5):
                    return
            except urllib.error.HTTPError:
                return  # it speaks
            except OSError:
                if self._process.poll() is not None or time.perf_counter() > deadline_s:
                    said = "\n".join(self.log)
                    raise RuntimeError(f"{self.kind} did not start:\n{said}") from None
                time.sleep(_POLL_S)


def _command(kind: Kind, port: int) -> list[str]:
    if kind == "moto":
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    address = f"127.0.0.1:{port}"
    # Its own command would write a file with its process id beside other people's.
    words = ["hypercorn", "ministack.app:app", "--bind", address]
    # No workers: one process, which a test can stop and end.
    return [sys.executable, "-m", *words, "--workers", "0"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _opener() -> urllib.request.OpenerDirector:
    """One that goes straight to the server, whatever proxy the machine is set up for."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
