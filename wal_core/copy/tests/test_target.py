"""Where a copy may go: to an empty place, or on with the same copy that was cut short."""

from __future__ import annotations

from pathlib import Path

import pytest

from wal_core import Invalid
from wal_core.copy.target import finish_target, open_to_copy
from wal_core.stores.opening import COPYING_KEY, MARKER_KEY, open_store, stored_mode
from wal_core.tests.harness import CountingRng


async def claim(place: Path, source: str = "from-here", mode="object"):
    return await open_to_copy(str(place), mode, source, cloud=None, rng=CountingRng())


async def test_an_empty_place_is_claimed_and_is_no_log_until_the_copy_is_whole(tmp_path: Path):
    store = await claim(tmp_path / "new")
    assert [row.key for row in await store.objects.list("")] == [COPYING_KEY]
    with pytest.raises(Invalid, match="a copy that was cut short"):
        await open_store(str(tmp_path / "new"), "object")
    await finish_target(store.objects, "object")
    assert [row.key for row in await store.objects.list("")] == [MARKER_KEY]
    assert await stored_mode(str(tmp_path / "new")) == "object"
    await store.close()


async def test_the_same_copy_goes_on_and_another_does_not(tmp_path: Path):
    for _ in range(2):
        await (await claim(tmp_path)).close()
    for source, mode in (("elsewhere", "object"), ("from-here", "file")):
        with pytest.raises(Invalid, match=r"another copy that was cut short.*from-here"):
            await claim(tmp_path, source, mode)


async def test_what_holds_anything_else_is_refused_by_name(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(Invalid, match=r"is not empty \(there is notes\.txt\)"):
        await claim(tmp_path)
    assert not (tmp_path / COPYING_KEY).exists()


async def test_what_is_refused_is_left_as_it_was(tmp_path: Path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(Invalid):
        await claim(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


async def test_a_folder_that_another_copy_has_is_left_as_it_was(tmp_path: Path):
    (tmp_path / COPYING_KEY).write_text("another's")
    with pytest.raises(Invalid):
        await claim(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [COPYING_KEY]


async def test_files_do_not_go_into_a_bucket():
    with pytest.raises(Invalid, match="mode object only"):
        await open_to_copy("s3://bucket/x", "file", "here", cloud=None, rng=CountingRng())
