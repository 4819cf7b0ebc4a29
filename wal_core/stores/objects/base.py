"""What a log asks of an object store: conditional create, ranged read, ordered list, delete.

Errors: AlreadyExists and NotFound below; everything else that may pass is `Unavailable`. Keys are
relative, separated by `/`, and sort as their bytes do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from wal_core.types import Buffer


class AlreadyExists(Exception):
    """The key is taken. By whom is for the caller to find out: it may be its own lost success."""


class NotFound(Exception):
    """No object has this key."""


class ObjectInfo(NamedTuple):
    """One row of a listing."""

    key: str
    size_bytes: int
    modified_ms: int = 0  # by the store's own clock, ms since 1970; 0: the store does not tell


class ObjectStore(Protocol):
    """A flat map of immutable objects. Implementations pass tests/object_store_contract.py."""

    location: str  # for error messages

    async def create(self, key: str, pieces: Sequence[Buffer]) -> None:
        """Store the pieces as one object if the key is free; durable on return.

        All or nothing. Raises AlreadyExists; on any other error, or when cancelled, the object
        may or may not exist, now or later. The pieces must not change until it is settled.
        """
        ...

    async def get_range(self, key: str, start: int, length: int | None) -> Buffer:
        """Bytes from `start`, fewer at the end of the object; None: to the end. NotFound."""
        ...

    async def list(self, prefix: str, start_after: str = "") -> Sequence[ObjectInfo]:
        """All objects whose key begins with `prefix` and sorts after `start_after`, in order."""
        ...

    async def size(self, key: str) -> int | None:
        """Size in bytes, None when there is no such object."""
        ...

    async def delete(self, *keys: str) -> None:
        """Remove objects, durably; missing ones are fine. After an error some may be left."""
        ...

    async def close(self) -> None:
        """Release what the store holds; objects stay."""
        ...
