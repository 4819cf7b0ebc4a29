"""Where the commands of documents run as they stand: a folder with data, a broker, two buckets.

The program's name leads to the code under test. What a reader has and a test has not is filled in:
the broker's port, a free port and folder to serve on, and the Ctrl-C for `serve` and `consume`.
"""

import json
import os
import shlex
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from compat_tests.repo.commands import our_arguments
from compat_tests.repo.files import ROOT
from compat_tests.support.gateway import Gateway
from wal_core.testing.s3_server import S3Server

COMMAND_TIMEOUT_S = 60.0
BUCKETS = ("my-bucket", "my-backups")
DEFAULT_BOOTSTRAP = "127.0.0.1:9092"
_PROGRAM = """#!/bin/sh
case "$1 $*" in
  consume*--max-messages*) set -- "$@" --bootstrap {bootstrap} ;;
  consume*) set -- "$@" --bootstrap {bootstrap} --max-messages 1 ;;
  topics*|produce*) set -- "$@" --bootstrap {bootstrap} ;;
esac
exec {python} -m gateway "$@"
"""


class Stage:
    """A context manager; `run` plays one command and returns what it printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._environ: dict[str, str] = {}
        self._bootstrap = ""

    def __enter__(self) -> "Stage":
        with ExitStack() as stack:
            store = stack.enter_context(S3Server())
            for bucket in BUCKETS:
                store.make_bucket(bucket)
            broker = stack.enter_context(Gateway(str(self.folder / "data"), mode="file"))
            self._bootstrap = broker.bootstrap
            programs = self.folder / ".venv" / "bin"
            programs.mkdir(parents=True)
            program = programs / "woodpecker-gateway"
            program.write_text(_PROGRAM.format(bootstrap=self._bootstrap, python=sys.executable))
            program.chmod(0o755)
            path = f"{programs}{os.pathsep}{os.environ['PATH']}"
            here = {"PATH": path, "PYTHONPATH": str(ROOT), "WOODPECKER_DISK_RESERVE_BYTES": "1MiB"}
            self._environ = {**os.environ, **here, **store.environ()}
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, line: str) -> str:
        """Raises AssertionError with what it said when the command fails."""
        if (our_arguments(line) or [""])[0] == "serve":
            self._serve(line)
            return ""
        done = subprocess.run(
            ["sh", "-c", line.replace(DEFAULT_BOOTSTRAP, self._bootstrap)],
            cwd=self.folder,
            env=self._environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_TIMEOUT_S,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _serve(self, line: str) -> None:
        """Until it is ready, and then its end as by Ctrl-C."""
        words = [*shlex.split(line), "--listen", "127.0.0.1:0", "--log-format", "json"]
        if "--data" not in words:
            words += ["--data", "served"]  # ./data is the other broker's
        said: list[str] = []
        with subprocess.Popen(
            words,
            cwd=self.folder,
            env=self._environ,
            executable=self.folder / ".venv" / "bin" / "woodpecker-gateway",
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            late = threading.Timer(COMMAND_TIMEOUT_S, process.kill)
            late.start()
            assert process.stderr is not None
            for event in process.stderr:
                said.append(event)
                if _is_ready(event):
                    process.terminate()
            late.cancel()
        assert process.returncode == 0 and any(map(_is_ready, said)), f"{line}\n{''.join(said)}"


def _is_ready(line: str) -> bool:
    return line.startswith("{") and json.loads(line).get("event") == "ready"
