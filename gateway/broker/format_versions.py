"""Which texts name a version of Kafka, for `message.format.version`.

Kafka 3.9 refuses what its MetadataVersion does not know, and so must who stores the setting: a
value that is taken here and refused there would come to light on the way back.
"""

# Of each release, how many versions of the protocol between brokers it went through.
_STEPS_COUNT = {
    "0.8.0": 0, "0.8.1": 0, "0.8.2": 0, "0.9.0": 0, "0.10.0": 2, "0.10.1": 3, "0.10.2": 1,
    "0.11.0": 3, "1.0": 1, "1.1": 1, "2.0": 2, "2.1": 3, "2.2": 2, "2.3": 2, "2.4": 2, "2.5": 1,
    "2.6": 1, "2.7": 3, "2.8": 2, "3.0": 2, "3.1": 1, "3.2": 1, "3.3": 4, "3.4": 1, "3.5": 3,
    "3.6": 3, "3.7": 5, "3.8": 1, "3.9": 1,
}  # fmt: skip
# What 3.9 knew of the release to come.
_AHEAD = {"4.0-IV0", "4.0-IV1"}
_KNOWN = frozenset(_STEPS_COUNT).union(
    _AHEAD, (f"{name}-IV{step}" for name, count in _STEPS_COUNT.items() for step in range(count))
)


def is_kafka_version(text: str) -> bool:
    """A release, a step of one, or a release with more behind it, such as 2.8.1."""
    text = text.strip()
    parts = text.rstrip(".").split(".")
    parts_count = 3 if text.startswith("0.") else 2
    return (text if len(parts) <= parts_count else ".".join(parts[:parts_count])) in _KNOWN
