"""How long a read of many blocks rests for what is being written meanwhile; in virtual time."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from wal_core.format.places import Slot
from wal_core.stores.segments.file import REST_S, FileSegmentStore
from wal_core.stores.segments.jobs import WriteJob, settle
from wal_core.testing.sim_loop import run

BLOCK = b"x" * 100


class HeldWriter:
    """Nothing is durable before `end`."""

    def __init__(self) -> None:
        self.jobs: list[WriteJob] = []

    def submit(self, job: WriteJob) -> None:
        self.jobs.append(job)

    def end(self) -> None:
        settle(self.jobs, None)
        self.jobs = []

    def close(self) -> None: ...


class Writing:
    """A store with a log that is written block by block."""

    def __init__(self, root: Path) -> None:
        self.writer = HeldWriter()
        self.store = FileSegmentStore(root, writer=self.writer)
        self.store._lock_fds[0] = os.open(root, os.O_RDONLY)
        self._blocks_count = 0

    def begin(self) -> asyncio.Task[None]:
        number = self._blocks_count
        self._blocks_count += 1
        slot = Slot(0, 0, number, number * len(BLOCK))
        return asyncio.ensure_future(self.store.append(slot, [BLOCK], final=False))

    async def rest_s(self) -> float:
        """Of somebody who reads now."""
        now_s = asyncio.get_running_loop().time
        begun_s = now_s()
        await self.store.let_writes_pass()
        return now_s() - begun_s

    async def close(self) -> None:
        await self.store.unlock(0)


def test_beside_nobody_a_read_goes_on_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        writing = Writing(tmp_path)
        stepped = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(stepped.set_result, None)
        assert await writing.rest_s() == 0
        assert stepped.done()  # who was ready has had a step
        await writing.close()

    run(main)


def test_a_read_rests_until_what_is_being_written_is_back(tmp_path: Path) -> None:
    async def main() -> None:
        writing = Writing(tmp_path)
        block = writing.begin()
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(1.5 * REST_S, writing.writer.end)
        assert await writing.rest_s() == pytest.approx(1.5 * REST_S)
        assert block.done()  # and whoever waits for it has been told
        await writing.close()

    run(main)


def test_what_hangs_keeps_no_read(tmp_path: Path) -> None:
    async def main() -> None:
        writing = Writing(tmp_path)
        block = writing.begin()
        await asyncio.sleep(1)
        assert await writing.rest_s() == pytest.approx(2 * REST_S)
        assert not block.done()
        writing.writer.end()
        await block
        await writing.close()

    run(main)


def test_between_two_writes_a_read_rests_too(tmp_path: Path) -> None:
    """Whoever writes one block after another is about to begin the next."""

    async def main() -> None:
        writing = Writing(tmp_path)
        block = writing.begin()
        await asyncio.sleep(0)
        writing.writer.end()
        await block
        assert await writing.rest_s() == pytest.approx(REST_S)
        assert await writing.rest_s() == 0
        await writing.close()

    run(main)
