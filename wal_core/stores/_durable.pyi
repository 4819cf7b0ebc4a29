from collections.abc import Sequence

from wal_core.types import Buffer

def durable(
    fd: int,
    staging: memoryview | None,
    head: bytes,
    pieces: Sequence[Buffer],
    position: int,
    note_fd: int,
    note: bytes,
    note_at: int,
    /,
) -> bytes: ...
