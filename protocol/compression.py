"""Record batch compression by codec number, with a bound on what comes out.

The gateway stores batches as they came, but looks inside before it does and to answer questions
about records (a timestamp lookup, say). The input is a stranger's, so every decompressor here
writes into a buffer of our own size and fails rather than grow past `bytes_max`. Codec numbers are
bits 0-2 of a batch's attributes (Kafka message format; KIP-110 for zstd).

Read: gzip (any number of members), snappy raw and in the xerial framing Java writes, LZ4 frames,
zstd frames with or without a content size. Written: gzip, snappy raw (as librdkafka does), LZ4 with
independent blocks (Java refuses linked ones), zstd. The native library loads on first use.
"""

from mmap import mmap
from struct import Struct
from typing import Any

from protocol.pieces import Buffer

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
CODEC_LAST = ZSTD

_GZIP_LEVEL = 6
_ZSTD_LEVEL = 3
_GROWTH_FACTOR = 4
_OUTPUT_BYTES_MIN = 4096
_MAPPED_BYTES_MIN = 1024 * 1024

_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16  # magic (8), version (4), lowest compatible version (4)
_XERIAL_CHUNK_BYTES = Struct(">i")

_LZ4_HEADER = b"\x04\x22\x4d\x18\x60\x70\x73"
"""Magic, flags 0x60 (version 1, independent blocks), block size 0x70 (4 MiB), header checksum."""
_LZ4_BLOCK_BYTES_MAX = 4 * 1024 * 1024
_LZ4_BLOCK_SIZE = Struct("<I")
_LZ4_STORED = 0x8000_0000
_LZ4_END = bytes(4)


class CompressionError(Exception):
    """The data are not what the codec says, or larger than allowed."""


class PlainTooLarge(CompressionError):
    """Decompressed, the data are larger than allowed."""


def compress(codec: int, data: Buffer) -> bytes:
    """`data` in the codec's form. ValueError for a codec that does not exist."""
    if codec == NONE:
        return bytes(data)
    import cramjam  # noqa: PLC0415  (a second native library: only who needs it pays for it)

    if codec == GZIP:
        return bytes(cramjam.gzip.compress(data, _GZIP_LEVEL))
    if codec == SNAPPY:
        return bytes(cramjam.snappy.compress_raw(data))
    if codec == LZ4:
        return _lz4_frame(cramjam, memoryview(data))
    if codec == ZSTD:
        return bytes(cramjam.zstd.compress(data, _ZSTD_LEVEL))
    raise ValueError(f"no codec {codec}")


def decompress(codec: int, data: Buffer, bytes_max: int) -> Buffer:
    """The plain bytes, at most `bytes_max` of them. Raises CompressionError.

    Memory used stays within a small multiple of what is really there, and `bytes_max`.
    """
    if codec == NONE:
        if len(data) > bytes_max:
            raise PlainTooLarge(f"more than {bytes_max} bytes")
        return data
    import cramjam  # noqa: PLC0415

    view = memoryview(data)
    try:
        if codec == GZIP:
            return _grow(cramjam.gzip.decompress_into, view, bytes_max)
        if codec == SNAPPY:
            return _snappy(cramjam, view, bytes_max)
        if codec == LZ4:
            return _grow(cramjam.lz4.decompress_into, view, bytes_max)
        if codec == ZSTD:
            return _grow(cramjam.zstd.decompress_into, view, bytes_max)
    except cramjam.DecompressionError as error:
        raise CompressionError(str(error)) from None
    raise CompressionError(f"no codec {codec}")


def _grow(decompress_into: Any, view: memoryview, bytes_max: int) -> Buffer:
    """Try outputs of growing size; the library says when one was too small.

    Trying again costs at most a third of the last try, and a bomb stops at the first full buffer.
    """
    import cramjam  # noqa: PLC0415

    size_bytes = min(bytes_max, max(_OUTPUT_BYTES_MIN, _GROWTH_FACTOR * len(view)))
    while True:
        output = memoryview(b"")  # the last try's memory is free before the next one's is taken
        output = _memory(size_bytes)
        try:
            written_bytes = decompress_into(view, output)
        except cramjam.DecompressionError as error:
            if "failed to write whole buffer" not in str(error):
                raise
            if size_bytes >= bytes_max:
                raise PlainTooLarge(f"more than {bytes_max} bytes") from None
            size_bytes = min(bytes_max, size_bytes * _GROWTH_FACTOR)
            continue
        return output[:written_bytes]


def _memory(size_bytes: int) -> memoryview:
    """To write to. Much of it comes from the system untouched, for a bytearray is zeroed under the
    interpreter's lock: a tenth of a second for 64 MiB of fresh pages, in which nobody else runs.
    """
    if size_bytes < _MAPPED_BYTES_MIN:
        return memoryview(bytearray(size_bytes))
    return memoryview(mmap(-1, size_bytes))


def _snappy(cramjam: Any, view: memoryview, bytes_max: int) -> Buffer:
    if bytes(view[: len(_XERIAL_MAGIC)]) != _XERIAL_MAGIC:
        return _snappy_block(cramjam, view, bytes_max)
    output = bytearray()
    at = _XERIAL_HEADER_BYTES
    while at < len(view):
        if len(view) - at < _XERIAL_CHUNK_BYTES.size:
            raise CompressionError("a snappy chunk is cut off")
        (chunk_bytes,) = _XERIAL_CHUNK_BYTES.unpack_from(view, at)
        at += _XERIAL_CHUNK_BYTES.size
        if not 0 <= chunk_bytes <= len(view) - at:
            raise CompressionError(f"a snappy chunk of {chunk_bytes} bytes does not fit")
        output += _snappy_block(cramjam, view[at : at + chunk_bytes], bytes_max - len(output))
        at += chunk_bytes
    return output


def _snappy_block(cramjam: Any, view: memoryview, bytes_max: int) -> Buffer:
    """A raw block names its plain size first; snappy cannot make more than 64 bytes of 3."""
    size_bytes = cramjam.snappy.decompress_raw_len(view)
    if size_bytes > 64 * len(view):
        raise CompressionError(f"a snappy block claims {size_bytes} bytes")
    if size_bytes > bytes_max:
        raise PlainTooLarge(f"more than {bytes_max} bytes")
    output = _memory(size_bytes)
    if cramjam.snappy.decompress_raw_into(view, output) != size_bytes:
        raise CompressionError("a snappy block is shorter than it claims")
    return output


def _lz4_frame(cramjam: Any, view: memoryview) -> bytes:
    frame = bytearray(_LZ4_HEADER)
    for at in range(0, len(view), _LZ4_BLOCK_BYTES_MAX):
        plain = view[at : at + _LZ4_BLOCK_BYTES_MAX]
        packed = bytes(cramjam.lz4.compress_block(plain, store_size=False))
        if len(packed) < len(plain):
            frame += _LZ4_BLOCK_SIZE.pack(len(packed)) + packed
        else:
            frame += _LZ4_BLOCK_SIZE.pack(len(plain) | _LZ4_STORED)
            frame += plain
    frame += _LZ4_END
    return bytes(frame)
