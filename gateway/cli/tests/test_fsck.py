import asyncio
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gateway.broker.catalog_state import CatalogState
from gateway.broker.journal_records import (
    JOURNAL_STREAM_ID,
    JournalRecord,
    RecordsDeleted,
    StreamOpened,
    encode_journal,
)
from gateway.broker.log_state import DataLogState
from gateway.broker.metadata_records import Placement, TopicCreated, encode_metadata
from gateway.broker.topics import METADATA_STREAM_ID, TopicRegistry
from gateway.cli.main import run
from wal_core import (
    Log,
    LogConfig,
    LogState,
    SegmentStore,
    SystemClock,
    SystemRng,
    Unavailable,
    open_store,
)

TOPIC = TopicCreated(
    topic_id=bytes(16), name="orders", placements=[Placement(1, 5), Placement(1, 6)], configs={}
)
OPENED = StreamOpened(stream_id=6, topic_id=bytes(16), name="orders", partition=1, kind="records")


class _Groups:
    records: ClassVar[Mapping[bytes, bytes]] = {}

    def replay(self, key: bytes, value: bytes | None, timestamp_ms: int) -> None: ...

    def watch(self, note: Callable[[bytes, int], None]) -> None:
        for key in self.records:
            note(key, 1)

    def values(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        return self.records


def log_state() -> DataLogState:
    return DataLogState(1, _Groups(), SystemClock())


async def fill(folder: Path, *journal: JournalRecord, batch: bytes = b"record") -> None:
    """Records of a topic in a folder of objects, and what else the journal should say."""
    store = await open_store(str(folder), "object")
    topics = TopicRegistry(1_000)
    catalog = await _open(store, 0, CatalogState(topics))
    topics.apply(TOPIC)
    await catalog.append(METADATA_STREAM_ID, 0, 1, -1, encode_metadata(TOPIC))
    await catalog.close()
    state = log_state()
    log = await _open(store, 1, state)
    for number, record in enumerate((OPENED, *journal)):
        state.take(record)
        await log.append(JOURNAL_STREAM_ID, number, 1, -1, encode_journal(record))
    for offset in range(3):
        await log.append(6, offset, 1, -1, batch)
    await log.close()
    await store.close()


async def _open(store: SegmentStore, log_id: int, state: LogState) -> Log:
    config = dataclasses.replace(LogConfig.preset("object"), log_id=log_id)
    return await Log.open(store, state, config, clock=SystemClock(), rng=SystemRng())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    asyncio.run(fill(tmp_path))
    return tmp_path


def fsck(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = run(["fsck", *args])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def block(folder: Path, number: int) -> Path:
    return folder / "logs" / "1" / f"{1:020d}" / f"{number:010d}"


def test_sound(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    code, said, _ = fsck(capsys, "--data", str(folder))
    assert code == 0
    for log_id, streams_count in ((0, 1), (1, 2)):
        counts = f"0 sealed, 2 completed, 0 unfinished; streams: {streams_count}"
        assert f"\nlog {log_id}: segments: {counts}\n" in said
    assert said.endswith("sound (looked at all 11 blocks)\n")
    code, said, _ = fsck(capsys, "--data", str(folder), "--quick")
    assert (code, said.splitlines()[-1]) == (0, "sound (looked at tables and sizes)")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_damage_is_told_by_topic_and_offsets(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    block(folder, 2).unlink()
    code, said, _ = fsck(capsys, "--data", str(folder))
    key = f"logs/1/{1:020d}/{2:010d}"
    assert code == 1
    assert said.startswith(f"missing   {key}: named by logs/1/{1:020d}/0000000004 (is not there)\n")
    assert "\n          orders-1: offsets 1 to 1 cannot be read\n" in said
    assert "\nNOT SOUND, findings: 1 (" in said


def test_a_checkpoint_that_no_start_understands(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.broker.state_keys._KINDS", {})
    code, said, _ = fsck(capsys, "--data", str(folder), "--quick")
    assert code == 1
    for place in (f"logs/0/{1:020d}/0000000001", f"logs/1/{1:020d}/0000000004"):
        assert f"damaged   {place}: no start understands it: " in said
    assert "was written by a newer release" in said


def test_a_partition_that_starts_behind_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(fill(tmp_path, RecordsDeleted(starts={6: 9})))
    code, said, _ = fsck(capsys, "--data", str(tmp_path))
    assert code == 1
    assert said.startswith("gap       orders-1: starts at 9, but ends at 3: no start accepts that")


def test_group_records_that_a_start_would_skip(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Groups, "records", {b"\0\1broken": b"\0\3"})
    asyncio.run(fill(folder / "groups"))
    code, said, _ = fsck(capsys, "--data", str(folder / "groups"))
    assert code == 1
    assert said.startswith("damaged   __consumer_offsets: 1 records cannot be read")


def test_the_marker_knows_the_mode(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fsck(capsys, "--data", str(folder), "--mode", "object")[0] == 0
    code, _, complaint = fsck(capsys, "--data", str(folder), "--mode", "file")
    assert code == 2
    assert "holds data of mode object, not file" in complaint


def test_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    block(folder, 2).unlink()
    code, said, _ = fsck(capsys, "--data", str(folder), "--json", "--quick")
    assert code == 1
    report = json.loads(said)
    assert (report["mode"], report["not_looked_at"]) == ("object", [])
    catalog, log = report["logs"]
    assert (report["sound"], catalog["sound"], log["sound"]) == (False, True, False)
    assert (report["quick"], log["log"], log["segments"]["completed"]) == (True, 1, 2)
    (finding,) = report["findings"]
    assert (finding["log"], finding["kind"], finding["harmless"]) == (1, "missing", False)
    lost = {"stream": 6, "name": "orders-1", "first_offset": 1, "end_offset": 2}
    assert finding["records"] == [lost]
    whole = {"log": 1, "stream": 6, "name": "orders-1", "first_offset": 0, "end_offset": 3}
    assert whole in report["streams"]


def test_there_is_nothing_to_look_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, complaint = fsck(capsys, "--data", str(tmp_path / "nowhere"))
    assert (code, said) == (2, "")
    assert "nowhere holds no log: there is no woodpecker.json in it" in complaint
    assert "   try: " in complaint
    assert list(tmp_path.iterdir()) == []
    assert fsck(capsys, "--data", "memory:")[0] == 2
    assert fsck(capsys, "--data", "ftp://x")[0] == 2


def test_nobody_answers(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def open_to_look(*_: Any, **__: Any) -> None:
        raise Unavailable("s3://bucket does not answer")

    monkeypatch.setattr("wal_core.open_to_look", open_to_look)
    code, _, complaint = fsck(capsys, "--data", str(folder))
    assert code == 2
    assert "s3://bucket does not answer" in complaint
