"""The records of __consumer_offsets: bytes as Apache Kafka writes them, and round trips."""

from __future__ import annotations

import pytest

from gateway.groups import records
from gateway.groups.committed import CommittedOffset
from protocol.errors import DecodeError
from protocol.messages.group_records import OffsetCommitValue
from protocol.primitives import Writer

# (what, bytes): laid out by hand from Kafka's record definitions.
OFFSET_KEY = bytes.fromhex("000100016700017400000007")
OFFSET_VALUE = bytes.fromhex("0003000000000000002a0000000500026d210000018bcfe56800")
GROUP_KEY = bytes.fromhex("0002000167")


def test_keys_and_offset_values_are_kafkas_bytes():
    assert records.encode_offset_key("g", "t", 7) == OFFSET_KEY
    assert records.encode_group_key("g") == GROUP_KEY
    offset = CommittedOffset(42, 5, "m!", 1_700_000_000_000)
    assert records.encode_offset_value(offset) == OFFSET_VALUE
    assert records.decode_key(OFFSET_KEY) == records.OffsetKey("g", "t", 7)
    assert records.decode_key(b"\0\0" + OFFSET_KEY[2:]) == records.OffsetKey("g", "t", 7)
    assert records.decode_key(GROUP_KEY) == records.GroupKey("g")
    assert records.decode_offset_value(OFFSET_VALUE) == offset


@pytest.mark.parametrize("version", range(5))
def test_every_version_of_an_offset_value_is_read(version):
    out = Writer()
    out.buf += version.to_bytes(2, "big")
    OffsetCommitValue(offset=9, leader_epoch=4, metadata="m", commit_timestamp=11).encode(
        out, version
    )
    read = records.decode_offset_value(out.to_bytes())
    assert read == CommittedOffset(9, 4 if version >= 3 else -1, "m", 11)


def test_unknown_key_kinds_are_told_apart_from_broken_ones():
    assert records.decode_key(b"\x00\x03\x00\x01g") is None
    for broken in (b"", b"\x00", OFFSET_KEY[:-1], GROUP_KEY[:-1]):
        with pytest.raises(DecodeError):
            records.decode_key(broken)
    for broken in (b"", b"\x00\x09", OFFSET_VALUE[:-1]):
        with pytest.raises(DecodeError):
            records.decode_offset_value(broken)
        with pytest.raises(DecodeError):
            records.decode_group_value(broken)
