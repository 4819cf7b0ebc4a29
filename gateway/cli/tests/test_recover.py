"""`recover` as people use it: what is told, what is done, what is refused."""

import asyncio
import dataclasses
import json
from pathlib import Path

import pytest

from gateway.cli.main import run
from gateway.cli.stream_names import StreamNames
from gateway.cli.tests.test_fsck import block, fill
from protocol import Record, build_batch
from wal_core import Log, LogConfig, SystemClock
from wal_core.quorum.store import QuorumSegmentStore
from wal_core.quorum.tests.places import Place
from wal_core.stores.opening import open_objects
from wal_core.tests.harness import CountingRng


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


async def uploaded(folder: Path) -> None:
    """A data log in mode quorum: three records are in the bucket, two on logstores alone."""
    found = await open_objects(str(folder / "bucket"), "quorum")
    place = Place(folder / "logstores")
    await place.start("A", "B", "C")
    store = QuorumSegmentStore(found.objects, place.registered, CountingRng())
    config = dataclasses.replace(LogConfig.preset("quorum"), log_id=1)
    rng = CountingRng()
    log = await Log.open(store, StreamNames(1).new(), config, clock=SystemClock(), rng=rng)
    for offset in range(3):
        await log.append(100, offset, 1, -1, b"x")
    log.complete_segment()
    async with asyncio.timeout(30):
        while log.tally().upload_lag_bytes or log.tally().segments_count > 2:
            await asyncio.sleep(0.01)
    for offset in range(3, 5):
        await log.append(100, offset, 1, -1, b"x")
    await store.unlock(1)
    await log._maintenance.stop()
    await log._writer.stop()
    await store.close()
    await place.close()


def test_two_lost_logstores_are_given_up_only_when_somebody_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(uploaded(tmp_path))
    bucket = tmp_path / "bucket"
    assert run(["fsck", "--data", str(bucket)]) == 0
    assert "what is not uploaded yet lies on logstores" in capsys.readouterr().out
    assert run(["fsck", "--data", str(bucket), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["sound"], report["mode"]) == (True, "quorum")
    assert "lies on logstores, and was not looked at" in report["not_looked_at"][0]
    before = contents(bucket)
    code, said, _ = recover(capsys, "--data", str(bucket))
    assert code == 0
    assert "given up is what logstores A, B, C alone had" in said
    assert "kept up to offset 3\n" in said
    assert "Nothing was written." in said
    assert contents(bucket) == before
    code, said, _ = recover(capsys, "--data", str(bucket), "--yes")
    assert code == 0
    assert f"{bucket}: recovered" in said
    assert run(["fsck", "--data", str(bucket)]) == 0
