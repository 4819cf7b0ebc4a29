"""Data that a version of this program stored are opened with all that was in them."""

from __future__ import annotations

import asyncio
import json
import tarfile
from pathlib import Path

import pytest

from gateway.tests import fixtures
from wal_core import Invalid, Mode, open_store

ARCHIVE_BYTES_MAX = 100_000
each_mode = pytest.mark.parametrize("mode", fixtures.MODES)


def unpacked(mode: Mode, root: Path) -> dict[str, object]:
    with tarfile.open(fixtures.archive(mode)) as tar:
        tar.extractall(root, filter="data")
    truth: dict[str, object] = json.loads((root / fixtures.TRUTH).read_text())
    (root / fixtures.TRUTH).unlink()
    return truth


@each_mode
def test_everything_is_found_again(mode: Mode, tmp_path: Path) -> None:
    truth = unpacked(mode, tmp_path)
    for kind in ("logs", "sealed", "manifests"):
        assert list((tmp_path / kind).rglob("*")), "the archive shows less than it says"

    assert truth["groups"]
    assert '"7":' in json.dumps(truth["partitions"])  # a producer, by its id

    async def opened() -> None:
        world = await fixtures.open_world(tmp_path, mode)
        assert await fixtures.picture(world) == truth
        await world.stop()

    asyncio.run(opened())


@each_mode
def test_an_older_and_a_newer_one_are_refused_by_name(mode: Mode, tmp_path: Path) -> None:
    unpacked(mode, tmp_path)
    marker = tmp_path / "woodpecker.json"
    stored = json.loads(marker.read_text())
    for version, remedy in ((1, "run the older version of it"), (4, "run the newer version of it")):
        marker.write_text(json.dumps(stored | {"format": version}))
        said = f"of version {version}, this program reads version {fixtures.FORMAT}: {remedy}"
        with pytest.raises(Invalid, match=said):
            asyncio.run(open_store(str(tmp_path), mode))


@each_mode
def test_an_archive_is_small(mode: Mode) -> None:
    assert fixtures.archive(mode).stat().st_size < ARCHIVE_BYTES_MAX
