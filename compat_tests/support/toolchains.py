"""Workers in other languages: built from `workers/` with the toolchain of this machine.

What they need comes from the language's registry, pinned by the lock file beside the sources. What
is built lies under `.venvs/` and is made anew when the sources change.
"""

import fcntl
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path

from compat_tests.support.environments import ROOT, MissingClientError

WORKERS = ROOT / "compat_tests" / "workers"
BUILT = ROOT / ".venvs"
BUILD_TIMEOUT_S = 600
GO_MIN = (1, 26)
NODE_MIN = (20,)


@cache
def go(program: str) -> list[str]:
    """The command of a program under `workers/go`."""
    tool = _tool("go", "version", GO_MIN)
    target = BUILT / "go" / program
    with _alone("go"):  # its own cache knows what has changed
        _run([tool, "build", "-mod=readonly", "-o", str(target), f"./{program}"], WORKERS / "go")
    return [str(target)]


@cache
def node(script: str) -> list[str]:
    """The command of a script under `workers/node`, run in a copy with its packages beside it."""
    tool = _tool("node", "--version", NODE_MIN)
    npm = _tool("npm", "--version", ())
    sources = sorted((WORKERS / "node").iterdir())
    locked = b"".join(path.read_bytes() for path in sources if path.suffix == ".json")
    folder = BUILT / f"node-{sha256(locked).hexdigest()[:12]}"
    with _alone("node"):
        folder.mkdir(exist_ok=True)
        for path in sources:
            shutil.copy(path, folder)
        if not (folder / "installed").exists():
            _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
            (folder / "installed").touch()
    return [tool, str(folder / script)]


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Tests run in several processes: one of them builds."""
    BUILT.mkdir(exist_ok=True)
    with (BUILT / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _tool(name: str, ask: str, at_least: tuple[int, ...]) -> str:
    path = shutil.which(name)
    if path is None:
        raise MissingClientError(f"no {name} on PATH")
    said = subprocess.run([path, ask], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None or tuple(map(int, found.groups())) < at_least:
        needed = ".".join(map(str, at_least))
        raise MissingClientError(f"{path} says {said.strip()!r}, needed is {needed} or newer")
    return path


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()[-800:]
        raise MissingClientError(f"{' '.join(command[:3])} failed: {said}")
