"""Kafka's primitive wire types: read_x(buf, at) -> (value, at), write_x(out, value).

Rules every reader keeps. A length or count is compared with the bytes that are left *before*
anything is allocated; positions are never negative; short input raises DecodeError, or IndexError
or struct.error where the generated code reads in place (Message.decode turns those into
DecodeError as well). Source: Kafka protocol guide, "Protocol Primitive Types"; KIP-482 for the
compact forms (length + 1 as unsigned varint, 0 = null) and tagged fields.
"""

from collections.abc import Callable, Sequence
from struct import Struct, unpack_from
from struct import error as struct_error
from struct import pack as struct_pack
from typing import Self

import msgspec

from protocol.errors import DecodeError, TooManyElements
from protocol.pieces import BUFFERS, Buffer, Piece, Records, in_memory

Budget = list[int]
"""One item: how many more array elements this message may hold. Shared by all its arrays."""

ARRAY_ELEMENTS_MAX_COUNT = 250_000
"""Per message, unless the caller allows fewer. Metadata of 50,000 partitions fits; a frame of
nothing but empty elements costs 0.1 s, not the half a minute that 100 MiB of them would take."""

SPLICE_BYTES_MIN = 4096
"""Record data from this size on stays a piece of its own. Below, copying (some 0.1 us) is cheaper
than one more entry in the vector of a writev."""

ZERO_UUID = bytes(16)

_I16 = Struct(">h")
_I32 = Struct(">i")
_unpack_i16 = _I16.unpack_from
_unpack_i32 = _I32.unpack_from
_pack_i16 = _I16.pack
_pack_i32 = _I32.pack


class Writer:
    """Collects one message. Small things go to `buf`; large record views are spliced in later.

    A splice is (position in buf, view): the view belongs before the byte at that position. Views
    must stay unchanged until the pieces are written.
    """

    __slots__ = ("buf", "spliced_bytes", "splices")

    def __init__(self, buf: bytearray | None = None) -> None:
        self.buf = bytearray() if buf is None else buf
        self.splices: list[tuple[int, Piece]] = []
        self.spliced_bytes = 0

    def splice(self, view: Piece) -> None:
        """Put `view` here without copying it."""
        self.splices.append((len(self.buf), view))
        self.spliced_bytes += len(view)

    @property
    def total_bytes(self) -> int:
        return len(self.buf) + self.spliced_bytes

    def pieces(self) -> list[Piece]:
        """The message in order, for writelines. `buf` must not grow afterwards."""
        if not self.splices:
            return [self.buf]
        view = memoryview(self.buf)
        pieces: list[Piece] = []
        done = 0
        for at, spliced in self.splices:
            if at > done:
                pieces.append(view[done:at])
                done = at
            pieces.append(spliced)
        if done < len(view):
            pieces.append(view[done:])
        return pieces

    def to_bytes(self) -> bytes:
        return b"".join(in_memory(piece) for piece in self.pieces())


class Message(msgspec.Struct, gc=False):
    """Base of every generated struct; one class serves all versions of an API.

    Fields a version does not know are skipped on encode and keep their default on decode. `gc` is
    off because a message is a tree: no cycle can form, so the collector need not look.
    """

    @classmethod
    def decode(
        cls,
        buf: memoryview,
        at: int,
        version: int,
        elements_max_count: int = ARRAY_ELEMENTS_MAX_COUNT,
    ) -> tuple[Self, int]:
        """The struct that starts at `at`, and the position behind it; bytes after it are left.

        Record fields are views of `buf`. Raises DecodeError only, TooManyElements when that is what
        is wrong. `version` must be one the table knows: framing checks that.
        """
        try:
            return cls._read(buf, at, version, [elements_max_count])
        except TooManyElements as error:
            raise TooManyElements(
                error.reason, error.position, api=cls.__name__, version=version
            ) from None
        except DecodeError as error:
            reason, position = error.reason, error.position
        except (IndexError, struct_error):
            reason, position = "the bytes end too early", len(buf)
        raise DecodeError(reason, position, api=cls.__name__, version=version)

    @classmethod
    def _read(cls, buf: memoryview, at: int, version: int, budget: Budget) -> tuple[Self, int]:
        raise NotImplementedError

    def encode(self, out: Writer, version: int) -> None:
        """Append the wire form. A None the version has no null for raises TypeError."""
        raise NotImplementedError


# --- reading -------------------------------------------------------------------------------------


STRING_BYTES_MAX = 0x7FFF
"""What an int16 length can say."""


def read_uvarint(buf: memoryview, at: int) -> tuple[int, int]:
    """Unsigned varint of at most 32 bits (KIP-482)."""
    byte = buf[at]
    if byte < 0x80:
        return byte, at + 1
    value = byte & 0x7F
    shift = 7
    for position in range(at + 1, at + 5):
        byte = buf[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > 0xFFFFFFFF:
                break
            return value, position + 1
        shift += 7
    raise DecodeError("a varint is longer than 32 bits", at)


def _mended(raw: memoryview, at: int) -> str:
    """What is not UTF-8 becomes U+FFFD, as in Kafka, if that can still be written as a string."""
    text = str(raw, "utf-8", "replace")
    if len(text.encode()) > STRING_BYTES_MAX:
        raise DecodeError("a string is not UTF-8, and too long to be put right", at)
    return text


def _read_text(buf: memoryview, at: int, length_bytes: int) -> tuple[str, int]:
    end = at + length_bytes
    if length_bytes < 0 or end > len(buf):
        raise DecodeError(f"a string of {length_bytes} bytes does not fit", at)
    try:
        return str(buf[at:end], "utf-8"), end
    except UnicodeDecodeError:
        return _mended(buf[at:end], at), end


def read_string(buf: memoryview, at: int) -> tuple[str, int]:
    length_bytes = _unpack_i16(buf, at)[0]
    at += 2
    end = at + length_bytes
    if length_bytes < 0 or end > len(buf):
        raise DecodeError(f"a string of {length_bytes} bytes does not fit", at)
    try:
        return str(buf[at:end], "utf-8"), end
    except UnicodeDecodeError:
        return _mended(buf[at:end], at), end


def read_nullable_string(buf: memoryview, at: int) -> tuple[str | None, int]:
    length_bytes = _unpack_i16(buf, at)[0]
    if length_bytes == -1:
        return None, at + 2
    return _read_text(buf, at + 2, length_bytes)


def read_compact_string(buf: memoryview, at: int) -> tuple[str, int]:
    length_bytes = buf[at]
    if length_bytes < 0x80:
        at += 1
    else:
        length_bytes, at = read_uvarint(buf, at)
    end = at + length_bytes - 1
    if length_bytes == 0 or end > len(buf):
        raise DecodeError(f"a string of {length_bytes - 1} bytes does not fit", at)
    try:
        return str(buf[at:end], "utf-8"), end
    except UnicodeDecodeError:
        return _mended(buf[at:end], at), end


def read_compact_nullable_string(buf: memoryview, at: int) -> tuple[str | None, int]:
    length_bytes, at = read_uvarint(buf, at)
    if length_bytes == 0:
        return None, at
    return _read_text(buf, at, length_bytes - 1)


def _read_view(buf: memoryview, at: int, length_bytes: int) -> tuple[memoryview, int]:
    end = at + length_bytes
    if length_bytes < 0 or end > len(buf):
        raise DecodeError(f"{length_bytes} bytes do not fit", at)
    return buf[at:end], end


def read_bytes(buf: memoryview, at: int) -> tuple[bytes, int]:
    view, end = _read_view(buf, at + 4, _unpack_i32(buf, at)[0])
    return bytes(view), end


def read_nullable_bytes(buf: memoryview, at: int) -> tuple[bytes | None, int]:
    length_bytes = _unpack_i32(buf, at)[0]
    if length_bytes == -1:
        return None, at + 4
    view, end = _read_view(buf, at + 4, length_bytes)
    return bytes(view), end


def read_compact_bytes(buf: memoryview, at: int) -> tuple[bytes, int]:
    length_bytes, at = read_uvarint(buf, at)
    view, end = _read_view(buf, at, length_bytes - 1)
    return bytes(view), end


def read_compact_nullable_bytes(buf: memoryview, at: int) -> tuple[bytes | None, int]:
    length_bytes, at = read_uvarint(buf, at)
    if length_bytes == 0:
        return None, at
    view, end = _read_view(buf, at, length_bytes - 1)
    return bytes(view), end


def read_nullable_records(buf: memoryview, at: int) -> tuple[memoryview | None, int]:
    """A view of `buf`, never a copy."""
    length_bytes = _unpack_i32(buf, at)[0]
    if length_bytes == -1:
        return None, at + 4
    return _read_view(buf, at + 4, length_bytes)


def read_compact_nullable_records(buf: memoryview, at: int) -> tuple[memoryview | None, int]:
    """A view of `buf`, never a copy."""
    length_bytes, at = read_uvarint(buf, at)
    if length_bytes == 0:
        return None, at
    return _read_view(buf, at, length_bytes - 1)


def _take(count: int, at: int, end: int, element_bytes_min: int, budget: Budget) -> None:
    """Refuse a count that the bytes left, or the message's budget, cannot hold."""
    if count < 0 or count * element_bytes_min > end - at:
        raise DecodeError(f"an array of {count} elements does not fit", at)
    budget[0] -= count
    if budget[0] < 0:
        raise TooManyElements(f"{-budget[0]} array elements more than are allowed", at)


def read_count(buf: memoryview, at: int, element_bytes_min: int, budget: Budget) -> tuple[int, int]:
    count = _unpack_i32(buf, at)[0]
    at += 4
    _take(count, at, len(buf), element_bytes_min, budget)
    return count, at


def read_nullable_count(
    buf: memoryview, at: int, element_bytes_min: int, budget: Budget
) -> tuple[int, int]:
    """-1 means null."""
    count = _unpack_i32(buf, at)[0]
    at += 4
    if count != -1:
        _take(count, at, len(buf), element_bytes_min, budget)
    return count, at


def read_compact_count(
    buf: memoryview, at: int, element_bytes_min: int, budget: Budget
) -> tuple[int, int]:
    count, at = read_uvarint(buf, at)
    _take(count - 1, at, len(buf), element_bytes_min, budget)
    return count - 1, at


def read_compact_nullable_count(
    buf: memoryview, at: int, element_bytes_min: int, budget: Budget
) -> tuple[int, int]:
    """-1 means null."""
    count, at = read_uvarint(buf, at)
    if count:
        _take(count - 1, at, len(buf), element_bytes_min, budget)
    return count - 1, at


def _ints(form: str) -> tuple[Callable[..., tuple[list[int], int]], Callable[..., None]]:
    one = Struct(f">{form}")

    def read(buf: memoryview, at: int, count: int) -> tuple[list[int], int]:
        return list(unpack_from(f">{count}{form}", buf, at)), at + one.size * count

    def write(buf: bytearray, values: Sequence[int]) -> None:
        if len(values) == 1:
            buf += one.pack(values[0])
        elif values:
            buf += struct_pack(f">{len(values)}{form}", *values)

    return read, write


read_int8s, write_int8s = _ints("b")
read_int32s, write_int32s = _ints("i")
read_int64s, write_int64s = _ints("q")


def _read_each(
    read: Callable[[memoryview, int], tuple[str, int]], buf: memoryview, at: int, count: int
) -> tuple[list[str], int]:
    values: list[str] = []
    for _ in range(count):
        value, at = read(buf, at)
        values.append(value)
    return values, at


def read_strings(buf: memoryview, at: int, count: int) -> tuple[list[str], int]:
    return _read_each(read_string, buf, at, count)


def read_compact_strings(buf: memoryview, at: int, count: int) -> tuple[list[str], int]:
    return _read_each(read_compact_string, buf, at, count)


def read_tag(buf: memoryview, at: int) -> tuple[int, int, int]:
    """One tagged field's (tag, start of its value, end of its value)."""
    tag, at = read_uvarint(buf, at)
    size_bytes, at = read_uvarint(buf, at)
    if size_bytes > len(buf) - at:
        raise DecodeError(f"tag {tag} of {size_bytes} bytes does not fit", at)
    return tag, at, at + size_bytes


def skip_tags(buf: memoryview, at: int) -> int:
    """Behind a tagged-field section of which we know no tag.

    The count needs no check of its own: each turn takes at least two bytes or raises.
    """
    count, at = read_uvarint(buf, at)
    for _ in range(count):
        _, _, at = read_tag(buf, at)
    return at


# --- writing -------------------------------------------------------------------------------------


def write_uvarint(buf: bytearray, value: int) -> None:
    while value > 0x7F:
        buf.append(value & 0x7F | 0x80)
        value >>= 7
    buf.append(value)


def write_string(buf: bytearray, value: str | None) -> None:
    if value is None:
        raise TypeError("null where this version has none")
    raw = value.encode()
    if len(raw) > STRING_BYTES_MAX:
        raise ValueError(f"a string of {len(raw)} bytes has no int16 length")
    buf += _pack_i16(len(raw))
    buf += raw


def write_nullable_string(buf: bytearray, value: str | None) -> None:
    if value is None:
        buf += b"\xff\xff"
    else:
        write_string(buf, value)


def write_compact_string(buf: bytearray, value: str | None) -> None:
    if value is None:
        raise TypeError("null where this version has none")
    raw = value.encode()
    length = len(raw) + 1
    if length < 0x80:
        buf.append(length)
    else:
        write_uvarint(buf, length)
    buf += raw


def write_compact_nullable_string(buf: bytearray, value: str | None) -> None:
    if value is None:
        buf.append(0)
    else:
        write_compact_string(buf, value)


def write_bytes(buf: bytearray, value: bytes | None) -> None:
    if value is None:
        raise TypeError("null where this version has none")
    buf += _pack_i32(len(value))
    buf += value


def write_nullable_bytes(buf: bytearray, value: bytes | None) -> None:
    if value is None:
        buf += b"\xff\xff\xff\xff"
    else:
        write_bytes(buf, value)


def write_compact_bytes(buf: bytearray, value: bytes | None) -> None:
    if value is None:
        raise TypeError("null where this version has none")
    write_uvarint(buf, len(value) + 1)
    buf += value


def write_compact_nullable_bytes(buf: bytearray, value: bytes | None) -> None:
    if value is None:
        buf.append(0)
    else:
        write_compact_bytes(buf, value)


def _pieces(value: Buffer | Sequence[Piece]) -> Sequence[Piece]:
    return (value,) if isinstance(value, BUFFERS) else value


def _write_pieces(out: Writer, pieces: Sequence[Piece]) -> None:
    for piece in pieces:
        if len(piece) < SPLICE_BYTES_MIN and isinstance(piece, BUFFERS):
            out.buf += piece
        else:
            out.splice(piece)


def write_nullable_records(out: Writer, value: Records) -> None:
    if value is None:
        out.buf += b"\xff\xff\xff\xff"
        return
    pieces = _pieces(value)
    out.buf += _pack_i32(sum(map(len, pieces)))
    _write_pieces(out, pieces)


def write_compact_nullable_records(out: Writer, value: Records) -> None:
    if value is None:
        out.buf.append(0)
        return
    pieces = _pieces(value)
    write_uvarint(out.buf, sum(map(len, pieces)) + 1)
    _write_pieces(out, pieces)


def write_count(buf: bytearray, count: int) -> None:
    buf += _pack_i32(count)


def write_compact_count(buf: bytearray, count: int) -> None:
    if count < 0x7F:
        buf.append(count + 1)
    else:
        write_uvarint(buf, count + 1)


def write_strings(buf: bytearray, values: Sequence[str]) -> None:
    for value in values:
        write_string(buf, value)


def write_compact_strings(buf: bytearray, values: Sequence[str]) -> None:
    for value in values:
        write_compact_string(buf, value)


def write_tags(out: Writer, tags: Sequence[tuple[int, Writer]]) -> None:
    """A tagged-field section; `tags` ascend. Values hold no splices (no tag holds records)."""
    buf = out.buf
    write_uvarint(buf, len(tags))
    for tag, value in tags:
        write_uvarint(buf, tag)
        write_uvarint(buf, len(value.buf))
        buf += value.buf
