"""A Java program that runs beside a test: its lines, its end by request or by kill -9."""

import subprocess
import threading
from collections.abc import Sequence

from compat_tests.support.deadline import wait_until

STOP_TIMEOUT_S = 60.0


class Running:
    """One process; what it prints is kept."""

    def __init__(self, command: Sequence[str]) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._reader = threading.Thread(target=self._follow, daemon=True)
        self._reader.start()

    def _follow(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.decode(errors="replace").rstrip())

    def wait_line(self, wanted: str, timeout_s: float = 60.0) -> None:
        """Until it has printed a line that is this one."""
        wait_until(
            lambda: wanted in self.lines or self._process.poll() is not None,
            timeout_s=timeout_s,
            what=f"{wanted} of {self.lines[-20:]}",
        )
        assert wanted in self.lines, self.said()

    def said(self) -> str:
        return "\n".join(self.lines[-60:])

    def finish(self) -> None:
        """Its input ends; it has nothing else to wait for."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(STOP_TIMEOUT_S) == 0, self.said()

    def terminate(self) -> None:
        """SIGTERM, and until it has ended."""
        self._process.terminate()
        self._process.wait(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()
        self._reader.join(5)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
