"""kcat from the command line: produce and consume, alone and in a group, metadata and offsets."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from compat_tests.support.gateway import Gateway, Remote
from compat_tests.support.kcat import Kcat

_blind = pytest.mark.storage_blind("what librdkafka asks; storage is tested through the others")

READ = ("-C", "-e", "-q", "-o", "beginning", "-f")


@pytest.fixture
def kcat(broker: Gateway | Remote, note_program: Callable[[str, Callable[[], str]], None]) -> Kcat:
    program = Kcat(broker.bootstrap)
    note_program("kcat", program.version)
    return program


def test_keys_values_and_headers_come_back(kcat: Kcat, topic: str) -> None:
    """`-Z` sends an empty one as null; a header may come twice, and without a value."""
    headers = ("-H", "one=1", "-H", "one=2", "-H", "bare")
    kcat.run("-P", "-t", topic, "-K:", "-Z", *headers, stdin=b"k1:v1\nk2:\n:v3\n")
    read = kcat.run(*READ, "%o %k %K %s %S %h\n", "-t", topic)
    assert read.decode().splitlines() == [
        "0 k1 2 v1 2 one=1,one=2,bare=NULL",
        "1 k2 2  -1 one=1,one=2,bare=NULL",
        "2  -1 v3 2 one=1,one=2,bare=NULL",
    ]


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_codec(kcat: Kcat, topic: str, codec: str) -> None:
    lines = [f"line {number}" for number in range(200)]
    kcat.run("-P", "-t", topic, "-z", codec, stdin="\n".join(lines).encode())
    assert kcat.run(*READ, "%s\n", "-t", topic).decode().splitlines() == lines
    tail = kcat.run("-C", "-e", "-q", "-o", "-2", "-f", "%o\n", "-t", topic)
    assert tail == b"198\n199\n"


@_blind
def test_metadata_names_broker_topic_and_leader(
    kcat: Kcat, broker: Gateway | Remote, topic: str
) -> None:
    kcat.run("-P", "-t", topic, stdin=b"made on first use\n")
    told: dict[str, Any] = json.loads(kcat.run("-L", "-J"))
    (node,) = told["brokers"]
    assert node["name"] == broker.bootstrap
    (found,) = [item for item in told["topics"] if item["topic"] == topic]
    (partition,) = found["partitions"]
    assert partition["leader"] == node["id"]
    assert [replica["id"] for replica in partition["isrs"]] == [node["id"]]


@_blind
def test_offsets_by_time(kcat: Kcat, topic: str) -> None:
    kcat.run("-P", "-t", topic, stdin=b"1\n2\n3\n")
    first = int(kcat.run(*READ, "%T\n", "-t", topic).split()[0])
    asked = {-2: 0, -1: 3, first: 0, first + 3_600_000: -1}
    for time, offset in asked.items():
        said = kcat.run("-Q", "-t", f"{topic}:0:{time}").decode()
        assert said.split() == [topic, "[0]", "offset", str(offset)]


def test_a_group_goes_on_where_it_stopped(kcat: Kcat, topic: str) -> None:
    member = ("-q", "-X", "auto.offset.reset=earliest", "-f", "%s\n", "-c", "2", "-G", topic, topic)
    kcat.run("-P", "-t", topic, stdin=b"1\n2\n3\n4\n")
    assert kcat.run(*member) == b"1\n2\n"
    assert kcat.run(*member) == b"3\n4\n"


def test_an_idempotent_producer_and_a_partition_that_is_not_there(kcat: Kcat, topic: str) -> None:
    kcat.run("-P", "-t", topic, "-X", "enable.idempotence=true", stdin=b"once\n")
    assert kcat.run(*READ, "%o %s\n", "-t", topic) == b"0 once\n"
    assert "partition 9 does not exist" in kcat.refused("-C", "-e", "-t", topic, "-p", "9")
