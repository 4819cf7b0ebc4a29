"""What a block holds against what the tables say it holds. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from wal_core.format.block import Block
from wal_core.state.survey import LiveRun


class _Held(NamedTuple):
    """One stream's entries in a block."""

    first_offset: int
    end_offset: int
    payload_bytes: int
    max_timestamp_ms: int


def disagreement(block: Block, runs: Iterable[LiveRun], alive: Collection[int] | None) -> str:
    """Where block and tables differ, as the end of a sentence; empty when they do not.

    `alive`: streams of which the table must name every run; None where it may have left some out.
    """
    held: dict[int, _Held] = {}
    for stream_id, base, span, _, timestamp_ms, payload in block.entries():
        so_far = held.get(stream_id)
        if so_far is None:
            held[stream_id] = _Held(base, base + span, len(payload), timestamp_ms)
            continue
        if base != so_far.end_offset:
            return f"stream {stream_id} jumps from {so_far.end_offset} to {base} in it"
        held[stream_id] = _Held(
            so_far.first_offset,
            base + span,
            so_far.payload_bytes + len(payload),
            max(so_far.max_timestamp_ms, timestamp_ms),
        )
    for live in runs:
        text = _against(live, held.pop(live.run.stream_id, None))
        if text:
            return text
    if alive is not None:
        for stream_id, found in held.items():
            if stream_id in alive:
                return f"it has {_range(stream_id, found)}, which the table does not know"
    return ""


def _against(live: LiveRun, found: _Held | None) -> str:
    run = live.run
    wanted = _Held(run.first_offset, live.end_offset, live.payload_bytes, run.max_timestamp_ms)
    if found is None:
        return f"the table says that it has {_range(run.stream_id, wanted)}; it has none of them"
    if found[:2] != wanted[:2]:
        return f"it has {_range(run.stream_id, found)}, the table says {_range(None, wanted)}"
    if found.payload_bytes != wanted.payload_bytes:
        return (
            f"it has {found.payload_bytes} bytes of stream {run.stream_id}, "
            f"the table says {wanted.payload_bytes}"
        )
    if found.max_timestamp_ms != wanted.max_timestamp_ms:
        return (
            f"stream {run.stream_id} has timestamps up to {found.max_timestamp_ms} in it, "
            f"the table says {wanted.max_timestamp_ms}"
        )
    return ""


def _range(stream_id: int | None, held: _Held) -> str:
    offsets = f"offsets {held.first_offset} to {held.end_offset - 1}"
    return offsets if stream_id is None else f"{offsets} of stream {stream_id}"
