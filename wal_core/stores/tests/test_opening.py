"""Locations and markers."""

from __future__ import annotations

import json
import os
import stat

import pytest

from wal_core import Invalid, MemoryStore, Unavailable, open_store
from wal_core.stores.objects.base import AlreadyExists
from wal_core.stores.opening import open_objects, open_to_look, stored_mode
from wal_core.testing.faulty_object_store import Fault, FaultyObjectStore, Planned
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import Harness


async def test_markers_are_written_once_and_compared(tmp_path):
    for mode, other in (("file", "object"), ("object", "file")):
        root = tmp_path / mode / "deep"
        for _ in range(2):
            store = await open_store(str(root), mode)
            assert store.mode == mode
            await store.close()
        assert json.loads((root / "woodpecker.json").read_text()) == {"format": 3, "mode": mode}
        with pytest.raises(Invalid, match=f"start with mode {mode}"):
            await open_store(str(root), other)


async def test_a_cluster_is_of_mode_quorum_from_its_creation(tmp_path):
    found = [await open_objects(str(tmp_path), "quorum") for _ in range(2)]
    for one in found:
        await one.objects.close()
    marker = json.loads((tmp_path / "woodpecker.json").read_text())
    assert (marker["format"], marker["mode"]) == (3, "quorum")
    assert {one.cluster for one in found} == {marker["cluster"]}
    assert len(marker["cluster"]) == 22
    with pytest.raises(Invalid, match="in mode quorum, asked for was object: start with mode qu"):
        await open_store(str(tmp_path), "object")
    uploaded = await open_to_look(str(tmp_path))
    assert (uploaded.mode, uploaded.uploads) == ("quorum", False)
    await uploaded.close()
    assert await stored_mode(str(tmp_path)) == "quorum"
    (tmp_path / "woodpecker.json").write_text('{"format": 3, "mode": "quorum"}')
    with pytest.raises(Invalid, match="does not say which cluster"):
        await open_objects(str(tmp_path), "quorum")
    await (await open_store(str(tmp_path / "other"), "object")).close()
    with pytest.raises(Invalid, match="in mode object, asked for was quorum"):
        await open_objects(str(tmp_path / "other"), "quorum")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "x", "mode": "file"}', "\0"])
async def test_a_foreign_marker_is_refused(tmp_path, content):
    (tmp_path / "woodpecker.json").write_text(content)
    with pytest.raises(Invalid, match=str(tmp_path)):
        await open_store(str(tmp_path), "file")


@pytest.mark.parametrize(
    ("version", "remedy"), [(2, "the older version of it"), (4, "the newer version of it")]
)
async def test_data_of_another_format_are_refused_by_name(tmp_path, version, remedy):
    (tmp_path / "woodpecker.json").write_text(
        json.dumps({"format": version, "mode": "file", "more": 1})
    )
    for opening in (open_store(str(tmp_path), "file"), open_to_look(str(tmp_path))):
        said = f"of version {version}, this program reads version 3: run {remedy}"
        with pytest.raises(Invalid, match=said):
            await opening


@pytest.mark.parametrize(
    ("location", "mode"),
    [("memory:", "file"), ("s3://bucket", "file"), ("ftp://host", "object"), ("x", "quorum")],
)
async def test_what_cannot_be_served_is_invalid(location, mode):
    with pytest.raises(Invalid):
        await open_store(location, mode)


def test_an_object_store_of_ones_own_with_faults():
    async def main() -> None:
        bucket = MemoryStore()
        plan = [Planned("create", "woodpecker", Fault.AFTER)]
        store = await open_store("", "object", objects=FaultyObjectStore(bucket, plan=plan))
        assert list(bucket.objects) == ["woodpecker.json"]
        await store.close()
        with pytest.raises(Invalid):
            await open_store("", "file", objects=bucket)
        with pytest.raises(Unavailable, match="does not answer"):
            await open_store("", "object", objects=FaultyObjectStore(bucket, latency_s=1e6))

    run(main)


async def test_a_conflict_that_left_no_marker_is_tried_again():
    class Conflicts(MemoryStore):
        conflicts_count = 0

        async def create(self, key, pieces):
            if not self.conflicts_count:
                self.conflicts_count += 1
                raise AlreadyExists(key)
            await super().create(key, pieces)

    bucket = Conflicts()
    await (await open_store("", "object", objects=bucket)).close()
    assert bucket.conflicts_count == 1
    assert list(bucket.objects) == ["woodpecker.json"]


async def test_a_location_that_is_a_file_is_unusable(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    with pytest.raises((Invalid, Unavailable), match=str(path)):
        await open_store(str(path), "file")


@pytest.mark.parametrize("mode", ["file", "object"])
async def test_what_is_stored_is_not_for_everybody_to_read(tmp_path, mode):
    previous = os.umask(0)
    try:
        h = await Harness.open(await open_store(str(tmp_path / "data"), mode))
        await h.add(7, bytes(100_000))  # large enough to bypass the page cache
        await h.add(7, b"small")
        await h.log.close()
        await h.store.close()
    finally:
        os.umask(previous)
    paths = [tmp_path / "data", *(tmp_path / "data").rglob("*")]
    assert len(paths) > 5
    modes = {stat.S_IMODE(path.stat().st_mode) for path in paths}
    assert modes == {0o750, 0o640}
