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
    "protocol.planted_1": "wal_core",
    "protocol.planted_2": "asyncio",
    "protocol.planted_3": "time",
    "protocol.planted_4": "pathlib",
    "protocol.messages.planted": "protocol.framing",
    "wal_core.planted_1": "protocol.api_keys",
    "wal_core.planted_2": "gateway.settings.config",
    "wal_core.format.planted": "wal_core.stores.manifests",
    "wal_core.stores.objects.planted": "wal_core.state.streams",
    "wal_core.state.planted": "wal_core.write.roll",
    "wal_core.write.planted": "wal_core.read.cache",
    "wal_core.read.planted": "wal_core.write.roll",
    "wal_core.upkeep.planted": "wal_core.log",
    "wal_core.fsck.planted": "wal_core.copy.copier",
    "wal_core.copy.planted": "wal_core.testing.sim_disk",
    "gateway.settings.planted": "gateway.observe.logger",
    "gateway.observe.planted": "gateway.fairness.slices",
    "gateway.fairness.planted": "gateway.broker.partition",
    "gateway.cluster.planted": "gateway.fairness.turns",
    "gateway.broker.planted_1": "gateway.groups.states",
    "gateway.broker.planted_2": "gateway.testing.sim.plan",
    "gateway.broker.planted_3": "gateway.verify.replies",
    "gateway.groups.planted": "gateway.broker.waiting",
    "gateway.api.planted": "gateway.net.hub",
    "gateway.net.planted": "gateway.metrics.table",
    "gateway.metrics.planted": "gateway.server",
    "gateway.verify.planted_1": "gateway.settings.config",
    "gateway.verify.planted_2": "protocol.primitives",
}
"""What imports which, against the contracts."""
NO_ROOM = ("wal_core.planted_1", "protocol.planted_1", "gateway.planted")
"""Of these, some that have no place among the layers of their package."""


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


@pytest.fixture(scope="module")
def noticed(copied: Path) -> str:
    for name, target in PLANTED.items():
        (copied / f"{name.replace('.', '/')}.py").write_text(f"import {target}\n")
    (copied / "gateway/planted.py").write_text("")  # breaks nothing else
    done = lint(copied)
    assert done.returncode != 0
    return done.stdout


@pytest.mark.parametrize(("name", "target"), PLANTED.items(), ids=PLANTED)
def test_a_violation_would_be_noticed(noticed: str, name: str, target: str) -> None:
    assert f"{name} -> {target} (l.1)" in noticed


@pytest.mark.parametrize("name", NO_ROOM)
def test_a_room_without_a_place_would_be_noticed(noticed: str, name: str) -> None:
    assert f"- {name}\n" in noticed
