"""What an entry has to be before it is taken into a block."""

from __future__ import annotations

from wal_core.errors import Invalid
from wal_core.format.checkpoint import CHECKPOINT_STREAM_ID
from wal_core.state.streams import Stream
from wal_core.types import Entry

STREAM_ID_MAX = CHECKPOINT_STREAM_ID - 1
_UINT32_MAX = (1 << 32) - 1
_INT64_MAX = (1 << 63) - 1


def check_entry(stream: Stream, entry: Entry) -> None:
    """Raise Invalid for an entry that is not the stream's next one, or cannot be stored."""
    stream_id, base_offset, offset_span, record_count, max_timestamp_ms, _ = entry
    if stream.dropped:
        raise Invalid(f"stream {stream_id} was dropped; ids are not used again")
    if base_offset != stream.end:
        raise Invalid(f"stream {stream_id} ends at {stream.end}, not at {base_offset}")
    if not 0 < offset_span <= _UINT32_MAX or base_offset > _INT64_MAX - offset_span:
        raise Invalid(f"a span of {offset_span} offsets is out of range")
    if not 0 <= record_count <= offset_span:
        raise Invalid(f"{record_count} records cannot lie in a span of {offset_span} offsets")
    if not -_INT64_MAX <= max_timestamp_ms <= _INT64_MAX:
        raise Invalid(f"timestamp {max_timestamp_ms} does not fit 64 bits")


def is_flat(payload: object) -> bool:
    """Whether a payload is plain bytes in a row."""
    return isinstance(payload, bytes) or (
        isinstance(payload, memoryview)
        and payload.format == "B"
        and payload.ndim == 1
        and payload.c_contiguous
    )
