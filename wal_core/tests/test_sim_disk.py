"""The simulated disk: its stores keep the same contracts, and its faults are what they claim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from wal_core import SystemRng, Unavailable, open_store
from wal_core.stores.objects.local_folder import LocalFolderStore
from wal_core.stores.objects.tests.object_store_contract import CONTRACT
from wal_core.stores.segments.tests import test_segment_stores as segments
from wal_core.testing.seeds import stream
from wal_core.testing.sim_disk import Disk, DiskFault, ProcessDied
from wal_core.testing.sim_loop import run
from wal_core.testing.sim_process import Process
from wal_core.testing.sim_system import installed

SEGMENT_CONTRACT = [
    value
    for name, value in vars(segments).items()
    if name.startswith("test_") and "tmp_path" not in value.__code__.co_varnames[:1]
]


def on_disk(main: Callable[[Disk, Any], Any]) -> None:
    disk = Disk(stream(1, "disk"))
    with installed(disk) as path:
        run(lambda: main(disk, path("/data")))


@pytest.mark.parametrize("rule", CONTRACT, ids=lambda rule: rule.__name__)
def test_a_folder_of_objects_keeps_the_contract(rule):
    async def main(disk: Disk, root: Any) -> None:
        store = LocalFolderStore(root, SystemRng())
        await store.open()
        await rule(store)
        await store.close()

    on_disk(main)


@pytest.mark.parametrize("rule", SEGMENT_CONTRACT, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("mode", ["file", "object"])
def test_segments_keep_the_contract(rule, mode):
    async def main(disk: Disk, root: Any) -> None:
        store = await open_store(str(root), mode)
        await store.lock(0)
        await rule(store)
        await store.unlock(0)
        await store.close()

    on_disk(main)


def test_what_is_not_synced_may_be_lost_and_what_is_never_is():
    seen = set()
    for seed in range(40):
        disk = Disk(stream(seed, "disk"))
        with installed(disk) as path_type:
            from wal_core.stores import files

            root = path_type("/data")
            files.make_folder(root)
            with files.opened(root / "f", files.os.O_RDWR | files.os.O_CREAT) as fd:
                files.pwrite_all(fd, [b"synced"], 0)
                files.fdatasync(fd)
                files.sync_folder(root)
                files.pwrite_all(fd, [b" not"], 6)
            (root / "late").mkdir()
            disk.cut_power()
            content = bytes(disk.find(root / "f").content)
            assert content.startswith(b"synced")
            seen.add((content, (root / "late").exists()))
    assert len(seen) > 5


def test_a_failed_sync_loses_what_a_later_one_seems_to_save():
    disk = Disk(stream(1, "disk"))
    with installed(disk) as path_type:
        from wal_core.stores import files

        root = path_type("/data")
        files.make_folder(root)
        disk.faults.append(DiskFault("sync", 0, 1))
        with files.opened(root / "f", files.os.O_RDWR | files.os.O_CREAT) as fd:
            files.pwrite_all(fd, [b"lost"], 0)
            with pytest.raises(OSError, match="sync failed"):
                files.fdatasync(fd)
            files.fdatasync(fd)
            files.sync_folder(root)
        assert disk.find(root / "f").content == b"lost"
        disk.cut_power()
        assert disk.find(root / "f").content == b""


@pytest.mark.parametrize("final", [False, True], ids=["block", "footer"])
@pytest.mark.parametrize("confirmed_count", [0, 1, 3])
def test_recovery_builds_on_nothing_that_a_failed_sync_has_lost(final, confirmed_count):
    """The last blocks, or the footer, can be read from the system's memory, whose pages are marked
    clean: another sync would save nothing.
    """

    async def main(disk: Disk, root: Any) -> None:
        store = await open_store(str(root), "file")
        await store.lock(0)
        await segments.fill(store, 0, confirmed_count, final=False)
        disk.faults.append(DiskFault("sync", 0, 1))
        with pytest.raises(Unavailable, match="sync failed"):
            await segments.append_last(store, 0, confirmed_count, final=final)
        await store.close()
        store = await open_store(str(root), "file")
        await store.lock(0)
        if final:
            assert await store.read_footer(0, 0) is not None
        else:
            assert len(await segments.recovered(store, 0)) == confirmed_count + 1
        await store.close()
        path = root / "logs" / "0" / f"{0:020d}.seg"
        believed = bytes(disk.find(path).content)
        assert path.name in disk.durable_files(path.parent)
        disk.cut_power()
        assert bytes(disk.find(path).content) == believed

    on_disk(main)


def test_a_process_dies_in_the_middle_of_a_write_and_its_lock_goes_with_it():
    async def main(disk: Disk, root: Any) -> None:
        import asyncio

        process = Process(asyncio.get_running_loop(), "p")

        def died(process: Process) -> None:
            process.kill()
            disk.process_died(process)

        disk.died = died

        async def write() -> None:
            store = await open_store(str(root), "file")
            await store.lock(0)
            disk.die_at_call(process, 2)
            await segments.fill(store, 0, 1, final=False)
            raise AssertionError("it lives")

        task = process.spawn(write(), "write")
        await asyncio.sleep(10)
        assert not task.done()
        assert not process.alive
        store = await open_store(str(root), "file")
        await store.lock(0)
        await store.close()
        process.bury()

    on_disk(main)


def test_a_dead_process_calls_nothing():
    async def main(disk: Disk, root: Any) -> None:
        import asyncio

        process = Process(asyncio.get_running_loop(), "p")
        process.kill()
        with pytest.raises(ProcessDied):
            process.context().run(root.exists)

    on_disk(main)


def test_a_folder_whose_name_is_not_durable_is_not_taken_for_made():
    """Neither after a failed sync nor after the death of whoever made it: all that is put into it
    would go with a power cut.
    """
    for failing in range(3):
        disk = Disk(stream(failing, "disk"))
        with installed(disk) as path_type:
            from wal_core.stores import files

            folder = path_type("/data/logs/0")
            disk.faults.append(DiskFault("folder", failing, 1))
            with pytest.raises(OSError, match="folder sync failed"):
                files.make_folder(folder)
            files.make_folder(folder)
            with files.opened(folder / "f", files.os.O_RDWR | files.os.O_CREAT):
                files.sync_folder(folder)
            assert list(disk.durable_files(folder)) == ["f"]


def test_what_was_deleted_stays_so_through_a_power_cut():
    """The manifest that named it as garbage forgets it: what came back would stay for ever."""

    async def main(disk: Disk, root: Any) -> None:
        store = await open_store(str(root), "file")
        await store.lock(0)
        await segments.fill(store, 0, 2, final=True)
        await store.objects.create("sealed/0/x/000000", [b"sealed"])
        folders = (root / "logs" / "0", root / "sealed" / "0" / "x")
        assert all(disk.durable_files(folder) for folder in folders)
        await store.delete_segment(0, 0)
        await store.objects.delete("sealed/0/x/000000")
        for folder in folders:
            assert not [name for name in disk.durable_files(folder) if name != "lock"]
        await store.close()

    on_disk(main)
