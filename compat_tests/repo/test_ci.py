"""`.ci/run` fails when the tests fail, and when a promised client did not take part."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from compat_tests.repo.files import ROOT, read
from compat_tests.support.client import LIBRARIES

ALL = sorted([*LIBRARIES, "apache-kafka-3", "apache-kafka-4", "kcat", "azurite"])


INSTALLED = ("kcat", "javac", "mvn")
"""Those that it would install: what a system has is not for a test to change."""


def run_with(folder: Path, recipe: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of .ci/run beside a Makefile whose `test` does what `recipe` says."""
    (folder / ".ci").mkdir()
    (folder / "bin").mkdir()
    for name in INSTALLED:
        (folder / "bin" / name).touch(0o755)
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci")
    (folder / "Makefile").write_text(f"test:\n\t@{recipe}\n")
    return subprocess.run(
        [folder / ".ci" / "run"],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
    )


def report(clients: list[str]) -> str:
    return "; ".join(f"echo 'ran      {client}: 1.0'" for client in clients)


def test_it_asks_for_every_client_that_is_promised() -> None:
    (names,) = re.findall(r"^clients=\((.*)\)$", read(".ci/run"), re.MULTILINE)
    assert sorted(names.split()) == ALL


def test_all_is_well_and_the_suite_knew_it_was_in_ci(tmp_path: Path) -> None:
    done = run_with(tmp_path, f'test "$$CI" = true && {{ {report(ALL)}; }}')
    assert done.returncode == 0, done.stderr
    assert "all tests passed" in done.stdout


@pytest.mark.parametrize("missing", ALL)
def test_a_client_that_did_not_take_part(tmp_path: Path, missing: str) -> None:
    done = run_with(tmp_path, report([client for client in ALL if client != missing]))
    assert done.returncode != 0
    assert f"no test ran with {missing}" in done.stderr


def test_tests_that_fail(tmp_path: Path) -> None:
    done = run_with(tmp_path, f"{report(ALL)}; exit 3")
    assert done.returncode != 0
    assert "all tests passed" not in done.stdout


WITHOUT_ONE = """
from dataclasses import replace

from compat_tests.support import client, environments


def command():
    raise environments.MissingClientError("not today")


name = "librdkafka-1.9"
client.LIBRARIES[name] = replace(client.LIBRARIES[name], command=command)
"""


@pytest.mark.parametrize("processes", ["0", "2"])
def test_a_client_that_cannot_run_fails_the_suite(tmp_path: Path, processes: str) -> None:
    """In whichever process its tests would have been."""
    (tmp_path / "without_one.py").write_text(WITHOUT_ONE)
    suite = ["-n", processes, "compat_tests/milvus", "-k", "test_s02"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "without_one", *suite],
        cwd=ROOT,
        env={**os.environ, "CI": "true", "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "MISSING  librdkafka-1.9: not today" in done.stdout
    assert "ran      confluent-kafka" in done.stdout
    assert done.returncode == 1
