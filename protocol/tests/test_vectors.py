"""One table of (value, version, bytes), run both ways.

The bytes were put together by hand from the protocol guide, field by field, and are what other
codecs produce too (test_messages.py). They pin what must never drift.
"""

import pytest

from protocol import Message, Writer
from protocol.messages.api_versions import ApiVersion, ApiVersionsRequest, ApiVersionsResponse
from protocol.messages.consumer_protocol import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    TopicPartition,
)
from protocol.messages.fetch import (
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    LeaderIdAndEpoch,
    PartitionData,
)
from protocol.messages.group_records import (
    GroupMetadataKey,
    GroupMetadataValue,
    MemberMetadata,
    OffsetCommitKey,
    OffsetCommitValue,
)
from protocol.messages.heartbeat import HeartbeatRequest
from protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from protocol.messages.offset_fetch import OffsetFetchRequest
from protocol.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)

RECORDS = b"\x01\x02\x03"
PRODUCE = ProduceRequest(
    acks=-1,
    timeout_ms=1500,
    topic_data=[TopicProduceData("t", partition_data=[PartitionProduceData(3, RECORDS)])],
)
PRODUCED = ProduceResponse(
    responses=[TopicProduceResponse("t", partition_responses=[PartitionProduceResponse(3, 0, 7)])]
)
MEMBER = MemberMetadata("m", None, "c", "/h", 60000, 10000, b"\x00\x01", b"\x02")
GROUP = GroupMetadataValue("consumer", 5, "range", "m", 9, [MEMBER])

VECTORS: list[tuple[Message, int, str]] = [
    (PRODUCE, 2, "ffff 000005dc 00000001 000174 00000001 00000003 00000003 010203"),
    (PRODUCE, 3, "ffff ffff 000005dc 00000001 000174 00000001 00000003 00000003 010203"),
    (PRODUCE, 9, "00 ffff 000005dc 02 0274 02 00000003 04 010203 00 00 00"),
    (PRODUCED, 0, "00000001 000174 00000001 00000003 0000 0000000000000007"),
    (PRODUCED, 1, "00000001 000174 00000001 00000003 0000 0000000000000007 00000000"),
    (
        PRODUCED,
        2,
        "00000001 000174 00000001 00000003 0000 0000000000000007 ffffffffffffffff 00000000",
    ),
    (
        PRODUCED,
        9,
        "02 0274 02 00000003 0000 0000000000000007 ffffffffffffffff ffffffffffffffff"
        " 01 00 00 00 00000000 00",
    ),
    (MetadataRequest(topics=[]), 0, "00000000"),
    (MetadataRequest(topics=[]), 1, "00000000"),
    (MetadataRequest(topics=None), 1, "ffffffff"),
    (MetadataRequest(topics=None), 9, "00 01 00 00 00"),
    (MetadataRequest(topics=[]), 9, "01 01 00 00 00"),
    (
        MetadataRequest(topics=[MetadataRequestTopic(bytes(range(16)), None)]),
        12,
        "02 000102030405060708090a0b0c0d0e0f 00 00 01 00 00",
    ),
    (
        FetchRequest(
            max_wait_ms=500,
            min_bytes=1,
            max_bytes=0x100,
            topics=[FetchTopic("t", partitions=[FetchPartition(0, -1, 5, partition_max_bytes=9)])],
        ),
        4,
        "ffffffff 000001f4 00000001 00000100 00 00000001 000174 00000001"
        " 00000000 0000000000000005 00000009",
    ),
    (
        FetchRequest(cluster_id="ab"),
        12,
        "ffffffff 00000000 00000000 7fffffff 00 00000000 ffffffff 01 01 01 01 00 03 03 6162",
    ),
    (
        FetchResponse(
            responses=[
                FetchableTopicResponse(
                    "t", partitions=[PartitionData(1, 6, 2, current_leader=LeaderIdAndEpoch(4, 5))]
                )
            ]
        ),
        12,
        "00000000 0000 00000000 02 0274 02 00000001 0006 0000000000000002 ffffffffffffffff"
        " ffffffffffffffff 00 ffffffff 01 01 01 09 00000004 00000005 00 00 00",
    ),
    (ApiVersionsRequest("kcat", "1.7.1"), 3, "05 6b636174 06 312e372e31 00"),
    (ApiVersionsResponse(35, [ApiVersion(18, 0, 4)]), 0, "0023 00000001 0012 0000 0004"),
    (ApiVersionsResponse(0, [ApiVersion(3, 0, 13)]), 3, "0000 02 0003 0000 000d 00 00000000 00"),
    (
        ApiVersionsResponse(0, [], finalized_features_epoch=2),
        4,
        "0000 01 00000000 01 01 08 0000000000000002",
    ),
    (HeartbeatRequest("g", 2, "m"), 3, "000167 00000002 00016d ffff"),
    (HeartbeatRequest("g", 2, "m", "i"), 4, "0267 00000002 026d 0269 00"),
    (OffsetCommitKey("g", "t", 2), 1, "000167 000174 00000002"),
    (OffsetCommitValue(9, 3, "x", 4), 3, "0000000000000009 00000003 000178 0000000000000004"),
    (OffsetCommitValue(9, -1, "x", 4), 0, "0000000000000009 000178 0000000000000004"),
    (
        OffsetCommitValue(9, -1, "x", 4, 5),
        1,
        "0000000000000009 000178 0000000000000004 0000000000000005",
    ),
    (OffsetCommitValue(9, 3, "x", 4), 4, "0000000000000009 00000003 0278 0000000000000004 00"),
    (GroupMetadataKey("g"), 2, "000167"),
    (
        GROUP,
        3,
        "0008 636f6e73756d6572 00000005 0005 72616e6765 00016d 0000000000000009 00000001"
        " 00016d ffff 000163 0002 2f68 0000ea60 00002710 00000002 0001 00000001 02",
    ),
    (
        ConsumerProtocolSubscription(["t"], None, [TopicPartition("t", [0, 1])], 7, "r"),
        3,
        "00000001 000174 ffffffff 00000001 000174 00000002 00000000 00000001 00000007 000172",
    ),
    (ConsumerProtocolSubscription(["t"], b"u"), 0, "00000001 000174 00000001 75"),
    (
        ConsumerProtocolAssignment([TopicPartition("t", [4])], b""),
        0,
        "00000001 000174 00000001 00000004 00000000",
    ),
]


@pytest.mark.parametrize(("message", "version", "hexadecimal"), VECTORS)
def test_vector(message: Message, version: int, hexadecimal: str) -> None:
    raw = bytes.fromhex(hexadecimal)
    out = Writer()
    message.encode(out, version)
    assert out.to_bytes().hex() == raw.hex()
    again, at = type(message).decode(memoryview(raw), 0, version)
    assert (again, at) == (message, len(raw))


def test_none_where_the_version_has_no_null_is_our_bug() -> None:
    with pytest.raises(TypeError):
        MetadataRequest(topics=None).encode(Writer(), 0)
    with pytest.raises(TypeError):
        MetadataRequest(topics=[MetadataRequestTopic(name=None)]).encode(Writer(), 9)
    with pytest.raises(TypeError):
        OffsetFetchRequest(topics=None).encode(Writer(), 1)
    with pytest.raises(TypeError):
        OffsetCommitValue(metadata=None).encode(Writer(), 3)  # type: ignore[arg-type]


def test_fields_outside_the_version_are_skipped() -> None:
    old, new = Writer(), Writer()
    HeartbeatRequest("g", 2, "m", "instance").encode(old, 2)
    HeartbeatRequest("g", 2, "m").encode(new, 2)
    assert old.to_bytes() == new.to_bytes()


def test_a_tagged_struct_of_defaults_is_left_out() -> None:
    said, unsaid = Writer(), Writer()
    PartitionData(current_leader=LeaderIdAndEpoch()).encode(said, 12)
    PartitionData().encode(unsaid, 12)
    assert said.to_bytes() == unsaid.to_bytes()


def test_defaults_are_not_shared() -> None:
    FetchRequest().topics.append(FetchTopic("t"))
    assert FetchRequest().topics == []
