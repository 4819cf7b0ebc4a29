import random  # noqa: TID251 - seeded
import struct
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.buffers import BlockPool
from gateway.frame_reader import (
    LENGTH_BYTES,
    SMALL_BUFFER_BYTES,
    FrameReader,
    FrameTooLarge,
    is_large,
)

LIMIT_BYTES = 1 << 20
LARGEST_SMALL = SMALL_BUFFER_BYTES - LENGTH_BYTES


def _reader(admit: Callable[[int], bool] = lambda _: True) -> FrameReader:
    return FrameReader(BlockPool(1 << 22), LIMIT_BYTES, admit)


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
        frames += list(reader.received(count))
        if reader.is_blocked:
            break
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


@settings(max_examples=80, deadline=None)
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
        def take(self, size_bytes: int) -> bytearray:
            taken.append(size_bytes)
            return super().take(size_bytes)

    reader = FrameReader(Pool(0), LIMIT_BYTES, lambda _: True)
    stream = _framed(b"good") + struct.pack(">i", length) + b"rest"
    reader.buffer()[: len(stream)] = stream
    frames = reader.received(len(stream))
    assert bytes(next(frames)) == b"good"
    with pytest.raises(FrameTooLarge, match="request_bytes_max"):
        next(frames)
    assert taken == []


@pytest.mark.parametrize("have", [0, 1, 20_000, SMALL_BUFFER_BYTES - 14])
def test_a_frame_that_is_not_admitted_waits_with_all_its_bytes(have: int) -> None:
    asked: list[int] = []
    admits = False

    def admit(length: int) -> bool:
        asked.append(length)
        return admits

    reader = _reader(admit)
    body = _body(40_000)
    stream = _framed(b"first!")[:8] + b"!!" + _framed(body)[: LENGTH_BYTES + have]
    reader.buffer()[: len(stream)] = stream
    frames = [bytes(f) for f in reader.received(len(stream))]
    assert frames == [b"firs!!"]
    assert reader.is_blocked
    assert reader.is_inside_frame
    assert list(reader.received(0)) == []
    assert reader.is_blocked
    assert reader.large_bytes == 0
    admits = True
    assert list(reader.received(0)) == []
    assert not reader.is_blocked
    assert reader.large_bytes == 40_000
    assert asked == [40_000] * 3
    found = _feed(reader, body[have:] + _framed(b"next"), [9_999])
    assert [bytes(f) for f in found] == [body, b"next"]


def test_admitted_once_per_large_frame_and_never_for_a_small_one() -> None:
    asked: list[int] = []

    def admit(length: int) -> bool:
        asked.append(length)
        return True

    stream = b"".join(_framed(_body(n)) for n in (10, 40_000, LARGEST_SMALL, 50_000))
    _feed(_reader(admit), stream, [13])
    assert asked == [40_000, 50_000]
