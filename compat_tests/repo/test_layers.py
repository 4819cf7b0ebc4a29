"""The layer contracts hold, and would notice a violation: some are planted in a copy."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from compat_tests.repo.files import ROOT

PACKAGES = ("gateway", "protocol", "wal_core")
LINT = Path(sys.executable).with_name("lint-imports")

PLANTED = {
    "protocol imports wal_core": ("protocol/planted.py", "import wal_core"),
    "wal_core imports protocol": ("wal_core/planted.py", "from protocol import ApiKey"),
    "wal_core imports gateway": ("wal_core/planted.py", "import gateway.settings.config"),
    "protocol imports asyncio": ("protocol/planted.py", "import asyncio"),
    "protocol imports time": ("protocol/planted.py", "import time"),
    "protocol imports pathlib": ("protocol/planted.py", "from pathlib import Path"),
}


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layers")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    return folder


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(LINT), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_contracts_hold(copied: Path) -> None:
    done = lint(copied)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "line"), PLANTED.values(), ids=PLANTED)
def test_a_violation_would_be_noticed(copied: Path, name: str, line: str) -> None:
    planted = copied / name
    planted.write_text(line + "\n")
    try:
        done = lint(copied)
    finally:
        planted.unlink()
    assert done.returncode != 0
    assert "planted" in done.stdout
