"""What is seen of a bucket, and what of it is created."""

from __future__ import annotations

import asyncio

import pytest

from wal_core import MemoryStore
from wal_core.repair.shown import Shown
from wal_core.stores.objects.base import NotFound


def test_of_the_log_only_what_counts_is_seen() -> None:
    async def main() -> None:
        bucket = MemoryStore()
        for key in ("logs/1/a", "logs/1/b", "logs/10/a", "sealed/1/a", "other"):
            await bucket.create(key, [key.encode()])
        shown = Shown(bucket, 1, {"logs/1/b": None, "manifests/1/m": b"held"})
        assert [row.key for row in await shown.list("logs/")] == ["logs/1/b", "logs/10/a"]
        assert [row.key for row in await shown.list("logs/1/", "logs/1/b")] == []
        assert [tuple(row[:2]) for row in await shown.list("manifests/1/")] == [
            ("manifests/1/m", 4)
        ]
        assert await shown.list("sealed/1/") == []
        assert [await shown.size(key) for key in ("logs/1/a", "logs/1/b", "manifests/1/m")] == [
            None,
            8,
            4,
        ]
        assert bytes(await shown.get_range("manifests/1/m", 1, 2)) == b"el"
        assert bytes(await shown.get_range("other", 0, None)) == b"other"
        with pytest.raises(NotFound):
            await shown.get_range("logs/1/a", 0, None)

    asyncio.run(main())


def test_what_is_created_is_stored_and_seen() -> None:
    async def main() -> None:
        bucket = MemoryStore()
        shown = Shown(bucket, 1, {})
        await shown.create("logs/1/new", [b"x"])
        assert shown.created == {"logs/1/new"}
        assert [row.key for row in await shown.list("logs/1/")] == ["logs/1/new"]
        assert await bucket.size("logs/1/new") == 1
        await shown.delete("logs/1/new")
        assert await bucket.size("logs/1/new") is None

    asyncio.run(main())
