"""The wheel holds what it should, and works where the checkout cannot stand in for it."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pytest

from compat_tests.repo.files import ROOT, read
from compat_tests.support.gateway import Gateway

pytestmark = [
    pytest.mark.xdist_group("wheel"),  # made once
    pytest.mark.timeout(600),  # by a translator and a compiler, beside other tests
]

PACKAGES = {"gateway", "protocol", "wal_core"}
VERSION = re.search(r'^version = "(.*)"', read("pyproject.toml"), re.MULTILINE)[1]  # type: ignore[index]


def run(command: Sequence[str | Path], cwd: Path) -> str:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    shutil.rmtree(ROOT / "build" / "wheel", ignore_errors=True)
    run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a fresh environment that has the wheel and what the lock pins."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    run([sys.executable, "-m", "venv", folder], folder.parent)
    pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run([*pip, "install", "--require-hashes", "-r", ROOT / "requirements.lock"], folder)
    run([*pip, "install", "--no-deps", wheel], folder)
    return folder / "bin"


def names(wheel: Path) -> list[PurePosixPath]:
    with zipfile.ZipFile(wheel) as archive:
        return [PurePosixPath(name) for name in archive.namelist()]


def test_its_name_and_top_level_names(wheel: Path) -> None:
    # One for every version of Python from 3.11 on; of the platform, for its compiled help.
    assert re.fullmatch(rf"woodpecker_gateway-{VERSION}-cp311-abi3-\w+\.whl", wheel.name)
    info = f"woodpecker_gateway-{VERSION}.dist-info"
    assert {name.parts[0] for name in names(wheel)} == PACKAGES | {info}


def test_it_ships_the_program_and_nothing_else(wheel: Path) -> None:
    shipped = names(wheel)
    assert not [name for name in shipped if {"tests", "testing", "codegen"} & set(name.parts)]
    assert {name.suffix for name in shipped if name.parts[0] in PACKAGES} <= {
        ".py",
        ".typed",
        ".md",
        ".pyi",
        ".so",
        ".txt",
    }
    for package in PACKAGES:
        assert PurePosixPath(package, "py.typed") in shipped
    assert {"LICENSE", "NOTICE"} <= {name.name for name in shipped}


def test_the_program_runs_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    expected = f"woodpecker-gateway {VERSION}\n"
    assert run([installed / "woodpecker-gateway", "--version"], tmp_path) == expected
    assert run([installed / "python", "-P", "-m", "gateway", "--version"], tmp_path) == expected


def test_compiled_help_is_in_it_and_in_use(installed: Path, tmp_path: Path) -> None:
    assert shutil.which("cc"), "the machine that runs these tests has a compiler"
    code = "import protocol, wal_core; "
    code += "print({*protocol.compiled_parts().values(), *wal_core.compiled_parts().values()})"
    program = [installed / "python", "-P", "-c", code]
    assert run(program, tmp_path) == "{True}\n"
    assert run(["env", "WOODPECKER_PURE_PYTHON=1", *program], tmp_path) == "{False}\n"


def test_machine_code_is_in_it_and_in_use(installed: Path, tmp_path: Path) -> None:
    doctor = [installed / "woodpecker-gateway", "doctor", "--data", tmp_path / "data"]
    hot = re.compile(r"hot modules: (.*)")
    assert re.fullmatch(r"\d+ of them run as machine code", hot.findall(run(doctor, tmp_path))[0])
    without = run(["env", "WOODPECKER_PURE_PYTHON=1", *doctor], tmp_path)
    assert hot.findall(without) == ["run as Python, because WOODPECKER_PURE_PYTHON is set"]


def test_without_a_compiler_it_is_built_all_the_same(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    sources = tmp_path / "sources"
    sources.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, sources)
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, sources / package, ignore=shutil.ignore_patterns("*.so", "built")
        )
    run(["env", "CC=false", *pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, sources], tmp_path)
    (made,) = tmp_path.glob("*.whl")
    shipped = names(made)
    assert PurePosixPath("protocol", "record_check.py") in shipped
    assert ".so" not in {name.suffix for name in shipped}


def test_it_is_the_wheel_that_runs(installed: Path, tmp_path: Path) -> None:
    code = "import gateway, protocol, wal_core; print(gateway.__file__, protocol.__file__)"
    files = run([installed / "python", "-P", "-c", code], tmp_path).split()
    assert all(file.startswith(str(installed.parent)) for file in files)


def test_it_serves(installed: Path, tmp_path: Path) -> None:
    program = installed / "woodpecker-gateway"
    command = [str(installed / "python"), "-P", "-m", "gateway", "serve"]
    with Gateway(str(tmp_path / "data"), mode="file", command=command) as gateway:
        where = ["--bootstrap", gateway.bootstrap]
        run([program, "produce", "t", "--value", "x", "--compression", "zstd", *where], tmp_path)
        read_back = [program, "consume", "t", "--from-beginning", "--max-messages", "1", *where]
        assert run(read_back, tmp_path) == "x\n"
        assert gateway.stop() == 0
