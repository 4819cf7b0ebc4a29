"""What messages are made of when they are written: bytes, and bytes that are elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, TypeGuard

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Contiguous bytes of format B. Record data is handed on as it came, never copied."""

BUFFERS = (bytes, bytearray, memoryview)


class Elsewhere(Protocol):
    """Record data that is not in memory: who sends the pieces of a message knows how."""

    def __len__(self) -> int: ...

    def read(self) -> bytes: ...


Piece: TypeAlias = Buffer | Elsewhere
"""Of a message that is being written."""

Records: TypeAlias = Buffer | Sequence[Piece] | None
"""A records field: on decode a memoryview or None; on encode also pieces, written one by one."""


_BUFFER_TYPES = frozenset(BUFFERS)


def all_in_memory(pieces: Sequence[Piece]) -> TypeGuard[Sequence[Buffer]]:
    """Whether none of them is elsewhere."""
    return _BUFFER_TYPES.issuperset(map(type, pieces))


def in_memory(piece: Piece) -> Buffer:
    """The bytes of a piece, wherever they are."""
    return piece if isinstance(piece, BUFFERS) else piece.read()
