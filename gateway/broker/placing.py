"""Where new partitions lie, and whether there is room for them.

Partitions go round the logs that new ones are for: those of a new topic from where the last topic
left off, so that whoever has few has some on each; further ones of a topic from where its own left
off. A topic that is made again lies where the last one of its name did: among nodes a leader epoch
is the term of a log, and clients that have not heard of the end of the old topic (librdkafka 2)
take a partition's lower epoch for old news, and ask its old leader for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.broker.errors import BrokerError
from gateway.broker.metadata_records import Placement
from gateway.broker.topic_rules import OFFSETS_TOPIC
from gateway.broker.topics import Topic, TopicRegistry
from protocol import ErrorCode
from wal_core import Unavailable


class Placing:
    """Decides alone; whoever writes the record that says so changes something."""

    def __init__(
        self,
        topics: TopicRegistry,
        logs_for_new: Callable[[], Sequence[int]],
        partitions_max_count: int,
    ) -> None:
        self._topics = topics
        self._logs_for_new = logs_for_new
        self._max_count = partitions_max_count

    def new(self, name: str, count: int, topic: Topic | None = None) -> list[Placement]:
        """Places for so many more partitions, of a topic or of one to come. Raises Unavailable."""
        logs = self._logs_for_new()
        if not logs:
            raise Unavailable("no log takes new partitions")
        turn = self._topics.partitions_count
        if topic is not None and topic.placed[-1].log_id in logs:
            turn = logs.index(topic.placed[-1].log_id) + 1
        at_of = {log_id: at for at, log_id in enumerate(logs)}
        ends = [self._topics.next_stream_id(log_id) for log_id in logs]
        first = 0 if topic is None else len(topic.placed)
        known = self._known(name, len(logs))[first : first + count]
        places = []
        for index in range(count):
            at = at_of.get(known[index]) if index < len(known) else None
            if at is None:
                at = turn % len(logs)
            turn = at + 1
            places.append(Placement(logs[at], ends[at]))
            ends[at] += 1
        return places

    def _known(self, name: str, logs_count: int) -> Sequence[int]:
        """The logs of the last topic of that name, by partition; none where more logs have come
        since, over which it was not spread."""
        gone = self._topics.gone.last(name)
        if gone is None:
            return ()
        is_spread = len(set(gone.log_ids)) >= min(len(gone.log_ids), logs_count)
        return gone.log_ids if is_spread else ()

    def check_new(self, name: str, partitions_count: int) -> None:
        """Raise BrokerError: TOPIC_ALREADY_EXISTS, INVALID_TOPIC_EXCEPTION for the gateway's own,
        INVALID_PARTITIONS, POLICY_VIOLATION for too many."""
        if self._topics.named(name) is not None:
            raise BrokerError(ErrorCode.TOPIC_ALREADY_EXISTS, f"topic {name!r} already exists")
        if name == OFFSETS_TOPIC:
            raise BrokerError(
                ErrorCode.INVALID_TOPIC_EXCEPTION, f"the gateway itself creates {name} when needed"
            )
        if partitions_count < 1:
            raise BrokerError(
                ErrorCode.INVALID_PARTITIONS,
                f"a topic has 1 or more partitions, not {partitions_count}",
            )
        self.check_room(partitions_count)

    def check_more(self, topic: Topic, count: int) -> None:
        """Raise BrokerError: INVALID_PARTITIONS, in Kafka's words, where that is no more than there
        are; INVALID_REQUEST for the gateway's own topic, POLICY_VIOLATION for too many."""
        before = len(topic.placed)
        if count == before:
            raise BrokerError(
                ErrorCode.INVALID_PARTITIONS, f"Topic already has {before} partition(s)."
            )
        if count < before:
            raise BrokerError(
                ErrorCode.INVALID_PARTITIONS,
                f"The topic {topic.name} currently has {before} partition(s); "
                f"{count} would not be an increase.",
            )
        if topic.is_internal:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST,
                f"{topic.name} is internal: where a group lies goes by its partitions",
            )
        self.check_room(count - before)

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
