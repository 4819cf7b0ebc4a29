"""Committed offsets that are durable, by group, topic and partition, and what memory they take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from gateway.groups.budget import StateBudget
from protocol import ZERO_UUID

TopicPartition: TypeAlias = tuple[str, int]

NO_TIME = -1

OFFSET_BYTES = 450
"""What an offset takes beside its names and its metadata: here, and in the journal's newest
values. Of 100,000 each took 360; after a restart, when no two share a name, about 100 more."""


class CommittedOffset(NamedTuple):
    offset: int
    leader_epoch: int
    metadata: str
    commit_timestamp_ms: int
    topic_id: bytes = ZERO_UUID  # of the topic it was committed for; zero: nobody said
    expire_timestamp_ms: int = NO_TIME  # who committed it said so; else all are kept for as long


class _Group:
    """The offsets of one group. `owner` is whoever committed first, and answers for the memory."""

    __slots__ = ("by_topic", "count", "owner", "used_bytes")

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.by_topic: dict[str, dict[int, CommittedOffset]] = {}
        self.count = 0
        self.used_bytes = 0


def offset_bytes(group_id: str, topic: str, offset: CommittedOffset | None) -> int:
    """The memory that an offset takes; none for one that is not there."""
    if offset is None:
        return 0
    return OFFSET_BYTES + len(group_id) + len(topic) + 2 * len(offset.metadata)


class CommittedOffsets:
    """What OffsetFetch answers from. `count` is the number of offsets of all groups."""

    def __init__(self, budget: StateBudget) -> None:
        self._budget = budget
        self._groups: dict[str, _Group] = {}
        self._groups_by_topic: dict[str, dict[str, None]] = {}
        self.count = 0

    def __contains__(self, group_id: str) -> bool:
        return group_id in self._groups

    @property
    def groups_count(self) -> int:
        return len(self._groups)

    def group_ids(self) -> list[str]:
        return list(self._groups)

    def get(self, group_id: str, topic: str, partition: int) -> CommittedOffset | None:
        group = self._groups.get(group_id)
        return None if group is None else group.by_topic.get(topic, {}).get(partition)

    def of(self, group_id: str) -> Iterator[tuple[TopicPartition, CommittedOffset]]:
        """All of a group; the table may not change meanwhile."""
        group = self._groups.get(group_id)
        for topic, offsets in () if group is None else group.by_topic.items():
            for partition, offset in offsets.items():
                yield (topic, partition), offset

    def count_of(self, group_id: str) -> int:
        group = self._groups.get(group_id)
        return 0 if group is None else group.count

    def bytes_of(self, group_id: str) -> int:
        group = self._groups.get(group_id)
        return 0 if group is None else group.used_bytes

    def put(
        self, group_id: str, owner: str, offsets: Mapping[TopicPartition, CommittedOffset]
    ) -> None:
        if not offsets:
            return
        group = self._groups.get(group_id)
        if group is None:
            group = self._groups[group_id] = _Group(owner)
        more_bytes = 0
        for (topic, partition), offset in offsets.items():
            of_topic = group.by_topic.get(topic)
            if of_topic is None:
                of_topic = group.by_topic[topic] = {}
                self._groups_by_topic.setdefault(topic, {})[group_id] = None
            known = of_topic.get(partition)
            if known is None:
                group.count += 1
                self.count += 1
            more_bytes += offset_bytes(group_id, topic, offset)
            more_bytes -= offset_bytes(group_id, topic, known)
            of_topic[partition] = offset
        self._charge(group, more_bytes)

    def remove(self, group_id: str, partitions: Iterable[TopicPartition]) -> None:
        group = self._groups.get(group_id)
        if group is None:
            return
        less_bytes = 0
        for topic, partition in partitions:
            of_topic = group.by_topic.get(topic, {})
            known = of_topic.pop(partition, None)
            if known is None:
                continue
            less_bytes += offset_bytes(group_id, topic, known)
            group.count -= 1
            self.count -= 1
            if not of_topic:
                del group.by_topic[topic]
                self._forget_group_of_topic(group_id, topic)
        self._charge(group, -less_bytes)
        if not group.count:
            del self._groups[group_id]

    def clear(self) -> None:
        for group in self._groups.values():
            self._charge(group, -group.used_bytes)
        self._groups.clear()
        self._groups_by_topic.clear()
        self.count = 0

    def _charge(self, group: _Group, more_bytes: int) -> None:
        group.used_bytes += more_bytes
        self._budget.take(group.owner, more_bytes)

    def _forget_group_of_topic(self, group_id: str, topic: str) -> None:
        groups = self._groups_by_topic[topic]
        del groups[group_id]
        if not groups:
            del self._groups_by_topic[topic]

    def topics(self) -> list[str]:
        """Every topic with an offset, once."""
        return list(self._groups_by_topic)

    def groups_of(self, topic: str) -> list[str]:
        """The groups that have an offset of `topic`."""
        return list(self._groups_by_topic.get(topic, ()))

    def partitions_of(self, group_id: str, topic: str) -> list[int]:
        group = self._groups.get(group_id)
        return [] if group is None else list(group.by_topic.get(topic, ()))
