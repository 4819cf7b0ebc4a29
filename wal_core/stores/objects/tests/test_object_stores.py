"""The object-store contract, run by every implementation, and what is special to each."""

from __future__ import annotations

import asyncio

import pytest

from wal_core import Invalid, MemoryStore, SystemRng, Unavailable
from wal_core.stores.objects.local_folder import LocalFolderStore
from wal_core.stores.objects.tests.object_store_contract import CONTRACT
from wal_core.testing.faulty_object_store import Fault, FaultyObjectStore, Planned
from wal_core.testing.seeds import stream
from wal_core.testing.sim_bucket import Bucket, BucketClient


@pytest.fixture(params=["memory", "folder", "faulty", "simulated", "s3", "moto", "az", "gs"])
async def store(request, tmp_path):
    if request.param == "memory":
        made = MemoryStore()
    elif request.param == "faulty":
        made = FaultyObjectStore(MemoryStore())
    elif request.param == "simulated":
        made = BucketClient(Bucket(latency_s=(0.0, 0.0001)), stream(1, "contract"))
    elif request.param in ("s3", "moto", "az", "gs"):
        made = request.getfixturevalue(f"{request.param}_store")
    else:
        made = LocalFolderStore(tmp_path / "new" / "folder", SystemRng())
        await made.open()
    yield made
    await made.close()


@pytest.mark.parametrize("rule", CONTRACT, ids=lambda rule: rule.__name__)
async def test_contract(store, rule):
    await rule(store)


async def test_two_processes_in_one_folder_exclude_each_other(tmp_path):
    stores = [LocalFolderStore(tmp_path, SystemRng()) for _ in range(2)]
    for one in stores:
        await one.open()
    results = await asyncio.gather(
        *(stores[n % 2].create("k/1", [b"%d" % n]) for n in range(20)), return_exceptions=True
    )
    assert results.count(None) == 1
    for one in stores:
        await one.close()


async def test_what_a_crash_left_is_cleared_and_never_listed(tmp_path):
    store = LocalFolderStore(tmp_path, SystemRng())
    await store.open()
    leftover = tmp_path / ".creating" / "left"
    leftover.write_bytes(b"half")
    await store.create("a", [b"1"])
    assert [row.key for row in await store.list("")] == ["a"]
    await store.open()
    assert not leftover.exists()
    assert list((tmp_path / ".creating").iterdir()) == []
    await store.close()


@pytest.mark.parametrize("key", ["", "/a", "a//b", "../a", "a/../b", ".hidden", "a/.b", "a/"])
async def test_keys_cannot_leave_the_folder(tmp_path, key):
    store = LocalFolderStore(tmp_path, SystemRng())
    with pytest.raises(Invalid):
        await store.create(key, [b"x"])
    await store.close()


async def test_a_refusing_system_is_unavailable(tmp_path):
    store = LocalFolderStore(tmp_path, SystemRng())
    await store.open()
    (tmp_path / "a").write_text("a file where a folder must be")
    with pytest.raises(Unavailable):
        await store.create("a/b", [b"x"])
    await store.close()


async def test_planned_faults_hit_once_and_where_planned():
    inner = MemoryStore()
    plan = [
        Planned("create", "a", Fault.BEFORE),
        Planned("create", "b", Fault.AFTER),
        Planned("create", "c", Fault.LATE, late_s=0.0),
    ]
    store = FaultyObjectStore(inner, plan=plan)
    for key, there in (("a", False), ("b", True), ("c", False)):
        with pytest.raises(Unavailable):
            await store.create(key, [b"x"])
        assert (key in inner.objects) is there
    await asyncio.gather(*store._late)
    assert "c" in inner.objects
    await store.create("a", [b"x"])
    assert store.count("create", "a") == 2
    assert store.plan == []
