"""What is written, and what is told of it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from wal_core.format.block import NONCE_AT, NONCE_BYTES
from wal_core.stores.segments.end_note import parse_end_note
from wal_core.stores.segments.jobs import SegmentFile, WriteJob, note_of, settle

NONCE = bytes(range(NONCE_BYTES))


def job(file: SegmentFile, *, final: bool) -> WriteJob:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    pieces = [bytes(NONCE_AT) + NONCE + bytes(100), b"x" * 10]
    return WriteJob(file, 4_000, pieces, future, final=final)


@pytest.mark.parametrize(("final", "bytes_count"), [(False, 9_000), (True, 4_000)])
async def test_a_note_says_where_the_data_end_and_whose_they_are(
    tmp_path: Path, final: bool, bytes_count: int
) -> None:
    one = job(SegmentFile(tmp_path / "f", 7), final=final)
    assert one.bytes_count == NONCE_AT + NONCE_BYTES + 110
    assert parse_end_note(note_of(one, 9_000)) == (7, bytes_count, NONCE)


async def test_who_is_called_hears_in_the_same_turn_after_the_future_is_settled(
    tmp_path: Path,
) -> None:
    told: list[tuple[OSError | None, bool]] = []
    jobs = [job(SegmentFile(tmp_path / "f", 7), final=False) for _ in range(2)]
    for one in jobs:
        one.told = lambda error, one=one: told.append((error, one.future.done()))
    broken = OSError(5, "it broke")
    settle(jobs[:1], None)
    settle(jobs, broken)  # the first is settled
    assert told == [(None, True), (broken, True)]
    assert jobs[1].future.exception() is broken


async def test_who_waits_is_told_once_and_who_does_not_is_left_alone(tmp_path: Path) -> None:
    file = SegmentFile(tmp_path / "f", 7)
    good, bad, gone = (job(file, final=False) for _ in range(3))
    gone.future.cancel()
    settle([good, gone], None)
    settle([good, bad, gone], OSError(5, "it broke"))
    await good.future
    with pytest.raises(OSError, match="it broke"):
        await bad.future


def test_a_file_closes_the_note_of_its_own_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "note").touch()
    shared = os.open(tmp_path / "note", os.O_RDONLY)
    own = os.dup(shared)
    for note_fd, note_path in ((shared, None), (own, tmp_path / "note")):
        file = SegmentFile(tmp_path / "f", 7, note_fd, note_path)
        file.fd = os.dup(shared)
        file.close()
        file.close()
    os.fstat(shared)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(own)
    os.close(shared)
