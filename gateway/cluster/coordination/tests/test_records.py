"""COORDINATION.md is the contract: its examples are decoded out of the document itself."""

import json
import re
from pathlib import Path

import pytest

from gateway.cluster.coordination.records import (
    RELEASED,
    ClaimRecord,
    LogstoreRecord,
    MoveOrder,
    NewsRecord,
    NodeRecord,
    OwnerRecord,
    PauseOrder,
    Record,
    StandingOrder,
    UnreadableRecord,
    decode,
    encode,
    key_of,
    logstores_root,
    root,
)

DOCUMENT = (Path(__file__).parents[2] / "COORDINATION.md").read_text()
ROOT = root("/woodpecker", "AQIDBAUGRwiJCgsMDQ4PEA")
NODE = NodeRecord(
    2, "b7c1f0a2", "gw-2.example", 9092, rack="eu-1b", logs_count=12, started_ms=1_796_000_000_000
)
OWNER = OwnerRecord(
    7,
    2,
    "b7c1f0a2",
    14,
    ended=RELEASED,
    next_node_id=3,
    since_ms=1767225600000,
    fenced_node_id=1,
    address="gw-2.example:9092",
    fenced_address="gw-1.example:9092",
)
LOGSTORE = LogstoreRecord(
    bytes(range(16)).hex(),
    "ls-1.example",
    9192,
    rack="eu-1b",
    cluster="AQIDBAUGRwiJCgsMDQ4PEA",
    held_bytes=1 << 20,
    bytes_max=64 << 30,
    logs_count=3,
)
WRITTEN: list[Record] = [NODE, LOGSTORE, ClaimRecord(7, 2, "b7c1f0a2"), OWNER, NewsRecord(0, 42)]
WRITTEN += [MoveOrder(7, 3), StandingOrder(3, "cordoned"), PauseOrder()]


def examples() -> list[tuple[str, bytes]]:
    pairs = [json.loads(text) for text in re.findall(r"```json\n(.*?)\n```", DOCUMENT)]
    return [(key, json.dumps(value, separators=(",", ":")).encode()) for key, value in pairs]


def root_of(record: Record) -> str:
    return logstores_root("/woodpecker") if isinstance(record, LogstoreRecord) else ROOT


def test_the_examples_say_what_the_document_says() -> None:
    assert [
        decode(root_of(record), key, value)
        for record, (key, value) in zip(WRITTEN, examples(), strict=True)
    ] == WRITTEN
    assert [(key_of(root_of(record), record), encode(record)) for record in WRITTEN] == examples()


def test_fields_of_a_later_release_are_passed_over() -> None:
    later = encode(NODE)[:-1] + b',"colour":"green"}'
    assert decode(ROOT, key_of(ROOT, NODE), later) == NODE


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("/elsewhere/nodes/2", encode(NODE), "is no key of"),
        (f"{ROOT}colours/2", encode(NODE), "is no key of"),
        (f"{ROOT}nodes/3", encode(NODE), "belongs to"),
        (f"{ROOT}nodes/2", b"{", "value of"),
        (f"{ROOT}nodes/2", encode(OWNER), "value of"),
        (f"{ROOT}nodes/2", encode(NODE).replace(b'"version":1', b'"version":2'), "has version 2"),
    ],
)
def test_what_is_none_of_ours_is_told_by_its_key(key: str, value: bytes, says: str) -> None:
    with pytest.raises(UnreadableRecord, match=says) as told:
        decode(ROOT, key, value)
    assert key in str(told.value)
