"""The primitive wire types and the Writer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import DecodeError, Writer
from protocol import primitives as p

SETTINGS = settings(derandomize=True, database=None, max_examples=50)
TEXT = st.text(max_size=20) | st.sampled_from(["x" * 126, "x" * 127, "x" * 128, "é" * 9000])
BLOB = st.binary(max_size=20) | st.sampled_from([bytes(126), bytes(127), bytes(128), bytes(20000)])

STRINGS = [
    (p.write_string, p.read_string, False),
    (p.write_nullable_string, p.read_nullable_string, True),
    (p.write_compact_string, p.read_compact_string, False),
    (p.write_compact_nullable_string, p.read_compact_nullable_string, True),
]
BYTES = [
    (p.write_bytes, p.read_bytes, False),
    (p.write_nullable_bytes, p.read_nullable_bytes, True),
    (p.write_compact_bytes, p.read_compact_bytes, False),
    (p.write_compact_nullable_bytes, p.read_compact_nullable_bytes, True),
]


@pytest.mark.parametrize(("write", "read", "nullable"), STRINGS + BYTES)
def test_round_trips(write, read, nullable) -> None:
    values = TEXT if (write, read, nullable) in STRINGS else BLOB

    @SETTINGS
    @given(values | st.none() if nullable else values)
    def check(value) -> None:
        buf = bytearray(b"##")
        write(buf, value)
        assert read(memoryview(buf + b"junk"), 2) == (value, len(buf))

    check()


@pytest.mark.parametrize(("write", "read", "nullable"), STRINGS + BYTES)
def test_null_only_where_there_is_one(write, read, nullable) -> None:
    if nullable:
        return
    with pytest.raises(TypeError):
        write(bytearray(), None)
    for null in (b"\xff\xff", b"\xff\xff\xff\xff", b"\x00"):
        if null == b"\x00" and "compact" not in read.__name__:
            continue
        if null != b"\x00" and "compact" in read.__name__:
            continue
        with pytest.raises(DecodeError):
            read(memoryview(null + bytes(4) if null == b"\xff\xff" else null), 0)


def test_a_string_longer_than_int16_is_our_bug() -> None:
    p.write_string(bytearray(), "x" * 0x7FFF)
    with pytest.raises(ValueError, match="int16"):
        p.write_string(bytearray(), "x" * 0x8000)


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        (2**28 - 1, "ffffff7f"),
        (2**32 - 1, "ffffffff0f"),
    ],
)
def test_uvarint(value: int, raw: str) -> None:
    buf = bytearray()
    p.write_uvarint(buf, value)
    assert buf.hex() == raw
    assert p.read_uvarint(memoryview(buf + b"\xff"), 0) == (value, len(buf))


@pytest.mark.parametrize("raw", ["8080808010", "ffffffff1f", "808080808000", "ffffffffff"])
def test_uvarint_beyond_32_bits(raw: str) -> None:
    with pytest.raises(DecodeError):
        p.read_uvarint(memoryview(bytes.fromhex(raw)), 0)


@pytest.mark.parametrize("count", [0, 1, 2, 126, 127, 128, 70000])
def test_counts_and_int_arrays(count: int) -> None:
    for write, read, counter, width in (
        (p.write_int8s, p.read_int8s, p.read_compact_count, 1),
        (p.write_int32s, p.read_int32s, p.read_count, 4),
        (p.write_int64s, p.read_int64s, p.read_compact_count, 8),
    ):
        values = [number % 128 if width == 1 else number for number in range(-1, count - 1)]
        buf = bytearray()
        (p.write_count if counter is p.read_count else p.write_compact_count)(buf, count)
        write(buf, values)
        budget = [p.ARRAY_ELEMENTS_MAX_COUNT]
        found, at = counter(memoryview(buf), 0, width, budget)
        assert found == count
        assert budget == [p.ARRAY_ELEMENTS_MAX_COUNT - count]
        assert read(memoryview(buf), at, found) == (values, len(buf))


def test_null_counts() -> None:
    assert p.read_nullable_count(memoryview(b"\xff\xff\xff\xff"), 0, 1, [5]) == (-1, 4)
    assert p.read_compact_nullable_count(memoryview(b"\x00"), 0, 1, [5]) == (-1, 1)
    with pytest.raises(DecodeError):
        p.read_compact_count(memoryview(b"\x00"), 0, 1, [5])
    with pytest.raises(DecodeError):
        p.read_nullable_count(memoryview(b"\xff\xff\xff\xfe"), 0, 1, [5])


def test_strings_of_arrays() -> None:
    for write, read in (
        (p.write_strings, p.read_strings),
        (p.write_compact_strings, p.read_compact_strings),
    ):
        buf = bytearray()
        write(buf, ["a", "", "é"])
        assert read(memoryview(buf), 0, 3) == (["a", "", "é"], len(buf))


def test_records_are_views() -> None:
    raw = bytearray(b"\x00\x00\x00\x03abc")
    for read, at in ((p.read_nullable_records, 0), (p.read_compact_nullable_records, 3)):
        raw[3] = 3 if at == 0 else 4
        view, end = read(memoryview(raw), at)
        assert (bytes(view), end) == (b"abc", 7)
        assert view.obj is raw


def test_writer_puts_splices_where_they_belong() -> None:
    out = Writer()
    first, second = memoryview(b"A" * 5000), bytes(b"B" * 5000)
    out.splice(first)
    out.buf += b"one"
    out.splice(second)
    out.splice(first)
    out.buf += b"two"
    assert out.total_bytes == 15006
    pieces = out.pieces()
    assert [bytes(each[:3]) for each in pieces] == [b"AAA", b"one", b"BBB", b"AAA", b"two"]
    assert pieces[0] is first
    assert out.to_bytes() == bytes(first) + b"one" + second + bytes(first) + b"two"


def test_writer_without_splices_is_one_piece() -> None:
    out = Writer(bytearray(b"head"))
    assert out.pieces() == [b"head"]


def test_records_pieces_count_together() -> None:
    out = Writer()
    p.write_nullable_records(out, [b"ab", memoryview(b"c" * 5000), b""])
    assert out.to_bytes() == (5002).to_bytes(4, "big") + b"ab" + b"c" * 5000
    assert len(out.splices) == 1
    out = Writer()
    p.write_compact_nullable_records(out, [])
    assert out.to_bytes() == b"\x01"
