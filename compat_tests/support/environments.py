"""The interpreter of each client: our own environment, or one made for librdkafka 1.9.

confluent-kafka 1.9.2 is the last release on the librdkafka that Milvus pins, and its wheels end at
Python 3.10. So that client lives in `.venvs/librdkafka19`, made from any Python 3.7 to 3.10 on the
machine. Without one, the confluent binding for Go of the same release would need a Go toolchain;
that is not attempted: the client is reported missing, with the reason.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRDKAFKA19_REQUIREMENT = "confluent-kafka==1.9.2"
LIBRDKAFKA19_PYTHONS = ("3.10", "3.9", "3.8", "3.7")
PIP_INSTALL = ("-m", "pip", "--disable-pip-version-check", "install", "-q", "--only-binary=:all:")
INSTALL_TIMEOUT_S = 300


class MissingClientError(Exception):
    """The client cannot run here; the text says why."""


def newest_python() -> str:
    return sys.executable


@cache
def librdkafka19_python() -> str:
    """The interpreter that imports confluent-kafka 1.9.2; made on first use."""
    if given := os.environ.get("LIBRDKAFKA19_PYTHON"):
        return given
    folder = ROOT / ".venvs" / "librdkafka19"
    python = folder / "bin" / "python"
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:  # tests run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _imports(python):
            _make(folder, python)
    return str(python)


def _imports(python: Path) -> bool:
    probe = "import confluent_kafka as c; assert c.libversion()[0].startswith('1.9')"
    if not python.exists():
        return False
    return subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode == 0


def _make(folder: Path, python: Path) -> None:
    base = _old_python()
    for command in (
        [base, "-m", "venv", "--clear", str(folder)],
        [str(python), *PIP_INSTALL, LIBRDKAFKA19_REQUIREMENT],
    ):
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )
        if done.returncode != 0:
            raise MissingClientError(
                f"{' '.join(command[:4])} … failed: {done.stderr.strip()[-400:]}"
            )
    if not _imports(python):
        raise MissingClientError(f"{LIBRDKAFKA19_REQUIREMENT} is installed but does not import")


def _old_python() -> str:
    for candidate in _candidates():
        probe = [
            candidate,
            "-c",
            "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])",
        ]
        try:
            done = subprocess.run(probe, capture_output=True, text=True, timeout=30, check=False)
        except OSError:
            continue
        if done.returncode == 0 and done.stdout.strip() in LIBRDKAFKA19_PYTHONS:
            return candidate
    raise MissingClientError(
        f"{LIBRDKAFKA19_REQUIREMENT} needs one of Python {', '.join(LIBRDKAFKA19_PYTHONS)}; none "
        "found on PATH, under pyenv or uv (or set LIBRDKAFKA19_PYTHON to one that imports it)"
    )


def _candidates() -> list[str]:
    found: list[str] = []
    roots = [os.environ.get("PYENV_ROOT"), str(Path.home() / ".pyenv")]
    for version in LIBRDKAFKA19_PYTHONS:
        for root in filter(None, roots):
            found += sorted(
                str(path) for path in Path(root).glob(f"versions/{version}.*/bin/python{version}")
            )
        uv_home = Path.home() / ".local" / "share" / "uv" / "python"
        found += sorted(str(p) for p in uv_home.glob(f"cpython-{version}.*/bin/python{version}"))
        if on_path := shutil.which(f"python{version}"):
            found.append(on_path)
    return found
