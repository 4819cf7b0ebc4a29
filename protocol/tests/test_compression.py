"""Codecs with a bound on the output."""

import gzip
import io
import tracemalloc

import cramjam
import kafka.codec
import pytest

from protocol.compression import GZIP, LZ4, SNAPPY, ZSTD, CompressionError, compress, decompress

CODECS = pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
PLAIN = b"some words that come again, some words that come again. " * 50
LIMIT = 1 << 20


@pytest.mark.parametrize("codec", range(5))
@pytest.mark.parametrize("data", [b"", b"x", PLAIN, bytes(100_000)])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_round_trip(codec: int, data: bytes, kind) -> None:
    packed = compress(codec, kind(data))
    assert bytes(decompress(codec, kind(packed), LIMIT)) == data


@CODECS
def test_the_bound_is_exact(codec: int) -> None:
    packed = compress(codec, PLAIN)
    assert bytes(decompress(codec, packed, len(PLAIN))) == PLAIN
    with pytest.raises(CompressionError):
        decompress(codec, packed, len(PLAIN) - 1)


def test_uncompressed_has_a_bound_too() -> None:
    with pytest.raises(CompressionError):
        decompress(0, b"abc", 2)


@pytest.mark.parametrize("codec", [GZIP, LZ4, ZSTD])
def test_bombs_take_no_memory_beyond_the_bound(codec: int) -> None:
    """64 MiB of zeros in a few KiB; tracemalloc sees the output buffers, which are ours."""
    modules = {GZIP: cramjam.gzip, LZ4: cramjam.lz4, ZSTD: cramjam.zstd}
    bomb = bytes(modules[codec].compress(bytes(64 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(CompressionError, match="more than"):
            decompress(codec, bomb, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 2 * LIMIT
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "size", [b"\xff\xff\xff\xff\x07", b"\xff\xff\xff\xff\x0f", b"\x80\x80\x40"]
)
def test_snappy_claims_are_not_believed(size: bytes) -> None:
    with pytest.raises(CompressionError):
        decompress(SNAPPY, size + b"\x00abc", 2**31)


@CODECS
def test_cut_input(codec: int) -> None:
    packed = compress(codec, PLAIN)
    for cut in range(0, len(packed), 3):
        with pytest.raises(CompressionError):
            decompress(codec, packed[:cut], LIMIT)


@CODECS
def test_wrong_input(codec: int) -> None:
    for raw in (b"", b"\x01", b"garbage" * 20, b"\xff" * 50):
        with pytest.raises(CompressionError):
            decompress(codec, raw, LIMIT)


def test_unknown_codec() -> None:
    with pytest.raises(CompressionError):
        decompress(5, b"abc", LIMIT)
    with pytest.raises(ValueError, match="no codec"):
        compress(5, b"abc")


def test_what_other_writers_make() -> None:
    assert bytes(decompress(GZIP, gzip.compress(PLAIN), LIMIT)) == PLAIN
    members = gzip.compress(PLAIN[:100]) + gzip.compress(PLAIN[100:])
    assert bytes(decompress(GZIP, members, LIMIT)) == PLAIN
    assert bytes(decompress(SNAPPY, kafka.codec.snappy_encode(PLAIN), LIMIT)) == PLAIN
    assert bytes(decompress(LZ4, kafka.codec.lz4_encode(PLAIN), LIMIT)) == PLAIN
    assert bytes(decompress(ZSTD, kafka.codec.zstd_encode(PLAIN), LIMIT)) == PLAIN


def test_zstd_without_a_content_size() -> None:
    """As streaming writers (the Java client) leave it."""
    writer = cramjam.zstd.Compressor()
    writer.compress(PLAIN)
    assert bytes(decompress(ZSTD, bytes(writer.finish()), LIMIT)) == PLAIN


def xerial(*chunks: bytes) -> bytes:
    out = io.BytesIO()
    out.write(b"\x82SNAPPY\x00" + b"\x00\x00\x00\x01" * 2)
    for chunk in chunks:
        out.write(len(chunk).to_bytes(4, "big") + chunk)
    return out.getvalue()


def test_xerial_framing() -> None:
    half = len(PLAIN) // 2
    packed = [compress(SNAPPY, PLAIN[:half]), compress(SNAPPY, PLAIN[half:])]
    assert bytes(decompress(SNAPPY, xerial(*packed), LIMIT)) == PLAIN
    with pytest.raises(CompressionError):
        decompress(SNAPPY, xerial(*packed), len(PLAIN) - 1)
    whole = xerial(*packed)
    for cut in (17, 19, 30, len(whole) - 1):
        with pytest.raises(CompressionError):
            decompress(SNAPPY, whole[:cut], LIMIT)
    hostile = xerial()[:16] + b"\x7f\xff\xff\xff" + b"abc"
    with pytest.raises(CompressionError):
        decompress(SNAPPY, hostile, LIMIT)


def test_lz4_blocks_are_independent() -> None:
    """Java refuses linked blocks. Flags: version 1, independent; several blocks of 4 MiB."""
    data = bytes(range(256)) * (5 << 12)
    packed = compress(LZ4, data)
    assert packed[:6] == b"\x04\x22\x4d\x18\x60\x70"
    assert bytes(decompress(LZ4, packed, 1 << 24)) == data
    assert kafka.codec.lz4_decode(packed) == data


def test_lz4_stores_what_does_not_shrink() -> None:
    data = bytes((i * 7919 + (i >> 3) * 104729) & 0xFF for i in range(100))
    packed = compress(LZ4, data)
    assert len(packed) <= len(data) + 15
    assert bytes(decompress(LZ4, packed, LIMIT)) == data
