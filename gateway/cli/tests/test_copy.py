"""`copy`: what it says, and that the copy opens like the original."""

import asyncio
from pathlib import Path

import pytest

from gateway.cli.main import run
from gateway.cli.tests.test_fsck import fill


@pytest.fixture
def original(tmp_path: Path) -> Path:
    asyncio.run(fill(tmp_path / "data"))
    return tmp_path / "data"


def test_a_copy_is_as_sound_as_the_original(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "copy"
    assert run(["copy", "--from", str(original), "--to", str(target)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{target}: 0 sealed and 4 other segments")
    order = [line for line in said.err.splitlines() if line.startswith("log ")]
    assert order == ["log 1", "log 0"]  # the catalog last
    assert run(["fsck", "--data", str(target)]) == 0


def test_what_is_there_is_not_overwritten(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / "copy"
    assert run(["copy", "--from", str(original), "--to", str(copied)]) == 0
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    assert run(["copy", "--from", str(original), "--to", str(copied)]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()} == before


def test_damage_of_the_original_is_said_with_what_tells_more(
    original: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (block,) = (original / "logs" / "1").rglob("0000000001")
    block.write_bytes(block.read_bytes()[:-1] + b"?")
    assert run(["copy", "--from", str(original), "--to", str(tmp_path / "broken")]) in (0, 1)
    said = capsys.readouterr().err
    assert "fsck" in said


def test_there_has_to_be_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["copy", "--from", str(tmp_path), "--to", str(tmp_path / "x")]) == 1
    assert "holds no log" in capsys.readouterr().err
