"""What a topic's name and settings say, for its partitions and all who ask it.

Knows neither partitions nor the log: `gateway.broker.topics` has the topic as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.broker.metadata_records import TopicCreated
from gateway.broker.setting_types import LONG_MAX, items_of
from gateway.broker.topic_configs import TopicDefaults
from protocol import RecordRules
from wal_core import Rng

OFFSETS_TOPIC = "__consumer_offsets"
TOPIC_NAME_CHARS_MAX = 249  # Kafka's Topic.MAX_NAME_LENGTH: a file name with room for a suffix
_LEGAL_NAME = re.compile(r"[a-zA-Z0-9._-]+\Z")


def new_topic_id(rng: Rng) -> bytes:
    """A random (version 4) UUID, as Kafka's; never the all-zero one, which means "no id"."""
    raw = bytearray(rng.random_bytes(16))
    raw[6] = (raw[6] & 0x0F) | 0x40
    raw[8] = (raw[8] & 0x3F) | 0x80
    return bytes(raw)


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


class _Policy:
    """What settings come to, together with the defaults of their moment."""

    __slots__ = (
        "deletes_old",
        "is_compacted",
        "log_append_time",
        "made_with",
        "message_bytes_max",
        "retention_bytes",
        "retention_ms",
        "timestamp_ahead_ms",
        "timestamp_behind_ms",
    )

    def __init__(self, configs: Mapping[str, str], defaults: Mapping[str, str]) -> None:
        self.made_with = defaults
        values = {**defaults, **configs}
        self.message_bytes_max = int(values["max.message.bytes"])
        self.log_append_time = values["message.timestamp.type"] == "LogAppendTime"
        either_ms = int(values["message.timestamp.difference.max.ms"])
        ahead_ms = int(values["message.timestamp.after.max.ms"])
        behind_ms = int(values["message.timestamp.before.max.ms"])
        self.timestamp_ahead_ms = either_ms if ahead_ms == LONG_MAX else ahead_ms
        self.timestamp_behind_ms = either_ms if behind_ms == LONG_MAX else behind_ms
        policies = items_of(values["cleanup.policy"])
        self.deletes_old = "delete" in policies
        self.is_compacted = "compact" in policies
        self.retention_ms = int(values["retention.ms"])
        self.retention_bytes = int(values["retention.bytes"])

    def record_rules(self, now_ms: int) -> RecordRules:
        if self.log_append_time:
            return RecordRules(needs_keys=self.is_compacted)
        behind_ms, ahead_ms = self.timestamp_behind_ms, self.timestamp_ahead_ms
        return RecordRules(
            -LONG_MAX - 1 if behind_ms == LONG_MAX else now_ms - behind_ms,
            LONG_MAX if ahead_ms == LONG_MAX else now_ms + ahead_ms,
            self.is_compacted,
        )


class TopicRules:
    """A topic without its partitions."""

    __slots__ = (
        "_defaults",
        "_made",
        "_rules",
        "_rules_ms",
        "_rules_of",
        "configs",
        "id",
        "name",
        "record",
    )

    def __init__(self, record: TopicCreated, defaults: TopicDefaults) -> None:
        self.name = record.name
        self.id = record.topic_id
        self._defaults = defaults
        self._rules = RecordRules()  # as they were asked for last
        self._rules_of: _Policy | None = None
        self._rules_ms = 0
        self.configure(record)

    def configure(self, record: TopicCreated) -> None:
        """Act on the settings of `record`, which rebuilds the topic from now on."""
        self.record = record
        self.configs = record.configs
        self._made = _Policy(record.configs, self._defaults.values)

    @property
    def _policy(self) -> _Policy:
        # Defaults change for ten thousand topics at once: each finds out when it is asked.
        if self._made.made_with is not self._defaults.values:
            self._made = _Policy(self.configs, self._defaults.values)
        return self._made

    @property
    def message_bytes_max(self) -> int:
        return self._policy.message_bytes_max

    @property
    def log_append_time(self) -> bool:
        return self._policy.log_append_time

    @property
    def deletes_old(self) -> bool:
        return self._policy.deletes_old

    @property
    def is_compacted(self) -> bool:
        return self._policy.is_compacted

    @property
    def retention_ms(self) -> int:
        """-1: for ever."""
        return self._policy.retention_ms

    @property
    def retention_bytes(self) -> int:
        """Per partition; -1: any number."""
        return self._policy.retention_bytes

    def record_rules(self, now_ms: int) -> RecordRules:
        """What a producer's records must be like, as LogValidator has it: keys where the newest of
        each is kept, and times near the clock unless the broker sets them itself.
        """
        policy = self._policy
        # Many batches come in the same millisecond.
        if self._rules_of is not policy or self._rules_ms != now_ms:
            self._rules_of, self._rules_ms = policy, now_ms
            self._rules = policy.record_rules(now_ms)
        return self._rules

    @property
    def is_internal(self) -> bool:
        return self.name == OFFSETS_TOPIC

    def config(self, name: str) -> str:
        """What holds, set on the topic or not."""
        return self.configs.get(name, self._defaults.values[name])
