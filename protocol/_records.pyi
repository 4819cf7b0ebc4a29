def sound(
    plain: bytes | bytearray | memoryview,
    at: int,
    index: int,
    stop: int,
    base_ms: int,
    least_ms: int,
    most_ms: int,
    needs_keys: bool,
    greatest_ms: int,
    /,
) -> tuple[int, int, int]: ...
def greatest(
    batch: bytes | bytearray | memoryview, least_ms: int, most_ms: int, needs_keys: bool, /
) -> int | None: ...
