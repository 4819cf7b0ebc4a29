"""Packages of npm for tests, as a lock file pins them, installed once into `.venvs/`."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

BUILT = Path(__file__).parents[2] / ".venvs"
INSTALL_TIMEOUT_S = 600


class MissingToolError(Exception):
    """Something that the machine does not have; the text says what."""


def installed(sources: Path) -> Path:
    """A folder with what `sources` holds and its packages beside it. Raises MissingToolError."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise MissingToolError("no node and npm on PATH")
    files = sorted(sources.iterdir())
    locked = b"".join(path.read_bytes() for path in files if path.suffix == ".json")
    folder = BUILT / f"{sources.name}-{sha256(locked).hexdigest()[:12]}"
    with alone(sources.name):
        folder.mkdir(exist_ok=True)
        for path in files:
            shutil.copy(path, folder)
        if not (folder / "installed").exists():
            run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
            (folder / "installed").touch()
    return folder


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Tests run in several processes: one of them builds."""
    BUILT.mkdir(exist_ok=True)
    with (BUILT / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(command: Sequence[str], folder: Path) -> None:
    """A step of a build. Raises MissingToolError with its last words."""
    done = subprocess.run(  # noqa: S603 - our own words
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()[-800:]
        raise MissingToolError(f"{' '.join(command[:3])} failed: {said}")
