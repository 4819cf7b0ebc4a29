"""What a topic's name and settings say, for its partitions and all who ask it.

Knows neither partitions nor the log: `gateway.broker.topics` has the topic as a whole.
"""

from __future__ import annotations

import re

from gateway.broker.metadata_records import TopicCreated
from gateway.broker.topic_configs import LONG_MAX, SETTINGS
from protocol import RecordRules

OFFSETS_TOPIC = "__consumer_offsets"
TOPIC_NAME_CHARS_MAX = 249  # Kafka's Topic.MAX_NAME_LENGTH: a file name with room for a suffix
_LEGAL_NAME = re.compile(r"[a-zA-Z0-9._-]+\Z")


def topic_name_problem(name: str) -> str | None:
    """Why `name` cannot be a topic (Kafka's rules, `Topic.validate`), or None."""
    if not name:
        return "the topic name is empty"
    if name in (".", ".."):
        return f"the topic name cannot be {name!r}"
    if len(name) > TOPIC_NAME_CHARS_MAX:
        return f"the topic name has {len(name)} characters, the most is {TOPIC_NAME_CHARS_MAX}"
    if not _LEGAL_NAME.match(name):
        return (
            f"the topic name {name!r} has characters other than letters, digits, '.', '_' and '-'"
        )
    return None


class TopicRules:
    """A topic without its partitions."""

    __slots__ = (
        "_default_bytes_max",
        "configs",
        "deletes_old",
        "id",
        "is_compacted",
        "log_append_time",
        "message_bytes_max",
        "name",
        "record",
        "retention_bytes",
        "retention_ms",
        "timestamp_ahead_ms",
        "timestamp_behind_ms",
    )

    def __init__(self, record: TopicCreated, message_bytes_max: int) -> None:
        self.name = record.name
        self.id = record.topic_id
        self._default_bytes_max = message_bytes_max
        self.configure(record)

    def configure(self, record: TopicCreated) -> None:
        """Act on the settings of `record`, which rebuilds the topic from now on."""
        self.record = record
        self.configs = record.configs
        own_max = record.configs.get("max.message.bytes")
        self.message_bytes_max = int(own_max) if own_max else self._default_bytes_max
        self.log_append_time = self.config("message.timestamp.type") == "LogAppendTime"
        self.timestamp_ahead_ms = int(self.config("message.timestamp.after.max.ms"))
        self.timestamp_behind_ms = int(self.config("message.timestamp.before.max.ms"))
        policies = [policy.strip() for policy in self.config("cleanup.policy").split(",")]
        self.deletes_old = "delete" in policies
        self.is_compacted = "compact" in policies
        self.retention_ms = int(self.config("retention.ms"))  # -1: for ever
        self.retention_bytes = int(self.config("retention.bytes"))  # per partition; -1: any number

    def record_rules(self, now_ms: int) -> RecordRules:
        """What a producer's records must be like, as LogValidator has it: keys where the newest of
        each is kept, and times near the clock unless the broker sets them itself.
        """
        if self.log_append_time:
            return RecordRules(needs_keys=self.is_compacted)
        behind_ms, ahead_ms = self.timestamp_behind_ms, self.timestamp_ahead_ms
        return RecordRules(
            -LONG_MAX - 1 if behind_ms == LONG_MAX else now_ms - behind_ms,
            LONG_MAX if ahead_ms == LONG_MAX else now_ms + ahead_ms,
            self.is_compacted,
        )

    @property
    def is_internal(self) -> bool:
        return self.name == OFFSETS_TOPIC

    def config(self, name: str) -> str:
        return self.configs.get(name, SETTINGS[name].default)
