"""`fsck --repair` as people use it: the plan, the deed, the refusals."""

import asyncio
import dataclasses
from pathlib import Path

import pytest

from gateway.cli.tests.test_fsck import block, fill, fsck, log_state
from wal_core import Log, LogConfig, SystemClock, SystemRng, open_store


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A folder of objects, one block of it with a flipped bit."""
    asyncio.run(fill(tmp_path))
    path = block(tmp_path, 2)
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)
    return tmp_path


def contents(folder: Path) -> dict[Path, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".reserve")
    return {path: path.read_bytes() for path in files}


def test_the_plan_is_told_and_nothing_is_done(
    damaged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(damaged)
    code, said, _ = fsck(capsys, "--data", str(damaged), "--repair")
    assert code == 1
    assert f"to repair {damaged}:\n" in said
    assert f"  seal anew, from all blocks that can be read logs/1/{1:020d}\n" in said
    assert "  remember as lost " in said
    assert "Stop the broker first: " in said
    assert said.endswith("Repeat with --yes to do it; better with a copy of the data at hand.\n")
    assert contents(damaged) == before


def test_it_is_done_and_the_loss_is_still_told(
    damaged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said, _ = fsck(capsys, "--data", str(damaged), "--repair", "--yes")
    assert code == 0, said
    assert "log 1: sealed anew: segments 0 to 1\n" in said
    assert "lost      sealed/1/" in said
    code, said, _ = fsck(capsys, "--data", str(damaged))
    assert code == 0
    assert "\n          orders-1: offsets 1 to 1 cannot be read\n" in said
    assert "\nsound (" in said
    before = contents(damaged)
    code, said, _ = fsck(capsys, "--data", str(damaged), "--repair", "--yes")
    assert code == 0
    assert said.endswith("nothing to repair\n")
    assert contents(damaged) == before


def test_a_broker_that_holds_the_lock_is_in_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def write() -> None:
        store = await open_store(str(tmp_path), "file")
        config = dataclasses.replace(LogConfig.preset("file"), log_id=1)
        log = await Log.open(store, log_state(), config, clock=SystemClock(), rng=SystemRng())
        await log.append(6, 0, 1, -1, b"record")
        (tmp_path / "logs" / "1" / "notes.txt").write_bytes(b"an orphan")
        before = contents(tmp_path)
        command = ("--data", str(tmp_path), "--repair")
        code, said, _ = await asyncio.to_thread(fsck, capsys, *command)
        assert code == 1
        assert "No broker may run there meanwhile" in said
        code, _, complaint = await asyncio.to_thread(fsck, capsys, *command, "--yes")
        assert code == 2
        assert "is in use by another process" in complaint
        assert contents(tmp_path) == before
        await log.close()
        await store.close()

    asyncio.run(write())
    code, said, _ = fsck(capsys, "--data", str(tmp_path), "--repair", "--yes")
    assert code == 0, said
    assert "log 1: listed as garbage: 1 objects that nothing names\n" in said


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--yes",), "--yes says yes to --repair"),
        (("--repair", "--quick"), "no --quick"),
        (("--repair", "--json"), "no --quick, --json"),
    ],
)
def test_flags_that_do_not_go_together(
    flags: tuple[str, ...], problem: str, damaged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, complaint = fsck(capsys, "--data", str(damaged), *flags)
    assert code == 2
    assert problem in complaint
