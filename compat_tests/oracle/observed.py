"""What a reply says, without what is true of one run or one machine only.

Ids become numbers in the order of their first appearance, so that two replies which name the same
member look alike. Lists whose elements have names are told by name: their order is nobody's.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from kio.schema.errors import ErrorCode

from compat_tests.wire.batches import parse

ZERO_ID = UUID(int=0)
# Texts are written for people, each in his own words: that there is one is all that is compared,
# and not even that beside a code that says all is well.
TEXTS = {"error_message", "batch_index_error_message", "documentation"}
# Of the place where a broker runs, not of what it does.
PLACES = {"host", "port", "cluster_id", "log_dir", "total_bytes", "usable_bytes"}
TIMES = {"log_append_time_ms", "last_fetch_timestamp", "last_caught_up_timestamp"}
IDS = {
    "topic_id": "topic",
    "member_id": "member",
    "leader": "member",
    "producer_id": "producer",
    "session_id": "session",
}
# What an element of a list is called, the first that fits.
KEYS = (
    ("config_name",),
    ("resource_type", "resource_name"),
    ("partition_index",),
    ("partition",),
    ("partition_id",),
    ("api_key",),
    ("key",),
    ("broker_id",),
    ("node_id",),
    ("group_id",),
    ("index",),
    ("name",),
    ("topic",),
    ("topic_name",),
    ("member_id",),
    ("topic_id",),
)


class Names:
    """The ids of one script on one side, and what they are called in what is compared."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Any], str] = {}
        self._counts: dict[str, int] = {}

    def of(self, kind: str, value: Any) -> str:
        """`kind#n`, the same for the same id."""
        if (kind, value) not in self._known:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._known[kind, value] = f"{kind}#{self._counts[kind]}"
        return self._known[kind, value]


def observed(value: Any, names: Names, name: str = "") -> Any:
    """A tree of dicts, lists and plain values that can be compared and printed."""
    if isinstance(value, Mapping):
        return {
            key: observed(item, names, key)
            for key, item in value.items()
            if not (key in TEXTS and value.get("error_code") == 0)
        }
    if name == "records" and value is not None:
        return _batches(bytes(value), names)
    if isinstance(value, list):
        return _list([observed(item, names, name) for item in value])
    return _plain(value, names, name)


def _plain(value: Any, names: Names, name: str) -> Any:
    if name == "error_code":
        return _error(value)
    if name in TEXTS:
        return value if not value else "(text)"
    if name in PLACES:
        return value if value in (None, -1, "") else "(place)"
    if name in IDS and value not in (None, "", -1, 0, ZERO_ID):
        return names.of(IDS[name], value)
    if name in TIMES and value != -1:
        return "(time)"
    return value if isinstance(value, bool | int | str | float | None) else _odd(value)


def _odd(value: Any) -> Any:
    if isinstance(value, UUID):
        return "zero" if value == ZERO_ID else str(value)
    return bytes(value).hex() if isinstance(value, bytes | bytearray | memoryview) else str(value)


def _error(code: int) -> str:
    try:
        return ErrorCode(code).name.upper()
    except ValueError:
        return str(code)


def _list(items: list[Any]) -> Any:
    """By name, where each element has one of its own."""
    if not items or not all(isinstance(item, dict) for item in items):
        return items
    for fields in KEYS:
        if all(field in items[0] for field in fields):
            named = {":".join(str(item[field]) for field in fields): item for item in items}
            if len(named) == len(items):
                return named
    return items


def _batches(records: bytes, names: Names) -> list[dict[str, Any]]:
    """Batches as they are stored, without the bytes of their records."""
    return [
        {
            "base_offset": batch.base_offset,
            "count": batch.count,
            "leader_epoch": batch.leader_epoch,
            "codec": batch.codec,
            "time_type": batch.attributes >> 3 & 1,
            "producer_id": observed(batch.producer_id, names, "producer_id"),
            "base_sequence": batch.base_sequence,
            "whole": batch.whole,
            "crc_right": batch.crc_right if batch.whole else None,
        }
        for batch in parse(records)
    ]
