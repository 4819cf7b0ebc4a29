"""Records of ``__consumer_offsets`` in Kafka's own key and value formats.

A key or value is an int16 version and the struct of that version. Versions written: keys 1 (offset)
and 2 (group), values 3, which every Kafka since 2.3 reads, and for offsets 4, which has the id of
their topic, or 1 where the client said how long to keep it: that alone has a place for the end, and
as in Kafka the rest of what it cannot say is gone after a restart. 0-4 of the values are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import NamedTuple, TypeAlias

from gateway.groups.committed import CommittedOffset
from gateway.groups.host import JournaledGroup
from gateway.groups.members import Member
from protocol import ZERO_UUID, DecodeError, Message, Writer
from protocol.messages.group_records import (
    GroupMetadataKey,
    GroupMetadataValue,
    MemberMetadata,
    OffsetCommitKey,
    OffsetCommitValue,
)

_VERSION = Struct(">h")
_OFFSET_KEY_VERSION = 1
_GROUP_KEY_VERSION = 2
_VALUE_VERSION_WITH_EXPIRY = 1
_VALUE_VERSION = 3
_VALUE_VERSION_WITH_TOPIC_ID = 4
_VALUE_VERSION_MAX = 4
STRING_BYTES_MAX = 32_767
"""What the int16 length of a stored string can say."""


class OffsetKey(NamedTuple):
    group_id: str
    topic: str
    partition: int


class GroupKey(NamedTuple):
    group_id: str


Key: TypeAlias = OffsetKey | GroupKey


def encode_offset_key(group_id: str, topic: str, partition: int) -> bytes:
    return _encode(OffsetCommitKey(group_id, topic, partition), _OFFSET_KEY_VERSION)


def encode_offset_value(offset: CommittedOffset) -> bytes:
    value = OffsetCommitValue(
        offset=offset.offset,
        leader_epoch=offset.leader_epoch,
        metadata=offset.metadata,
        commit_timestamp=offset.commit_timestamp_ms,
        topic_id=offset.topic_id,
    )
    if offset.expire_timestamp_ms >= 0:
        value.expire_timestamp = offset.expire_timestamp_ms
        return _encode(value, _VALUE_VERSION_WITH_EXPIRY)
    has_id = offset.topic_id != ZERO_UUID
    return _encode(value, _VALUE_VERSION_WITH_TOPIC_ID if has_id else _VALUE_VERSION)


def encode_group_key(group_id: str) -> bytes:
    return _encode(GroupMetadataKey(group_id), _GROUP_KEY_VERSION)


def encode_group_value(
    group: JournaledGroup, assignments: Mapping[str, bytes], now_ms: int
) -> bytes:
    """The group as it will be with `assignments`; a member without one gets an empty one."""
    value = GroupMetadataValue(
        protocol_type=group.protocol_type or "",
        generation=group.generation,
        protocol=group.protocol_name,
        leader=group.members.leader_id,
        current_state_timestamp=now_ms,
        members=[
            MemberMetadata(
                member_id=member.member_id,
                group_instance_id=member.group_instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                rebalance_timeout=member.rebalance_timeout_ms,
                session_timeout=member.session_timeout_ms,
                subscription=member.metadata_for(group.protocol_name),
                assignment=assignments.get(member.member_id, b""),
            )
            for member in group.members
        ],
    )
    return _encode(value, _VALUE_VERSION)


def decode_key(key: bytes) -> Key | None:
    """None for a key kind that this release does not know, such as those of KIP-848."""
    version = _version_of(key, "a group record's key")
    if version == _GROUP_KEY_VERSION:
        return GroupKey(GroupMetadataKey.decode(memoryview(key), 2, version)[0].group)
    if 0 <= version <= _OFFSET_KEY_VERSION:
        found = OffsetCommitKey.decode(memoryview(key), 2, version)[0]
        return OffsetKey(found.group, found.topic, found.partition)
    return None


def decode_offset_value(value: bytes) -> CommittedOffset:
    version = _value_version_of(value)
    found = OffsetCommitValue.decode(memoryview(value), 2, version)[0]
    return CommittedOffset(
        found.offset,
        found.leader_epoch,
        found.metadata,
        found.commit_timestamp,
        found.topic_id,
        found.expire_timestamp,
    )


def decode_group_value(value: bytes) -> GroupMetadataValue:
    """Raises DecodeError, also for a group with two members of one id."""
    version = _value_version_of(value)
    found = GroupMetadataValue.decode(memoryview(value), 2, version)[0]
    if len({member.member_id for member in found.members}) < len(found.members):
        raise DecodeError("a member appears twice", 0, api="group_records", version=version)
    return found


def restored_members(value: GroupMetadataValue) -> list[Member]:
    """The members of a stored group; of their protocols only the chosen one was stored."""
    protocol = value.protocol or ""
    return [
        Member(
            member_id=stored.member_id,
            group_instance_id=stored.group_instance_id,
            client_id=stored.client_id,
            client_host=stored.client_host,
            session_timeout_ms=stored.session_timeout,
            # Version 0 had no rebalance timeout.
            rebalance_timeout_ms=stored.rebalance_timeout or stored.session_timeout,
            protocols=((protocol, bytes(stored.subscription)),),
            assignment=bytes(stored.assignment),
        )
        for stored in value.members
    ]


def _encode(message: Message, version: int) -> bytes:
    out = Writer()
    out.buf += _VERSION.pack(version)
    message.encode(out, version)
    return out.to_bytes()


def _version_of(data: bytes, what: str) -> int:
    if len(data) < _VERSION.size:
        raise DecodeError(f"{what} has no version", 0, api="group_records", version=-1)
    version: int = _VERSION.unpack_from(data)[0]
    return version


def _value_version_of(value: bytes) -> int:
    version = _version_of(value, "a group record's value")
    if not 0 <= version <= _VALUE_VERSION_MAX:
        raise DecodeError(
            f"the value of a group record is of version {version}, this program reads versions 0 "
            f"to {_VALUE_VERSION_MAX}: run the newer version of it that wrote it",
            0,
            api="group_records",
            version=version,
        )
    return version
