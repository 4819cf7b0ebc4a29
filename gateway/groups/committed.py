"""Committed offsets that are durable, by group and partition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

TopicPartition: TypeAlias = tuple[str, int]


class CommittedOffset(NamedTuple):
    offset: int
    leader_epoch: int
    metadata: str
    commit_timestamp_ms: int


_NOTHING: Mapping[TopicPartition, CommittedOffset] = {}


class CommittedOffsets:
    """What OffsetFetch answers from. `count` is the number of offsets of all groups."""

    def __init__(self) -> None:
        self._by_group: dict[str, dict[TopicPartition, CommittedOffset]] = {}
        self.count = 0

    def __contains__(self, group_id: str) -> bool:
        return group_id in self._by_group

    @property
    def groups_count(self) -> int:
        return len(self._by_group)

    def group_ids(self) -> list[str]:
        return list(self._by_group)

    def of(self, group_id: str) -> Mapping[TopicPartition, CommittedOffset]:
        return self._by_group.get(group_id, _NOTHING)

    def put(self, group_id: str, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        known = self._by_group.setdefault(group_id, {})
        self.count -= len(known)
        known.update(offsets)
        self.count += len(known)
        if not known:
            del self._by_group[group_id]

    def remove(self, group_id: str, partitions: Iterable[TopicPartition]) -> None:
        known = self._by_group.get(group_id)
        if known is None:
            return
        for partition in partitions:
            if known.pop(partition, None) is not None:
                self.count -= 1
        if not known:
            del self._by_group[group_id]

    def topics(self) -> list[str]:
        """Every topic with an offset, once. Slow: looks at every offset."""
        return list(
            dict.fromkeys(topic for offsets in self._by_group.values() for topic, _ in offsets)
        )

    def of_topic(self, topic: str) -> list[tuple[str, list[TopicPartition]]]:
        """Per group the partitions of `topic` that have an offset. Slow: looks at every offset."""
        found = []
        for group_id, offsets in self._by_group.items():
            partitions = [partition for partition in offsets if partition[0] == topic]
            if partitions:
                found.append((group_id, partitions))
        return found
