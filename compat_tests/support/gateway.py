"""A broker process under test: start, address, graceful stop, kill -9, restart on the same port."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from compat_tests.support.deadline import wait_until

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
LOG_LINES_KEPT_COUNT = 400
# The folders of many brokers stay until a run is over: each with a small reserve.
_ENVIRON = {"PYTHONUNBUFFERED": "1", "WOODPECKER_DISK_RESERVE_BYTES": "1MiB"}


_flags: list[str] = []


def start_with(flags: list[str]) -> None:
    """From now on every broker gets these flags too, in front of its own."""
    _flags[:] = flags


def logs_count() -> int:
    """Data logs of every broker, by the flags that all get."""
    if "--logs-count" not in _flags:
        return 1
    return int(_flags[_flags.index("--logs-count") + 1])


def default_command() -> list[str]:
    """The program of this checkout, with the interpreter that runs the tests."""
    return [sys.executable, "-m", "gateway", "serve"]


class Gateway:
    """One data location and the process that serves it; the port stays the same over restarts."""

    def __init__(
        self,
        data: str,
        *,
        mode: str,
        options: tuple[str, ...] = (),
        command: list[str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`mode` is file, object, or s3, gs, az: objects in a bucket, which `environ` leads to;
        quorum: that bucket, too."""
        self.data = data
        self.mode = mode
        self.port = 0
        self._options = options
        self._command = command or default_command()
        self._environ = dict(environ or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._ready = threading.Event()
        self.log: deque[str] = deque(maxlen=LOG_LINES_KEPT_COUNT)
        self.tracebacks_count = 0

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def ready(self) -> bool:
        """It accepts connections, or did until it ended."""
        return self._ready.is_set()

    def rss_bytes(self) -> int:
        return int(psutil.Process(self.pid).memory_info().rss)

    def start(self) -> "Gateway":
        """Returns when the port accepts connections."""
        self.spawn()
        return self.wait_ready()

    def wait_ready(self) -> "Gateway":
        wait_until(
            lambda: self._ready.is_set() or not self.running,
            timeout_s=READY_TIMEOUT_S,
            what="a ready line of the broker",
        )
        if not self._ready.is_set():
            raise AssertionError("the broker ended before it was ready:\n" + "\n".join(self.log))
        return self

    def spawn(self) -> None:
        """Starts the process and leaves it to itself."""
        assert not self.running
        mode = self.mode if self.mode in ("file", "quorum") else "object"
        arguments = ["--listen", f"127.0.0.1:{self.port}", "--data", self.data, "--mode", mode]
        self._ready.clear()
        self._process = subprocess.Popen(
            [*self._command, *arguments, *_flags, *self._options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            env={**os.environ, **_ENVIRON, **self._environ},
        )
        self._reader = threading.Thread(target=self._follow, args=(self._process,), daemon=True)
        self._reader.start()

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        for raw in process.stderr:
            line = raw.decode(errors="replace").rstrip()
            self.log.append(line)
            if "Traceback" in line:
                self.tracebacks_count += 1
            event = _as_event(line)
            if event.get("event") == "ready":
                self.port = int(event["port"])
                self._ready.set()

    def stop(self) -> int:
        """SIGTERM; returns the exit code, which is 0 after a graceful stop."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: the whole process stands still; returns when it does."""
        process = psutil.Process(self.pid)
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED, what="the broker to stop")

    def resume(self) -> None:
        """SIGCONT."""
        psutil.Process(self.pid).send_signal(signal.SIGCONT)

    def wait_ended(self) -> int:
        """Its exit code, once it has ended by itself."""
        assert self._process is not None
        code = self._process.wait(STOP_TIMEOUT_S)
        self._close()
        return code

    def restart(self, *, graceful: bool) -> None:
        if graceful:
            code = self.stop()
            assert code == 0, f"graceful stop ended with {code}:\n" + "\n".join(self.log)
        else:
            self.kill()
        self.start()

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        try:
            code = self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(
                f"the broker ignored {number.name}:\n" + "\n".join(self.log)
            ) from None
        finally:
            self._close()
        return code

    def _close(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        if self._reader is not None:
            self._reader.join(5)
        self._process.stderr.close()

    def __enter__(self) -> "Gateway":
        return self if self.running else self.start()

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.kill()
        elif self._process is not None:  # it ended by itself
            self._close()


class Remote:
    """A broker somebody else runs (`--bootstrap`); it can be used, not restarted or measured."""

    mode = "external"

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap


def split_command(text: str) -> list[str]:
    return shlex.split(text)


def _as_event(line: str) -> dict[str, Any]:
    if not line.startswith("{"):
        return {}
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
