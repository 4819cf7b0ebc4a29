"""What a payload has to be before it is taken into a block."""

from __future__ import annotations


def is_flat(payload: object) -> bool:
    """Whether a payload is plain bytes in a row."""
    return isinstance(payload, bytes) or (
        isinstance(payload, memoryview)
        and payload.format == "B"
        and payload.ndim == 1
        and payload.c_contiguous
    )
