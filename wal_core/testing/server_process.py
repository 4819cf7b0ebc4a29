"""A foreign server as a process: started on a random loopback port, gone afterwards."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Mapping, Sequence
from threading import Thread
from typing import Self

from wal_core.testing.ports import free_ports

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
LOG_LINES_KEPT_COUNT = 200
_POLL_S = 0.02


class ServerProcess:
    """Use it as a context manager; a subclass says what is started."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.endpoint = ""
        self.log: deque[str] = deque(maxlen=LOG_LINES_KEPT_COUNT)
        self._process: subprocess.Popen[str] | None = None

    def command(self, port: int) -> Sequence[str]:
        """What is run, for it to listen on that port of loopback."""
        raise NotImplementedError

    def process_environ(self, port: int) -> Mapping[str, str]:
        """In which environment."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        (port,) = free_ports(1)
        self.endpoint = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(  # noqa: S603 - our own words
            self.command(port),
            env=dict(self.process_environ(port)),
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
                with opener().open(self.endpoint, timeout=5):
                    return
            except urllib.error.HTTPError:
                return  # it speaks
            except OSError:
                if self._process.poll() is not None or time.perf_counter() > deadline_s:
                    said = "\n".join(self.log)
                    raise RuntimeError(f"{self._name} did not start:\n{said}") from None
                time.sleep(_POLL_S)


def opener() -> urllib.request.OpenerDirector:
    """One that goes straight to the server, whatever proxy the machine is set up for."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
