from wal_core.types import Buffer, Entry

def combine(first: int, second: int, length: int, /) -> int: ...
def entries(
    buffer: Buffer,
    entry_type: type[Entry],
    log_id: int,
    segment: int,
    first: int,
    blocks_count: int,
    oldest: int,
    newest: int,
    entries_max: int,
    is_checked: bool,
    /,
) -> tuple[dict[int, list[Entry]], int] | None: ...
def is_in_memory(fd: int, start: int, length: int, /) -> bool: ...
def read_at_hand(fd: int, start: int, length: int, /) -> bytes | None: ...
