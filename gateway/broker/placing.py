"""Where new partitions lie, and whether there is room for them.

Partitions go round the logs that new ones are for: those of a new topic from where the last topic
left off, so that whoever has few has some on each; further ones of a topic from where its own left
off.
"""

from __future__ import annotations

from gateway.broker.errors import BrokerError
from gateway.broker.log_set import LogSet
from gateway.broker.metadata_records import Placement
from gateway.broker.topic_rules import OFFSETS_TOPIC
from gateway.broker.topics import Topic, TopicRegistry
from protocol import ErrorCode
from wal_core import Unavailable


class Placing:
    """Decides alone; whoever writes the record that says so changes something."""

    def __init__(
        self, topics: TopicRegistry, logs: LogSet, logs_count: int, partitions_max_count: int
    ) -> None:
        self._topics = topics
        self._logs = logs
        self._logs_count = logs_count
        self._max_count = partitions_max_count

    def new(self, count: int, topic: Topic | None = None) -> list[Placement]:
        """Places for so many more partitions, of a topic or of one to come. Raises Unavailable."""
        logs = [owned.log_id for owned in self._logs.serving() if owned.log_id <= self._logs_count]
        if not logs:
            raise Unavailable("no log takes new partitions")
        first = self._topics.partitions_count
        if topic is not None and topic.placed[-1].log_id in logs:
            first = logs.index(topic.placed[-1].log_id) + 1
        ends = [self._topics.next_stream_id(log_id) for log_id in logs]
        places = []
        for number in range(first, first + count):
            at = number % len(logs)
            places.append(Placement(logs[at], ends[at]))
            ends[at] += 1
        return places

    def check_room(self, count: int) -> None:
        """Raise POLICY_VIOLATION if so many more are too many. The gateway's own do not count."""
        internal = self._topics.named(OFFSETS_TOPIC)
        used_count = self._topics.partitions_count - (len(internal.placed) if internal else 0)
        room = self._max_count - used_count
        if count > room:
            raise BrokerError(
                ErrorCode.POLICY_VIOLATION,
                f"{count} partitions asked for, room for {max(0, room)} more: "
                f"this gateway is set to {self._max_count} (partitions_max_count)",
            )
