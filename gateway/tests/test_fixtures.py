"""Data that a version of this program stored are opened with all that was in them."""

from __future__ import annotations

import asyncio
import json
import tarfile
from pathlib import Path

import pytest

from gateway.tests import fixtures
from gateway.tests.fixtures import Kind
from wal_core import Invalid, open_store

ARCHIVE_BYTES_MAX = 100_000
each_kind = pytest.mark.parametrize("kind", fixtures.KINDS, ids=lambda kind: kind.name)


def unpacked(kind: Kind, root: Path) -> dict[str, object]:
    with tarfile.open(kind.archive) as tar:
        tar.extractall(root, filter="data")
    truth: dict[str, object] = json.loads((root / fixtures.TRUTH).read_text())
    (root / fixtures.TRUTH).unlink()
    return truth


@each_kind
def test_everything_is_found_again(kind: Kind, tmp_path: Path) -> None:
    truth = unpacked(kind, tmp_path)
    for log_id in range(1, kind.logs_count + 1):
        for folder in ("logs", "sealed", "manifests"):
            stored = [*(tmp_path / folder / str(log_id)).rglob("*")]
            assert stored, "the archive shows less than it says"

    assert truth["groups"]
    assert '"7":' in json.dumps(truth["partitions"])  # a producer, by its id

    async def opened() -> None:
        world = await fixtures.open_world(tmp_path, kind)
        assert await fixtures.picture(world) == truth
        broker = world.gateway.broker
        assert [owned.log_id for owned in broker.logs] == [*range(1, kind.logs_count + 1)]
        for owned, groups in zip(broker.logs, world.gateway.groups, strict=True):
            assert groups.snapshot(), f"log {owned.log_id} has no groups"
            assert any(7 in stream.producers.ids() for stream in owned.state.streams())
            assert any(stream.deleted_below for stream in owned.state.streams())
        await world.stop()

    asyncio.run(opened())


@each_kind
def test_an_older_and_a_newer_one_are_refused_by_name(kind: Kind, tmp_path: Path) -> None:
    unpacked(kind, tmp_path)
    marker = tmp_path / "woodpecker.json"
    stored = json.loads(marker.read_text())
    for version, remedy in ((1, "run the older version of it"), (4, "run the newer version of it")):
        marker.write_text(json.dumps(stored | {"format": version}))
        said = f"of version {version}, this program reads version {fixtures.FORMAT}: {remedy}"
        with pytest.raises(Invalid, match=said):
            asyncio.run(open_store(str(tmp_path), kind.mode))


@each_kind
def test_an_archive_is_small(kind: Kind) -> None:
    assert kind.archive.stat().st_size < ARCHIVE_BYTES_MAX
