"""Commits that are on their way to the journal: what they will have an offset for.

Whoever removes offsets meanwhile asks here, so as not to take away what is about to be said anew,
or not to miss it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from gateway.groups.committed import TopicPartition


class _Commit(NamedTuple):
    """What one says of one topic."""

    group_id: str
    indexes: list[int]


class CommitsUnderWay:
    """By topic, for the topic's deletion."""

    def __init__(self) -> None:
        self._by_topic: dict[str, dict[object, _Commit]] = {}

    def begin(self, group_id: str, partitions: Iterable[TopicPartition]) -> Callable[[], None]:
        """Remember a commit until the result is called."""
        by_topic: dict[str, list[int]] = {}
        for topic, partition in partitions:
            by_topic.setdefault(topic, []).append(partition)
        token = object()
        for topic, indexes in by_topic.items():
            self._by_topic.setdefault(topic, {})[token] = _Commit(group_id, indexes)

        def ended() -> None:
            for topic in by_topic:
                commits = self._by_topic[topic]
                del commits[token]
                if not commits:
                    del self._by_topic[topic]

        return ended

    def indexes(self, group_id: str, topic: str) -> set[int]:
        """Of a topic, what the group is committing."""
        return {
            index
            for commit in self._of(topic)
            for index in (commit.indexes if commit.group_id == group_id else ())
        }

    def by_group(self, topic: str) -> Mapping[str, dict[int, None]]:
        """Of a topic, what each group is committing; the first come first."""
        found: dict[str, dict[int, None]] = {}
        for commit in self._of(topic):
            found.setdefault(commit.group_id, {}).update(dict.fromkeys(commit.indexes))
        return found

    def partitions(self, group_id: str) -> Iterator[TopicPartition]:
        """What a group is committing; some maybe twice."""
        for topic in self._by_topic:
            for commit in self._of(topic):
                if commit.group_id == group_id:
                    yield from ((topic, index) for index in commit.indexes)

    def _of(self, topic: str) -> Iterable[_Commit]:
        return self._by_topic.get(topic, {}).values()
