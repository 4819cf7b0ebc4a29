"""`.ci/run` fails when the tests fail, and when a promised client did not take part."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from compat_tests.repo.files import ROOT, read
from compat_tests.support.client import LIBRARIES

ALL = sorted(LIBRARIES)


def run_with(folder: Path, recipe: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of .ci/run beside a Makefile whose `test` does what `recipe` says."""
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci")
    (folder / "Makefile").write_text(f"test:\n\t@{recipe}\n")
    return subprocess.run(
        [folder / ".ci" / "run"], cwd="/", capture_output=True, text=True, check=False, timeout=60
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
