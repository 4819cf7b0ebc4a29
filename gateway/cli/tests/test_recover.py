"""`recover` as people use it: what is told, what is done, what is refused."""

import asyncio
from pathlib import Path

import pytest

from gateway.cli.main import run
from gateway.cli.tests.test_fsck import block, fill
from protocol import Record, build_batch


@pytest.fixture
def replica(tmp_path: Path) -> Path:
    """A folder of objects, of which a block in the middle has not come."""
    asyncio.run(fill(tmp_path, batch=bytes(build_batch([Record(value=b"x")]))))
    block(tmp_path, 2).unlink()
    return tmp_path


def recover(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = run(["recover", *args])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def contents(folder: Path) -> dict[Path, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".reserve")
    return {path: path.read_bytes() for path in files}


@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_it_is_told_by_partition_and_nothing_is_written(
    replica: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    before = contents(replica)
    code, said, _ = recover(capsys, "--data", str(replica), *flags)
    assert code == 0
    assert "log 1: whole are 0 sealed and 1 completed segments, and 2 blocks behind them" in said
    assert "\n  orders-1: given up: offsets 1 to 2\n" in said
    assert "Nothing was written." in said
    assert contents(replica) == before


def test_it_is_done_and_what_is_left_is_sound(
    replica: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said, _ = recover(capsys, "--data", str(replica), "--yes")
    assert code == 0
    assert "\n  orders-1: given up: offsets 1 to 2\n" in said
    assert f"{replica}: recovered" in said
    assert run(["fsck", "--data", str(replica)]) == 0
    assert "\nsound (" in capsys.readouterr().out
    code, said, _ = recover(capsys, "--data", str(replica))
    assert code == 0
    assert "given up" not in said


def test_a_folder_of_files_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(fill(tmp_path / "data"))
    copied = tmp_path / "copy"
    to_files = ["copy", "--from", str(tmp_path / "data"), "--to", str(copied), "--to-mode", "file"]
    assert run(to_files) == 0
    capsys.readouterr()
    code, _, said = recover(capsys, "--data", str(copied), "--yes")
    assert code == 1
    assert "only a bucket can be a lagging copy" in said


def test_there_is_nothing_to_recover(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = recover(capsys, "--data", str(tmp_path))
    assert code == 1
    assert said


def test_both_flags_are_a_mistake(replica: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = recover(capsys, "--data", str(replica), "--dry-run", "--yes")
    assert code == 2
    assert "give one of them" in said
