"""When writes are refused for want of room, and when they go on."""

import asyncio
import errno
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from wal_core import LogConfig, NoRoom, Unavailable
from wal_core.stores.room import LOOK_S, RESERVE_NAME, FolderDisk, Room
from wal_core.testing import sim_loop
from wal_core.testing.small_disk import SmallDisk

MIB = 1 << 20
CONFIG = LogConfig(free_bytes_min=16 * MIB, reserve_bytes=4 * MIB)
FULL = OSError(errno.ENOSPC, "full")


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[[], None]:
    return lambda: sim_loop.run(test, virtual_s_max=1e4)


async def _opened(size_bytes: int, config: LogConfig = CONFIG) -> tuple[SmallDisk, Room]:
    disk = SmallDisk(size_bytes)
    room = Room(disk)
    await room.open(config)
    return disk, room


async def _after_a_look(room: Room, left_bytes: int) -> None:
    """So much is let in, and not 2 MiB more."""
    await asyncio.sleep(2 * LOOK_S)
    room.admit(1)  # time to look again
    await asyncio.sleep(0.1)
    room.admit(left_bytes)
    with pytest.raises(NoRoom):
        room.admit(2 * MIB)


@virtual
async def test_no_more_is_admitted_than_leaves_what_must_be_left() -> None:
    """However fast it comes: nobody has to look for it."""
    disk, room = await _opened(40 * MIB)
    looks_count = disk.looks_count
    admitted = 0
    with pytest.raises(NoRoom):
        for _ in range(100):
            room.admit(MIB)
            admitted += 1
    assert (admitted, disk.looks_count) == (40 - 16 - 4, looks_count)
    assert room.is_low
    assert not room.is_spent
    room.admit_change()
    await room.close()


@virtual
async def test_what_is_on_its_way_counts() -> None:
    _, room = await _opened(40 * MIB)
    room.watch(lambda: 15 * MIB, lambda: None)
    await _after_a_look(room, 4 * MIB)
    await room.close()


@virtual
async def test_what_is_being_written_counts_whole_until_it_is() -> None:
    """A large object, of which the disk has a part when somebody looks."""
    disk, room = await _opened(40 * MIB)
    with room.taking(10 * MIB, can_wait=True):
        disk.take(MIB)
        await _after_a_look(room, 8 * MIB)
        disk.take(9 * MIB)
    await asyncio.sleep(2 * LOOK_S)
    room.admit(9 * MIB)
    await room.close()


@virtual
async def test_what_is_given_away_while_the_disk_is_measured_counts() -> None:
    """Measuring takes a thread its time: what came meanwhile may be written and confirmed by then,
    and is neither in what was measured nor on its way."""
    disk, room = await _opened(40 * MIB)
    measure = disk.free_bytes

    def and_then_others_write() -> int:
        free_bytes = measure()
        room.admit(15 * MIB)
        disk.take(15 * MIB)
        disk.free_bytes = measure  # type: ignore[method-assign]
        return free_bytes

    disk.free_bytes = and_then_others_write  # type: ignore[method-assign]
    await _after_a_look(room, 4 * MIB)
    await room.close()


@virtual
async def test_who_is_refused_while_the_disk_is_measured_takes_nothing() -> None:
    disk, room = await _opened(40 * MIB)
    measure = disk.free_bytes
    with pytest.raises(NoRoom):
        room.admit(100 * MIB)

    def and_others_ask() -> int:
        with pytest.raises(NoRoom):
            room.admit(100 * MIB)
        return measure()

    disk.free_bytes = and_others_ask  # type: ignore[method-assign]
    await asyncio.sleep(2 * LOOK_S)
    room.admit(1)
    await room.close()


@virtual
async def test_it_goes_on_by_itself_and_not_for_a_byte() -> None:
    disk, room = await _opened(40 * MIB)
    changes = []
    room.watch(lambda: 0, lambda: changes.append(asyncio.get_running_loop().time()))
    disk.filled_bytes = 21 * MIB
    await asyncio.sleep(2 * LOOK_S)
    room.admit(1)  # on what was measured last
    await asyncio.sleep(0.1)
    assert room.is_low
    assert len(changes) == 1
    disk.filled_bytes = 19 * MIB
    await asyncio.sleep(10)
    with pytest.raises(NoRoom):
        room.admit(1)
    disk.filled_bytes = 18 * MIB
    await asyncio.sleep(2 * LOOK_S)
    room.admit(1)
    assert not room.is_low
    await asyncio.sleep(2 * LOOK_S)
    looks_count = disk.looks_count
    await asyncio.sleep(1_000)
    assert disk.looks_count == looks_count  # where nobody writes nobody looks
    await room.close()


@virtual
async def test_a_full_disk_gives_up_its_reserve_and_takes_it_back() -> None:
    disk, room = await _opened(40 * MIB)
    assert disk.reserve_bytes == 4 * MIB
    disk.fill()
    error = room.refused("here", FULL)
    assert isinstance(error, NoRoom)
    assert room.is_spent
    with pytest.raises(NoRoom):
        room.admit_change()
    await asyncio.sleep(0.1)
    assert disk.left_bytes == 4 * MIB
    disk.filled_bytes = 19 * MIB  # enough for clients, not for the reserve too
    await asyncio.sleep(5)
    assert room.is_spent
    disk.filled_bytes = 10 * MIB
    await asyncio.sleep(5)
    assert disk.reserve_bytes == 4 * MIB
    assert not room.is_spent
    room.admit_change()
    room.admit(1)
    await room.close()
    assert disk.reserve_bytes == 4 * MIB  # for a start on a full disk


@virtual
async def test_other_errors_are_no_want_of_room() -> None:
    _, room = await _opened(40 * MIB)
    error = room.refused("here", OSError(errno.EIO, "broken"))
    assert isinstance(error, Unavailable)
    assert not isinstance(error, NoRoom)
    assert not room.is_low
    quota = room.refused("here", OSError(errno.EDQUOT, "quota"))
    assert isinstance(quota, NoRoom)
    await room.close()


@virtual
async def test_without_a_least_everything_goes_until_the_disk_is_full() -> None:
    disk, room = await _opened(10 * MIB, LogConfig())
    for _ in range(100):
        room.admit(MIB)
    disk.fill()
    room.refused("here", FULL)
    with pytest.raises(NoRoom):
        room.admit(1)
    disk.filled_bytes = 0
    await asyncio.sleep(2 * LOOK_S)
    room.admit(1)
    await room.close()


@virtual
async def test_a_bucket_has_room() -> None:
    room = Room()
    await room.open(CONFIG)
    for _ in range(100):
        room.admit(1 << 40)
    room.refused("there", FULL)
    room.admit_change()
    await room.close()


@virtual
async def test_a_disk_that_cannot_be_measured_changes_nothing() -> None:
    disk, room = await _opened(40 * MIB)

    def fail() -> int:
        raise OSError(errno.EIO, "planned")

    disk.free_bytes = fail  # type: ignore[method-assign]
    await asyncio.sleep(1)
    room.admit(1)
    await asyncio.sleep(1)
    room.admit(1)
    await room.close()


def test_the_reserve_of_a_folder_takes_real_blocks(tmp_path: Path) -> None:
    disk = FolderDisk(tmp_path)
    path = tmp_path / RESERVE_NAME
    assert disk.free_bytes() > 0
    assert not disk.has_reserve(MIB)
    disk.reserve(MIB)
    assert disk.has_reserve(MIB)
    assert path.stat().st_mode & 0o007 == 0
    os.truncate(path, 0)
    os.truncate(path, 2 * MIB)  # as a copy that leaves holes
    assert not disk.has_reserve(MIB)
    disk.reserve(2 * MIB)
    assert disk.has_reserve(2 * MIB)
    disk.release()
    disk.release()
    assert not path.exists()
