"""Topics that this process has seen go, by name: for whoever makes one of that name again.

Remembered in memory alone, the newest, up to a bound; a start knows nothing of those before it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

NAMES_MAX_COUNT = 10_000
"""Larger: memory; smaller: where so many are deleted at once, new topics wait until all nodes have
heard of the end of those whose names are forgotten, and are made again on other logs."""
PARTITIONS_MAX_COUNT = 1_000_000
"""Of all these topics together; each takes two bytes."""


class GoneTopic(NamedTuple):
    """The one of its name that went last."""

    topic_id: bytes
    log_ids: Sequence[int]
    """By partition."""


class GoneTopics:
    def __init__(
        self,
        names_max_count: int = NAMES_MAX_COUNT,
        partitions_max_count: int = PARTITIONS_MAX_COUNT,
    ) -> None:
        self._names_max_count = names_max_count
        self._partitions_max_count = partitions_max_count
        self._partitions_count = 0
        self._by_name: dict[str, GoneTopic] = {}
        self._ids: set[bytes] = set()

    def __contains__(self, topic_id: bytes) -> bool:
        """Whether the name of that one is known, and no later one of it has gone."""
        return topic_id in self._ids

    def last(self, name: str) -> GoneTopic | None:
        return self._by_name.get(name)

    def note(self, name: str, topic_id: bytes, log_ids: Iterable[int]) -> list[bytes]:
        """That topic is not there any more; its partitions lay on these logs. Those that are
        forgotten for it."""
        forgotten = self._forget(name)
        topic = GoneTopic(topic_id, array("H", log_ids))
        self._by_name[name] = topic
        self._ids.add(topic_id)
        self._partitions_count += len(topic.log_ids)
        while self._by_name and self._is_full():
            forgotten += self._forget(next(iter(self._by_name)))
        return forgotten

    def _is_full(self) -> bool:
        return (
            len(self._by_name) > self._names_max_count
            or self._partitions_count > self._partitions_max_count
        )

    def _forget(self, name: str) -> list[bytes]:
        topic = self._by_name.pop(name, None)
        if topic is None:
            return []
        self._ids.discard(topic.topic_id)
        self._partitions_count -= len(topic.log_ids)
        return [topic.topic_id]
