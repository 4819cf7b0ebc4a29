"""A segment has one writer: whose blocks are the others'?"""

from __future__ import annotations

from typing import Generic, TypeVar

from wal_core.format.block import Block

T = TypeVar("T")

STRANGER = "by another writer than the other blocks of its segment"


class Writers(Generic[T]):
    """Of one segment. Every writer has a nonce of its own in all it writes."""

    def __init__(self) -> None:
        self._noted: dict[bytes, list[T]] = {}

    def note(self, block: Block, where: T) -> None:
        self._noted.setdefault(block.header.nonce, []).append(where)

    def strangers(self) -> list[T]:
        """Where blocks are that are not of the writer of most; of two with as many, the earlier."""
        most = max(self._noted.values(), key=len, default=[])
        return [where for noted in self._noted.values() if noted is not most for where in noted]
