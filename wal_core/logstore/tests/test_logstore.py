"""A logstore: to whom it promises, what it takes, what it tells, and what a restart leaves."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

from wal_core.errors import Fenced, Invalid, NoRoom, Unavailable
from wal_core.logstore.replica import Asker, Promised, Replica, Tail, Unknown
from wal_core.logstore.tests.logstores import (
    LOG,
    NONCE_A,
    NONCE_B,
    block,
    final,
    logstore,
    opened_by_a,
)
from wal_core.stores.segments.file_writer import SystemFileOps
from wal_core.stores.segments.jobs import WriteJob
from wal_core.testing.faulty_files import ExecutorFileWriter
from wal_core.testing.seeds import stream
from wal_core.testing.sim_disk import FREE_BYTES, Disk, DiskFault
from wal_core.testing.sim_loop import run
from wal_core.testing.sim_system import installed


async def test_a_logstore_is_a_replica_by_itself(tmp_path: Path):
    store: Replica = logstore(tmp_path)
    with pytest.raises(Unknown):
        await store.look(Asker(LOG, b"", 0, b""))


async def test_blocks_are_taken_in_order_and_told_with_the_promise(tmp_path: Path):
    store = logstore(tmp_path)
    a = await opened_by_a(store)
    assert await asyncio.gather(*(store.append(a, block(n)) for n in range(5))) == [1, 2, 3, 4, 5]
    assert await store.append(a, block(7)) == 5  # something before it is missing
    assert await store.append(a, block(3)) == 5  # once more
    assert await store.append(a, block(0, segment=1)) == 1
    b = Asker(LOG, a.birth, 2, NONCE_B)
    assert await store.promise(b) == [Tail(0, 5, None), Tail(1, 1, None)]
    await store.close()


async def test_only_the_one_promised_last_is_served(tmp_path: Path):
    store = logstore(tmp_path)
    a = await opened_by_a(store)
    await store.append(a, block(0))
    b = Asker(LOG, a.birth, 2, NONCE_B)
    await store.promise(b)
    for refused in (
        store.append(a, block(1)),
        store.append(a, block(0)),
        store.end(a, final(a, 1)),
        store.confirm(a, 0, 1),
        store.forget(a, 1),
        store.read(a, 0, 0, 100, recovering=True),
        store.promise(a),
        store.promise(Asker(LOG, a.birth, 2, NONCE_A)),
        store.join(LOG, 2, NONCE_A),
    ):
        with pytest.raises(Promised, match="term 2") as told:
            await refused
        assert told.value.term == 2
    assert await store.promise(b) == [Tail(0, 1, None)]
    assert await store.append(b, block(1)) == 2  # a copy, as who recovers makes
    await store.close()


class StuckWriter(ExecutorFileWriter):
    """A device that takes its time."""

    def __init__(self) -> None:
        super().__init__(SystemFileOps())
        self.waiting: list[WriteJob] = []
        self.is_stuck = True

    def submit(self, job: WriteJob) -> None:
        if self.is_stuck:
            self.waiting.append(job)
        else:
            super().submit(job)

    def go_on(self) -> None:
        """From now on."""
        self.is_stuck = False
        for job in self.waiting:
            super().submit(job)


def test_a_promise_waits_for_what_is_on_its_way():
    async def main(root: Any) -> None:
        writer = StuckWriter()
        store = logstore(root, writer=writer)
        a = await opened_by_a(store)
        late = [asyncio.ensure_future(store.append(a, block(n))) for n in range(2)]
        promise = asyncio.ensure_future(store.promise(Asker(LOG, a.birth, 2, NONCE_B)))
        await asyncio.sleep(1000)
        assert not promise.done()
        with pytest.raises(Unavailable, match="being promised"):
            await store.append(a, block(2))
        writer.go_on()
        assert await promise == [Tail(0, 2, None)]
        assert await asyncio.gather(*late) == [1, 2]
        await store.close()

    with installed(Disk(stream(1, "disk"))) as path:
        run(lambda: main(path("/data")))


async def test_a_log_that_is_not_known_or_known_anew_gets_no_reply(tmp_path: Path):
    store = logstore(tmp_path)
    a = await opened_by_a(store)
    with pytest.raises(Unavailable, match="does not know"):
        await store.promise(a._replace(log_id=LOG + 1, term=9))
    with pytest.raises(Unknown, match="another birth"):
        await store.promise(a._replace(birth=bytes(16), term=9))
    assert await store.join(LOG, 5, NONCE_B) == a.birth
    with pytest.raises(Fenced):
        await store.append(a, block(0))
    await store.close()
    for path in (tmp_path / str(LOG)).iterdir():
        path.unlink()  # what it had is lost
    store = logstore(tmp_path, seed=2)
    await store.open()
    with pytest.raises(Unknown, match="does not know"):
        await store.promise(a._replace(term=9))
    assert await store.join(LOG, 9, NONCE_A) != a.birth
    with pytest.raises(Unavailable, match="another birth"):
        await store.promise(a._replace(term=10))
    await store.close()


async def test_another_block_is_no_repetition(tmp_path: Path):
    store = logstore(tmp_path)
    a = await opened_by_a(store)
    await store.append(a, block(0))
    with pytest.raises(Invalid, match="another block"):
        await store.append(a, block(0, payload=b"other"))
    with pytest.raises(Invalid, match="another writer's"):
        await store.append(a, block(1, nonce=NONCE_B))
    with pytest.raises(Invalid, match="not a data block"):
        await store.append(a, block(1, log_id=LOG + 1))
    assert await store.append(a, block(1)) == 2
    await store.close()


async def test_a_final_needs_the_blocks_and_gives_way_to_higher_terms_only(tmp_path: Path):
    store = logstore(tmp_path)
    a = await opened_by_a(store)
    await store.append(a, block(0))
    with pytest.raises(Unavailable, match="1 are here"):
        await store.end(a, final(a, 2))
    await store.end(a, final(a, 1))
    await store.end(a, final(a, 1))
    with pytest.raises(Invalid, match="has ended it"):
        await store.end(a, final(a, 0))
    with pytest.raises(Invalid, match="own term"):
        await store.end(a, final(a, 1)._replace(term=3))
    b = Asker(LOG, a.birth, 2, NONCE_B)
    assert await store.promise(b) == [Tail(0, 1, final(a, 1))]
    assert await store.append(b, block(1)) == 2  # that final may never have been chosen
    await store.end(b, final(b, 2))
    await store.end(b, final(b, 0, segment=1))
    assert await store.promise(b) == [Tail(0, 2, final(b, 2)), Tail(1, 0, final(b, 0, segment=1))]
    await store.close()


async def test_readers_see_what_is_confirmed(tmp_path: Path):
    store = logstore(tmp_path)
    a = await opened_by_a(store)
    reader = a._replace(term=0, nonce=b"")
    for number in range(3):
        await store.append(a, block(number, confirmed=number - 1 if number else 0))
    assert await store.read(reader, 0, 0, 1000) == block(0)
    assert await store.read(reader, 0, 1, 1000) == b""
    assert await store.read(reader, 7, 0, 1000) == b""
    await store.end(a, final(a, 3))
    assert await store.look(reader) == [Tail(0, 1, final(a, 3))]
    whole = block(0) + block(1) + block(2, confirmed=1)
    assert await store.read(reader, 0, 0, 1000) == whole  # for who knows that it is chosen
    await store.confirm(a, 0, 9)  # others have more
    assert await store.look(reader) == [Tail(0, 3, final(a, 3))]
    assert await store.read(reader, 0, 0, len(block(0)) * 2) == block(0) + block(1)
    assert await store.read(reader, 0, 1, 1) == block(1)
    await store.close()
    store = logstore(tmp_path)
    await store.open()
    assert await store.look(reader) == [Tail(0, 1, final(a, 3))]  # what the blocks say
    assert await store.read(a, 0, 0, 1000, recovering=True) == whole
    await store.close()


async def test_a_full_logstore_takes_no_block_and_makes_promises(tmp_path: Path):
    store = logstore(tmp_path, bytes_max=2 * len(block(0)))
    a = await opened_by_a(store)
    await store.append(a, block(0))
    await store.append(a, block(1))
    with pytest.raises(NoRoom, match="holds"):
        await store.append(a, block(2))
    assert await store.append(a, block(1)) == 2
    await store.end(a, final(a, 2))
    b = Asker(LOG, a.birth, 2, NONCE_B)
    await store.promise(b)
    await store.forget(b, 1)
    assert store.held_bytes == 0
    assert await store.append(b, block(0, segment=1, nonce=NONCE_B)) == 1
    await store.close()


def test_a_disk_that_others_fill_takes_no_block_until_there_is_room_again():
    disk = Disk(stream(1, "disk"))

    async def main(root: Any) -> None:
        store = logstore(root, free_bytes_min=10_000, reserve_bytes=4_096)
        a = await opened_by_a(store)
        await store.append(a, block(0))
        full = DiskFault("write", 0, math.inf)
        disk.faults.append(full)
        with pytest.raises(NoRoom):
            await store.append(a, block(1))
        disk.faults.remove(full)
        with pytest.raises(NoRoom, match="uploaded"):  # as was measured last
            await store.append(a, block(1))
        assert store.is_full
        assert await store.promise(a) == [Tail(0, 1, None)]
        await store.end(a, final(a, 1))
        await asyncio.sleep(10)
        assert not store.is_full
        assert await store.append(a, block(1)) == 2
        await store.close()

    with installed(disk) as path:
        run(lambda: main(path("/data")))


def test_blocks_on_their_way_to_the_disk_take_room_that_is_measured():
    left_bytes = 5 * len(block(0)) // 2

    async def main(root: Any) -> None:
        writer = StuckWriter()
        store = logstore(root, writer=writer, free_bytes_min=FREE_BYTES - left_bytes)
        a = await opened_by_a(store)
        first = asyncio.ensure_future(store.append(a, block(0)))
        await asyncio.sleep(10)
        second = asyncio.ensure_future(store.append(a, block(1)))  # time to look again
        await asyncio.sleep(10)
        with pytest.raises(NoRoom, match="uploaded"):
            await store.append(a, block(2))
        writer.go_on()
        assert await asyncio.gather(first, second) == [1, 2]
        await store.close()

    with installed(Disk(stream(1, "disk"))) as path:
        run(lambda: main(path("/data")))


async def test_a_restart_finds_promise_blocks_and_finals(tmp_path: Path):
    store = logstore(tmp_path)
    a = await opened_by_a(store)
    for number in range(3):
        await store.append(a, block(number))
    await store.end(a, final(a, 3))
    await store.append(a, block(0, segment=1))
    await store.close()
    with (tmp_path / str(LOG) / f"{1:020d}.seg").open("ab") as file:
        file.write(block(1, segment=1)[:-1])  # torn
    store = logstore(tmp_path)
    await store.open()
    with pytest.raises(Fenced):
        await store.promise(a._replace(nonce=NONCE_B))
    assert await store.promise(a) == [Tail(0, 3, final(a, 3)), Tail(1, 1, None)]
    assert store.held_bytes == 4 * len(block(0))
    assert await store.append(a, block(1, segment=1)) == 2
    await store.forget(a, 1)
    await store.close()
    assert sorted(path.name[18:] for path in (tmp_path / str(LOG)).glob("0*")) == [
        "01.end",
        "01.seg",
    ]


@pytest.mark.parametrize("name", ["promise-*", "*.seg", "*.final-*"])
async def test_damage_makes_it_silent_about_the_log_and_no_other(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
):
    store = logstore(tmp_path)
    a = await opened_by_a(store)
    other = Asker(LOG + 1, await store.join(LOG + 1, 1, NONCE_A), 1, NONCE_A)
    await store.append(a, block(0))
    await store.append(a, block(1))
    await store.end(a, final(a, 2))
    await store.close()
    (path,) = (tmp_path / str(LOG)).glob(name)
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)
    store = logstore(tmp_path)
    await store.open()
    assert "silent" in caplog.text
    for refused in (store.promise(a._replace(term=2)), store.join(LOG, 2, NONCE_A)):
        with pytest.raises(Unavailable, match="damaged"):
            await refused
    assert await store.promise(other) == []
    await store.close()


async def test_two_do_not_share_a_folder(tmp_path: Path):
    store = logstore(tmp_path)
    await store.open()
    with pytest.raises(Unavailable, match="in use"):
        await logstore(tmp_path).open()
    await store.close()
    again = logstore(tmp_path)
    await again.open()
    await again.close()
