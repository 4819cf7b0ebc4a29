"""Milvus at work: ticks to all channels with inserts beside them, and what may happen meanwhile.

The load is a process of its own (`workers/milvus_stack.py`), with both versions of librdkafka; it
checks that each acknowledged record is read where it was acknowledged, by every reader, once and in
order. A few seconds each; `make milvus` runs them for minutes (`--stack-seconds`).
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from compat_tests.milvus.test_workload import CONSUMER, PRODUCER_24, PRODUCER_26, SCANNER
from compat_tests.support.client import Client, Consumer, Library
from compat_tests.support.deadline import pause, wait_until
from compat_tests.support.gateway import Gateway

TOPICS_COUNT = 16
TICK_MS = 200
MIB = 1024 * 1024
RETRIES = {"message.timeout.ms": 60_000}
EXIT_LIMIT_S = 150.0


class Stack:
    """The running load."""

    def __init__(self, library: Library, gateway: Gateway, **load: Any) -> None:
        arguments = {
            "bootstrap": gateway.bootstrap,
            "producer": {**PRODUCER_26, **RETRIES},
            "consumer": SCANNER,
            "tick_ms": TICK_MS,
            "writers_count": 0,
            "insert_bytes": 0,
            "readers": 1,
            **load,
        }
        self._process = subprocess.Popen(
            [*library.other_script("milvus_stack.py"), json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._next()["event"] == "loaded"

    def _next(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the load ended without a word"
        found: dict[str, Any] = json.loads(line)
        return found

    def end(self) -> dict[str, Any]:
        """Stops writing, waits for the readers, returns what was seen; nothing may be wrong."""
        assert self._process.stdin is not None
        if self._process.poll() is None:
            self._process.stdin.write("stop\n")
            self._process.stdin.flush()
        seen = self._next()
        assert self._process.wait(EXIT_LIMIT_S) == 0
        print(json.dumps(seen))
        assert seen["errors"] == []
        assert seen["rounds_count"] > 0
        return seen

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(params=["librdkafka-1.9", "confluent-kafka"], scope="module")
def milvus_library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def seconds(request: pytest.FixtureRequest) -> float:
    value: float = request.config.getoption("--stack-seconds")
    return value


@pytest.fixture
def stack(
    milvus_library: str, need: Callable[[str], Library], new_topic: Callable[[], str]
) -> Iterator[Callable[..., Stack]]:
    started: list[Stack] = []

    def start(gateway: Gateway, **load: Any) -> Stack:
        topics = [new_topic() for _ in range(TOPICS_COUNT)]
        started.append(Stack(need(milvus_library), gateway, topics=topics, **load))
        return started[-1]

    yield start
    for item in started:
        item.kill()


@pytest.mark.slow
def test_s16_ticks_reach_their_readers(
    mode: str, own_gateway: Callable[..., Gateway], stack: Callable[..., Stack], seconds: float
) -> None:
    gateway = own_gateway(mode)
    load = stack(gateway, seconds=seconds, producer={**PRODUCER_24, **RETRIES})
    seen = load.end() if seconds > EXIT_LIMIT_S else _after(load, seconds)
    assert seen["read_count"] == seen["acked_count"]
    assert gateway.stop() == 0


@pytest.mark.slow
def test_s17_ticks_beside_inserts(
    mode: str, own_gateway: Callable[..., Gateway], stack: Callable[..., Stack], seconds: float
) -> None:
    """Two readers for each of four topics that get 2 MiB at a time, which nothing compresses."""
    gateway = own_gateway(mode)
    seen = _after(
        stack(gateway, seconds=3_600, writers_count=4, insert_bytes=2 * MIB, readers=2), seconds
    )
    assert seen["inserts_mb_per_s"] > 0
    assert seen["read_count"] > seen["acked_count"]
    assert gateway.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize("graceful", [False, True], ids=["s19_kill", "s23_restart"])
def test_restart_under_load(
    mode: str,
    graceful: bool,
    own_gateway: Callable[..., Gateway],
    stack: Callable[..., Stack],
    seconds: float,
) -> None:
    """The sends that were under way end well, and every reader goes on where it was."""
    gateway = own_gateway(mode)
    load = stack(gateway, seconds=3_600, writers_count=2, insert_bytes=64 * 1024)
    for _ in range(max(1, round(seconds / 30))):
        pause(min(seconds / 4, 30))
        gateway.restart(graceful=graceful)
    _after(load, seconds / 2)
    assert gateway.stop() == 0


def _after(load: Stack, seconds: float) -> dict[str, Any]:
    pause(seconds)
    return load.end()


def _reader(client: Client, **extra: Any) -> Consumer:
    return client.consumer(group="wp/1/1", extra={**CONSUMER, **extra})


@pytest.mark.slow
def test_s20_a_topic_is_made_anew(
    mode: str,
    milvus_library: str,
    own_gateway: Callable[..., Gateway],
    need: Callable[[str], Library],
    launch: Callable[..., Client],
    topic: str,
) -> None:
    gateway = own_gateway(mode)
    client = launch(need(milvus_library), gateway)
    # Whoever still uses a topic when it goes has it made again at once, as by Kafka: so another
    # process writes the old one, and it and the reader end first.
    with launch(need(milvus_library), gateway) as before:
        before.producer(extra=PRODUCER_24).send(topic, [b"old"] * 5)
    with _reader(client, **{"auto.offset.reset": "earliest"}) as reader:
        reader.assign((topic, 0, "beginning"))
        assert [record.value for record in reader.take(5)] == [b"old"] * 5
    client.delete_topic(topic)
    assert topic not in client.topics()
    client.create_topic(topic)
    acks = client.producer(extra=PRODUCER_24).send(topic, [b"new"] * 3)
    assert [ack.offset for ack in acks] == [0, 1, 2]
    with _reader(client, **{"auto.offset.reset": "earliest"}) as reader:
        reader.assign((topic, 0, 4))  # a checkpoint of the old one
        assert [record.value for record in reader.take(3)] == [b"new"] * 3


@pytest.mark.slow
def test_s21_retention_moves_the_start_and_offsets_go_on(
    mode: str,
    milvus_library: str,
    own_gateway: Callable[..., Gateway],
    need: Callable[[str], Library],
    launch: Callable[..., Client],
    topic: str,
) -> None:
    gateway = own_gateway(mode, "--retention-check-interval-ms", "200")
    client = launch(need(milvus_library), gateway)
    client.create_topic(topic, retention_ms="1000", segment_ms="1000")
    producer = client.producer(extra=PRODUCER_24)
    producer.send(topic, [b"old"] * 5)
    with _reader(client, **{"auto.offset.reset": "earliest"}) as reader:
        wait_until(lambda: reader.watermarks(topic) == (5, 5), what="the old records to go")
        operator = launch(need("confluent-kafka"), gateway)
        operator.call("alter_configs", topic=topic, configs={"retention.ms": "3600000"})
        (ack,) = producer.send(topic, [b"new"])
        assert ack.offset == 5
        reader.assign((topic, 0, 1))
        assert [(record.offset, record.value) for record in reader.take(1)] == [(5, b"new")]


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_s22_any_codec_of_milvus(
    milvus_library: str,
    codec: str,
    mode: str,
    broker_of: Callable[[str], Gateway],
    need: Callable[[str], Library],
    connect: Callable[..., Client],
    topic: str,
) -> None:
    """Stored as it came, and read by a client with a decoder of its own."""
    broker = broker_of(mode)
    client = connect(need(milvus_library), broker)
    value = b"vector " * 2_000
    sent = client.producer(extra={**PRODUCER_24, "compression.codec": codec})
    sent.send(topic, [value] * 3)
    other = connect(need("aiokafka"), broker)
    assert [record.value for record in other.read_all(topic, 3)] == [value] * 3
