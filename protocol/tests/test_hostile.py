"""Bytes made to hurt: nothing but DecodeError or UnsupportedVersion, and no memory to speak of."""

import random  # noqa: TID251  (seeded)
import tracemalloc
from struct import pack

import pytest
from hypothesis import given, settings

from protocol import (
    DecodeError,
    Message,
    ProtocolError,
    RequestHeader,
    TooManyElements,
    Writer,
    decode_request,
    decode_request_header,
    decode_response,
)
from protocol.messages import MESSAGE_CLASSES
from protocol.messages.fetch import FetchRequest
from protocol.messages.metadata import MetadataRequest
from protocol.messages.offset_commit import OffsetCommitRequest
from protocol.messages.produce import ProduceRequest
from protocol.primitives import (
    ARRAY_ELEMENTS_MAX_COUNT,
    read_compact_nullable_string,
    read_compact_string,
)
from protocol.tests.arbitrary import Top, arbitrary, case_id, cases

MEMORY_BYTES_MAX = 256 * 1024


def peak_bytes(function) -> int:
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refuses(cls, raw: bytes, version: int) -> None:
    view = memoryview(raw)

    def attempt() -> None:
        with pytest.raises(DecodeError):
            cls.decode(view, 0, version)

    attempt()  # warm: what the first call imports or caches is not the message's doing
    assert peak_bytes(attempt) < MEMORY_BYTES_MAX


HUGE = [0x7FFFFFFF, 0x10000000, -2, -(2**31)]


@pytest.mark.parametrize("length", HUGE)
def test_classic_array_counts(length: int) -> None:
    refuses(ProduceRequest, pack(">hii", -1, 1000, length), 2)
    refuses(MetadataRequest, pack(">i", length), 8)
    refuses(FetchRequest, pack(">iiiibi", -1, 0, 0, 0, 0, length), 4)


@pytest.mark.parametrize("length", HUGE)
def test_nested_classic_array_counts(length: int) -> None:
    topics = pack(">hiih1s", -1, 1000, 1, 1, b"t")
    refuses(ProduceRequest, topics + pack(">i", length), 2)
    refuses(ProduceRequest, topics + pack(">iii", 1, 0, length), 2)


@pytest.mark.parametrize("length", [-2, -(2**15), 0x7FFF])
def test_classic_strings(length: int) -> None:
    refuses(OffsetCommitRequest, pack(">h", length) + b"abc", 2)
    refuses(ProduceRequest, pack(">h", length) + b"abc", 3)


@pytest.mark.parametrize("varint", [b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x08", b"\xff\x7f"])
def test_compact_counts_and_lengths(varint: bytes) -> None:
    refuses(MetadataRequest, varint + b"\x01\x01", 12)
    refuses(ProduceRequest, varint + b"\x00\x00", 9)
    refuses(ProduceRequest, b"\x00" + pack(">hi", 1, 1) + varint, 9)
    topic = b"\x00" + pack(">hi", 1, 1) + b"\x02\x02t\x02" + pack(">i", 0)
    refuses(ProduceRequest, topic + varint, 9)


@pytest.mark.parametrize(
    "varint", [b"\xff\xff\xff\xff\x7f", b"\x80" * 5, b"\x80" * 40, b"\xff" * 9]
)
def test_varints_beyond_32_bits(varint: bytes) -> None:
    refuses(MetadataRequest, varint + bytes(40), 12)


@pytest.mark.parametrize(
    "tags",
    [
        b"\xff\xff\xff\xff\x0f",  # a count without tags
        b"\x01\x63\xff\xff\xff\xff\x0f",  # a size beyond the bytes
        b"\x01\x00\x04abc",  # a known tag (cluster id) with too short a value in it
        b"\x01\x00\x02\x05a",  # a value that leaves its tag's bytes
        b"\x02\x63\x00",  # the second tag is missing
    ],
)
def test_tag_sections(tags: bytes) -> None:
    request = Writer()
    FetchRequest().encode(request, 12)
    raw = request.to_bytes()
    assert raw[-1:] == b"\x00"
    refuses(FetchRequest, raw[:-1] + tags, 12)


def test_elements_of_one_message_share_a_budget() -> None:
    """Counts that fit their bytes one by one may still not add up to millions of objects."""
    half = ARRAY_ELEMENTS_MAX_COUNT // 2 + 1
    ints = pack(">i", half) + bytes(4 * half)
    one = b"\x00\x01t" + ints
    head = pack(">iiiibiiii", -1, 0, 0, 0, 0, 0, 0, 0, 2)
    assert FetchRequest.decode(memoryview(head[:-4] + pack(">i", 1) + one), 0, 7)
    with pytest.raises(TooManyElements, match="4 array elements more than are allowed"):
        FetchRequest.decode(memoryview(head + one + one), 0, 7)
    with pytest.raises(TooManyElements):
        FetchRequest.decode(memoryview(head[:-4] + pack(">i", 1) + one), 0, 7, half)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"a\xed\xa0\x80b", "a\ufffd\ufffd\ufffdb"),
        (b"caf\xe9", "caf\ufffd"),
        (b"\xe2\x82", "\ufffd"),
    ],
)
def test_what_is_not_utf8_becomes_replacement_characters_as_in_kafka(raw: bytes, text: str) -> None:
    length = pack(">h", len(raw))
    read = OffsetCommitRequest.decode(memoryview(length + raw + bytes(60)), 0, 2)[0]
    assert read.group_id == text
    compact = bytes([len(raw) + 1])
    assert read_compact_string(memoryview(compact + raw), 0) == (text, len(raw) + 1)
    assert read_compact_nullable_string(memoryview(compact + raw), 0) == (text, len(raw) + 1)
    header, _ = decode_request_header(memoryview(pack(">hhi", 3, 1, 7) + length + raw))
    assert header.client_id == text


def test_a_string_that_could_not_be_written_again_is_refused() -> None:
    """A replacement character takes three bytes, and lengths have 15 bits."""
    bad = 0x7FFF // 3
    for count, is_read in ((bad, True), (bad + 1, False)):
        raw = pack(">h", count) + b"\xff" * count + bytes(60)
        if is_read:
            assert OffsetCommitRequest.decode(memoryview(raw), 0, 2)
        else:
            refuses(OffsetCommitRequest, raw, 2)


def test_error_names_api_version_position() -> None:
    with pytest.raises(DecodeError) as caught:
        MetadataRequest.decode(memoryview(b"\x00\x00"), 0, 5)
    assert (caught.value.api, caught.value.version) == ("MetadataRequest", 5)
    assert caught.value.position == 2
    assert "MetadataRequest v5" in str(caught.value)


def _attempt(frame: bytes) -> None:
    """Any frame: a message, or one of our two exceptions."""
    view = memoryview(frame)
    try:
        header, at = decode_request_header(view)
        decode_request(header, view, at)
    except ProtocolError:
        pass


def _request_frames() -> list[bytes]:
    """A few frames per request and version, always the same ones."""
    frames: list[bytes] = []
    for top, version in cases():
        if top.struct.kind == "request":
            _collect(top, version, frames)
    return frames


def _collect(top: Top, version: int, frames: list[bytes]) -> None:
    head = pack(">hhihs", top.struct.api_key, version, 7, 1, b"c")
    head += b"\x00" if top.struct.is_flexible(version) else b""

    @settings(max_examples=3, derandomize=True, database=None)
    @given(arbitrary(top, version))
    def collect(message: Message) -> None:
        out = Writer()
        message.encode(out, version)
        frames.append(head + out.to_bytes())

    collect()


def test_fuzz_mutated_requests() -> None:
    rng = random.Random(20)
    frames = _request_frames()
    assert len(frames) > 200
    for _ in range(20_000):
        frame = bytearray(rng.choice(frames))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(8, len(frame)) if len(frame) > 9 else 0
            action = rng.randrange(4)
            if action == 0:
                frame[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
            elif action == 1:
                del frame[at:]
            elif action == 2:
                frame[at:at] = rng.randbytes(rng.randint(1, 8))
            else:
                frame[at : at + 4] = pack(">i", rng.choice(HUGE))
            if not frame:
                break
        _attempt(bytes(frame))


def test_fuzz_random_bodies() -> None:
    rng = random.Random(21)
    keys = [*MESSAGE_CLASSES, 99, -1]
    for _ in range(10_000):
        key = rng.choice(keys)
        head = pack(">hhih", key, rng.randint(-1, 18), 1, -1)
        _attempt(head + rng.randbytes(rng.randint(0, 60)))
    for _ in range(2_000):
        _attempt(rng.randbytes(rng.randint(0, 30)))


def test_fuzz_random_responses() -> None:
    rng = random.Random(22)
    for _ in range(5_000):
        key = rng.choice(list(MESSAGE_CLASSES))
        classes = MESSAGE_CLASSES[key]
        version = rng.randint(classes.min_version, classes.max_version)
        try:
            decode_response(key, version, memoryview(rng.randbytes(rng.randint(0, 80))))
        except DecodeError:
            pass


@pytest.mark.parametrize(("top", "version"), cases(), ids=case_id)
def test_random_bytes_as_any_struct(top: Top, version: int) -> None:
    rng = random.Random(version)
    for _ in range(40):
        raw = rng.randbytes(rng.randint(0, 60))
        try:
            top.cls.decode(memoryview(raw), 0, version)
        except DecodeError:
            pass


def test_header_is_given_back_for_unknown_apis() -> None:
    raw = pack(">hhih", 18, 99, 5, 2) + b"cl" + b"\xff\xff\xff"
    header, at = decode_request_header(memoryview(raw))
    assert header == RequestHeader(18, 99, 5, "cl")
    assert at == 12
