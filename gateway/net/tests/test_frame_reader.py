import mmap
import random  # noqa: TID251 - seeded
import struct
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.net.buffers import BlockPool
from gateway.net.frame_reader import (
    LENGTH_BYTES,
    SMALL_BUFFER_BYTES,
    FrameReader,
    FrameTooLarge,
    is_large,
)

LIMIT_BYTES = 1 << 20
LARGEST_SMALL = SMALL_BUFFER_BYTES - LENGTH_BYTES


def _reader() -> FrameReader:
    return FrameReader(BlockPool(1 << 22), LIMIT_BYTES)


def _framed(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def _feed(reader: FrameReader, stream: bytes, sizes: Iterable[int]) -> list[memoryview]:
    """Give `stream` in reads of `sizes`; the last size repeats."""
    frames = []
    at, size, each = 0, 1, iter(sizes)
    while at < len(stream):
        size = next(each, size)
        room = reader.buffer()
        assert room
        count = min(size, len(room), len(stream) - at)
        room[:count] = stream[at : at + count]
        at += count
        reader.received(count)
        frames += iter(reader.next_frame, None)
    return frames


def _body(size: int) -> bytes:
    return random.Random(size).randbytes(size)


BORDERS = [0, 1, 3, 4, 5, 100, LARGEST_SMALL - 1, LARGEST_SMALL, LARGEST_SMALL + 1, 40_000, 200_000]


def test_the_border_between_small_and_large() -> None:
    assert not is_large(LARGEST_SMALL)
    assert is_large(LARGEST_SMALL + 1)


@pytest.mark.parametrize("size", BORDERS)
@pytest.mark.parametrize("step", [1, 3, 4, 5, 1000, 1 << 30])
def test_frames_of_every_size_in_reads_of_every_size(size: int, step: int) -> None:
    size = min(size, 40_000 * step)
    bodies = [_body(size), b"", _body(7), _body(size)]
    reader = _reader()
    frames = _feed(reader, b"".join(map(_framed, bodies)), [step])
    assert [bytes(f) for f in frames] == bodies
    assert not any(f.readonly for f in frames)
    assert not reader.is_inside_frame
    assert reader.large_bytes == 0


@settings(max_examples=80)
@given(
    st.lists(st.sampled_from([*BORDERS[:-1], 17, 9_000, 33_000]), min_size=1, max_size=8),
    st.lists(st.integers(1, 50_000), min_size=1, max_size=30),
)
def test_any_frames_in_any_splits(lengths: list[int], sizes: list[int]) -> None:
    bodies = [_body(n) for n in lengths]
    frames = _feed(_reader(), b"".join(map(_framed, bodies)), [*sizes, 10_000])
    assert [bytes(f) for f in frames] == bodies


@pytest.mark.parametrize("size", [10, 50_000])
def test_a_frames_memory_is_its_own(size: int) -> None:
    """Later bytes must not change a frame that somebody still looks at."""
    bodies = [bytes([n]) * size for n in range(1, 30)]
    frames = _feed(_reader(), b"".join(map(_framed, bodies)), [7_001])
    assert [bytes(f) for f in frames] == bodies


@pytest.mark.parametrize("length", [-1, -(2**31), LIMIT_BYTES + 1, 2**31 - 1])
def test_a_hostile_length_is_refused_and_allocates_nothing(length: int) -> None:
    taken: list[int] = []

    class Pool(BlockPool):
        def take(self, size_bytes: int) -> mmap.mmap:
            taken.append(size_bytes)
            return super().take(size_bytes)

    reader = FrameReader(Pool(0), LIMIT_BYTES)
    stream = _framed(b"good") + struct.pack(">i", length) + b"rest"
    reader.buffer()[: len(stream)] = stream
    reader.received(len(stream))
    good = reader.next_frame()
    assert good is not None
    assert bytes(good) == b"good"
    with pytest.raises(FrameTooLarge, match="request_bytes_max"):
        reader.next_frame()
    assert taken == []


def test_what_has_come_of_a_large_frame_is_told() -> None:
    reader = _reader()
    stream = _framed(b"small") + _framed(_body(40_000))[:1_000]
    assert not reader.is_inside_frame
    frames = _feed(reader, stream, [700])
    assert [bytes(f) for f in frames] == [b"small"]
    assert (reader.is_inside_frame, reader.is_inside_large) == (True, True)
    assert reader.large_bytes == 1_000 - LENGTH_BYTES
    _feed(reader, _body(40_000)[996:39_999], [30_000])
    assert reader.large_bytes == 39_999
    assert [bytes(f) for f in _feed(reader, _body(40_000)[-1:], [1])] == [_body(40_000)]
    assert (reader.is_inside_frame, reader.is_inside_large, reader.large_bytes) == (False, False, 0)


def test_an_announced_frame_costs_what_has_come_of_it() -> None:
    """Its block is mapped, not filled."""

    def resident_bytes() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * mmap.PAGESIZE

    if not Path("/proc/self/statm").exists():
        pytest.skip("no /proc to look at")
    pool, before = BlockPool(0), resident_bytes()
    readers = [FrameReader(pool, 1 << 30) for _ in range(20)]
    for reader in readers:
        _feed(reader, struct.pack(">i", 90 << 20) + b"0123456789", [100])
    assert resident_bytes() - before < 20 << 20
