"""For states of which nothing needs to survive damage."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from wal_core.types import Entry


class NoSalvage:
    """A Salvage that knows nothing."""

    def wants(self, stream_id: int, end: int) -> bool:
        return False

    def apply(self, entry: Entry) -> None: ...

    def pairs(self, doubtful: Collection[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        return iter(())
