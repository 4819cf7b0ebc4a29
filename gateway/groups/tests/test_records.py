"""The records of __consumer_offsets: bytes as Apache Kafka writes them, and round trips."""

from __future__ import annotations

import pytest

from gateway.groups import records
from gateway.groups.classic import ClassicGroup
from gateway.groups.committed import CommittedOffset
from gateway.groups.tests.harness import EPOCH_MS, make
from protocol import ZERO_UUID
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


def test_an_offset_with_a_time_to_go_is_of_version_1_which_alone_has_a_place_for_it():
    kept = CommittedOffset(9, 4, "m", 11, b"t" * 16, 0x2A)
    value = records.encode_offset_value(kept)
    assert value == bytes.fromhex("0001000000000000000900016d000000000000000b000000000000002a")
    assert records.decode_offset_value(value) == CommittedOffset(9, -1, "m", 11, ZERO_UUID, 0x2A)


def test_a_group_value_is_kafkas_bytes():
    value = bytes.fromhex(
        "0003" "0008" "636f6e73756d6572" "00000005" "0005" "72616e6765" "0001" "61"
        "0000018bcfe56800"
        "00000001"  # members
        "0001" "61" "ffff" "0001" "63" "0002" "2f68" "0000ea60" "00002710"
        "00000003" "737562" "00000002" "00ff"
    )  # fmt: skip
    stored = records.decode_group_value(value)
    (restored,) = records.restored_members(stored)
    assert (restored.rebalance_timeout_ms, restored.session_timeout_ms) == (60_000, 10_000)
    assert (restored.protocols, restored.assignment) == ((("range", b"sub"),), b"\x00\xff")
    group = ClassicGroup("g", make(start=False))
    group.restore(
        protocol_type=stored.protocol_type,
        protocol_name=stored.protocol,
        generation=stored.generation,
        leader_id=stored.leader,
        members=[restored],
        state_since_ms=stored.current_state_timestamp,
    )
    assert records.encode_group_value(group, {"a": b"\x00\xff"}, EPOCH_MS) == value


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


@pytest.mark.parametrize("version", [-1, 5])
def test_a_value_of_another_version_is_refused_by_name(version: int):
    value = version.to_bytes(2, "big", signed=True) + OFFSET_VALUE[2:]
    said = f"of version {version}, this program reads versions 0 to 4: run the newer version of it"
    for decode in (records.decode_offset_value, records.decode_group_value):
        with pytest.raises(DecodeError, match=said):
            decode(value)
