"""What Milvus does to a Kafka broker, step by step, with the librdkafka that Milvus pins.

Milvus never joins a group, never calls an admin API and keeps Kafka offsets as its checkpoints;
it lives on automatic creation, assign with explicit offsets, watermarks and the offset in each
acknowledgement. Each step runs with librdkafka 1.9 and again with the newest. Settings are those
of Milvus 2.4 to 2.6; error callbacks are collected and must stay empty.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from compat_tests.support.client import Ack, Client, ClientError, Consumer, Library, Producer
from compat_tests.support.deadline import Deadline, now_s, seeded, wait_until
from compat_tests.support.gateway import Gateway, Remote
from compat_tests.support.records import Record

BASIC = {
    "api.version.request": True,
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 5_000,
}
PRODUCER_24 = {
    **BASIC,
    "message.max.bytes": 10_485_760,
    "compression.codec": "zstd",
    "linger.ms": 2,
}
PRODUCER_26 = {**PRODUCER_24, "linger.ms": 5, "socket.nagle.disable": True}  # docs/milvus.md
CONSUMER = {**BASIC, "enable.auto.commit": False, "allow.auto.create.topics": True}
SCANNER = {**CONSUMER, "auto.offset.reset": "earliest"}
MISSING_TOPIC_CODES = {3, -188, -190}  # UNKNOWN_TOPIC_OR_PART, _UNKNOWN_TOPIC, _UNKNOWN_PARTITION
CALL_LIMIT_S = 3.0  # Milvus gives up after that
SILENCE_S = 1.5
TOPICS_COUNT = 16
HEADERS = (("_v", b"2"), ("_t", b"insert"), ("_tt", b"4711"), ("_v", b"again"), ("empty", b""))


@pytest.fixture(params=["librdkafka-1.9", "confluent-kafka"], scope="module")
def milvus_library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def milvus(
    milvus_library: str,
    broker: Gateway | Remote,
    need: Callable[[str], Library],
    launch: Callable[..., Client],
) -> Iterator[Client]:
    """A process of Milvus; fails the test when the library complained of anything."""
    client = launch(need(milvus_library), broker)
    yield client
    assert client.call("errors") == []


@pytest.fixture
def producer(milvus: Client) -> Producer:
    """The one producer that a process shares among all its topics."""
    return milvus.producer(extra=PRODUCER_24)


def consumer(client: Client, group: str = "", **extra: Any) -> Consumer:
    return client.consumer(group=group or "wp/1/1", extra={**CONSUMER, **extra})


def send(producer: Producer, topic: str, value: bytes = b"tick") -> int:
    """Partition 0, no key, wait for the acknowledgement; returns the message id."""
    (ack,) = producer.send(topic, [Record(value, headers=HEADERS)])
    return ack.offset


def drain(reader: Consumer, duration_s: float = SILENCE_S) -> list[Record]:
    return reader.poll(count=1_000, timeout_s=duration_s)


def test_s01_health_check(milvus: Client, broker: Gateway | Remote) -> None:
    """A new producer each time, all topics, within three seconds; no connection stays behind."""

    def check() -> None:
        probe = milvus.producer(extra=PRODUCER_24)
        found = milvus.call("producer_list_topics", producer=probe.name, timeout_s=CALL_LIMIT_S)
        assert found["brokers"] >= 1
        probe.close()

    check()
    if isinstance(broker, Gateway):
        before = connections_count(broker)
    for _ in range(20):
        check()
    if isinstance(broker, Gateway):
        wait_until(lambda: connections_count(broker) <= before, what="the connections to close")


def connections_count(gateway: Gateway) -> int:
    return sum(
        connection.status == psutil.CONN_ESTABLISHED
        for connection in psutil.Process(gateway.pid).net_connections("tcp")
    )


@pytest.mark.storage_blind("nothing is created")
def test_s02_missing_topic_is_reported_and_not_created(milvus: Client, topic: str) -> None:
    with consumer(milvus) as reader:
        started_s = now_s()
        with pytest.raises(ClientError) as missing:
            milvus.call(
                "watermarks", consumer=reader.name, topic=topic, partition=0, timeout_s=CALL_LIMIT_S
            )
        assert now_s() - started_s < CALL_LIMIT_S
    assert missing.value.code in MISSING_TOPIC_CODES
    assert topic not in milvus.topics()


def test_s03_assign_creates_the_topic(milvus: Client, topic: str) -> None:
    with consumer(milvus) as reader:
        reader.assign((topic, 0, "beginning"))
        deadline = Deadline(20)
        while topic not in milvus.topics() and not deadline.expired:
            assert drain(reader, 0.2) == []
        assert milvus.topics()[topic] == 1
        assert wait_until(lambda: watermarks(reader, topic), what="a leader") == (0, 0)


def watermarks(reader: Consumer, topic: str) -> tuple[int, int] | None:
    """None as long as the client has not heard of the partition."""
    try:
        return reader.watermarks(topic)
    except ClientError as error:
        assert error.code in MISSING_TOPIC_CODES
        return None


def test_s04_sixteen_topics_touched_at_once(
    milvus: Client,
    broker: Gateway | Remote,
    launch: Callable[..., Client],
    new_topic: Callable[[], str],
) -> None:
    """From four processes, to all of them, in the same moment."""
    names = [new_topic() for _ in range(TOPICS_COUNT)]
    others = [launch(milvus.library, broker) for _ in range(3)]
    producers = [client.producer(extra=PRODUCER_24) for client in (milvus, *others)]
    sent = [item.submit(Record(b"t", topic=name) for name in names) for item in producers]
    for future in sent:
        assert all("offset" in answer for answer in future.result(60))
    found = milvus.topics()
    assert {name: found.get(name) for name in names} == dict.fromkeys(names, 1)
    with consumer(milvus) as reader:
        assert {reader.watermarks(name) for name in names} == {(0, len(producers))}


def test_s05_dense_offsets_and_equal_headers(
    milvus: Client, producer: Producer, topic: str
) -> None:
    assert [send(producer, topic, b"%d" % number) for number in range(5)] == [0, 1, 2, 3, 4]
    with consumer(milvus) as reader:
        reader.assign((topic, 0, "beginning"))
        read = reader.take(5)
    assert [record.offset for record in read] == [0, 1, 2, 3, 4]
    assert {(record.key, record.headers) for record in read} == {(None, HEADERS)}


def test_s06_latest_is_the_record_before_the_end(
    milvus: Client, producer: Producer, topic: str
) -> None:
    for number in range(3):
        send(producer, topic, b"%d" % number)
    with consumer(milvus) as reader:
        _, high = reader.watermarks(topic)
        reader.assign((topic, 0, high - 1))
        assert reader.take(1)[0].offset == high - 1
        expected = send(producer, topic, b"next")
        (record,) = reader.take(1)
    assert (record.offset, record.value, expected) == (high, b"next", high)


def test_s07_assign_then_seek_to_a_checkpoint(
    milvus: Client, producer: Producer, topic: str
) -> None:
    for number in range(5):
        send(producer, topic, b"%d" % number)
    with consumer(milvus) as reader:
        reader.assign((topic, 0, 2))
        reader.seek(topic, 0, 2)
        assert [record.offset for record in reader.take(3)] == [2, 3, 4]


def test_s08_policy_end_delivers_nothing_old(
    milvus: Client, producer: Producer, topic: str
) -> None:
    send(producer, topic, b"old")
    with consumer(milvus, **SCANNER) as reader:
        reader.assign((topic, 0, "end"))
        assert drain(reader) == []
        send(producer, topic, b"new")
        assert [record.value for record in reader.take(1)] == [b"new"]


def test_s09_at_the_end_and_beyond(milvus: Client, producer: Producer, topic: str) -> None:
    """At the end a fetch waits and resets nothing; beyond it each reset policy does its own."""
    for number in range(3):
        send(producer, topic, b"%d" % number)
    with consumer(milvus, **SCANNER) as reader:
        reader.assign((topic, 0, 3))
        assert drain(reader) == []
        send(producer, topic, b"3")
        assert [record.offset for record in reader.take(1)] == [3]
    with consumer(milvus, **SCANNER) as reader:
        reader.assign((topic, 0, 1_003))
        assert reader.take(4)[0].offset == 0
    with consumer(milvus) as reader:
        reader.assign((topic, 0, 1_003))
        assert drain(reader) == []
        send(producer, topic, b"4")
        assert [record.offset for record in reader.take(1)] == [4]


def test_s10_start_after_skips_by_equality(milvus: Client, producer: Producer, topic: str) -> None:
    for number in range(5):
        send(producer, topic, b"%d" % number)
    with consumer(milvus, **SCANNER) as reader:
        reader.assign((topic, 0, 2))
        after = [record.offset for record in reader.take(3) if record.offset != 2]
    assert after == [3, 4]


def test_s11_big_records(milvus: Client, topic: str) -> None:
    """9.5 MB passes with default fetch limits; 11 MB is refused and harms nothing."""
    big, small = seeded(95).randbytes(9_500_000), b"small"
    raised = milvus.producer(extra={**PRODUCER_24, "message.max.bytes": 12_000_000})
    assert [send(raised, topic, value) for value in (big, small)] == [0, 1]
    (outcome,) = raised.outcomes([Record(seeded(11).randbytes(11_000_000), topic=topic)])
    if isinstance(outcome, ClientError):
        assert outcome.code == 10
    last = send(raised, topic, b"after")
    assert last == 2 + isinstance(outcome, Ack)
    with consumer(milvus) as reader:
        reader.assign((topic, 0, "beginning"))
        assert [record.value for record in reader.take(2)] == [big, small]


@pytest.mark.slow
def test_s12_concurrent_writers_and_early_readers(
    milvus: Client,
    broker: Gateway | Remote,
    launch: Callable[..., Client],
    new_topic: Callable[[], str],
) -> None:
    """Five blocking writers per topic; two readers that were there before the first record."""
    names = [new_topic() for _ in range(3)]
    writers_count, records_count = 5, 40
    total = writers_count * records_count
    reading = launch(milvus.library, broker)
    readers = {}
    for name in names:
        pair = [reading.consumer(group=f"{name}/{n}", extra=SCANNER) for n in range(2)]
        for reader in pair:
            reader.assign((name, 0, "beginning"))
        readers[name] = pair
    producers = [milvus.producer(extra=PRODUCER_26) for _ in range(writers_count)]
    ids: dict[tuple[str, int], bytes] = {}
    for number in range(records_count):
        futures = []
        for writer, item in enumerate(producers):
            records = [Record(b"%d/%d" % (writer, number), topic=name) for name in names]
            futures.append((records, item.submit(records)))
        for records, future in futures:
            for record, answer in zip(records, future.result(60), strict=True):
                ids[record.topic, answer["offset"]] = record.value or b""
    for name in names:
        assert {offset for topic, offset in ids if topic == name} == set(range(total))
        for reader in readers[name]:
            read = reader.take(total)
            assert [record.offset for record in read] == list(range(total))
            assert all(ids[name, record.offset] == record.value for record in read)
    assert reading.call("errors") == []


def test_s13_open_assign_close(milvus: Client, topic: str, producer: Producer) -> None:
    send(producer, topic)
    for number in range(10):
        reader = consumer(milvus, f"{topic}/{number}")
        reader.assign((topic, 0, "beginning"))
        milvus.call("unassign", consumer=reader.name)
        reader.close()


def test_s14_any_group_name(milvus: Client, producer: Producer, topic: str) -> None:
    send(producer, topic)
    for group in ("a/b/1", "g" * 200, "gruppe-ü-五", "by-dev/1700000000123456789"):
        with consumer(milvus, group) as reader:
            reader.assign((topic, 0, "beginning"))
            assert len(reader.take(1)) == 1


@pytest.mark.slow
def test_s15_simple_commits(milvus: Client, producer: Producer, topic: str) -> None:
    """Milvus 2.6.0 to 2.6.7 left automatic commits on: generation -1, no member."""
    for number in range(3):
        send(producer, topic, b"%d" % number)
    extra = {**SCANNER, "enable.auto.commit": True, "auto.commit.interval.ms": 500}
    with milvus.consumer(group=f"{topic}/1/1", extra=extra) as reader:
        reader.assign((topic, 0, "beginning"))
        reader.take(3)
        wait_until(
            lambda: reader.poll(timeout_s=0.1) == [] and reader.committed((topic, 0)) == [3],
            what="the automatic commit",
        )


def test_s16_ticks_to_sixteen_topics(milvus: Client, new_topic: Callable[[], str]) -> None:
    """Rounds of one small record to every topic; all of a round are acked before the next."""
    names = [new_topic() for _ in range(TOPICS_COUNT)]
    ticker = milvus.producer(extra=PRODUCER_24)
    durations_ms = []
    rounds_count = 20
    for number in range(rounds_count):
        started_s = now_s()
        answers = ticker.outcomes(Record(b"tick %d" % number, topic=name) for name in names)
        durations_ms.append((now_s() - started_s) * 1000)
        assert [getattr(answer, "offset", answer) for answer in answers] == [number] * len(names)
    durations_ms.sort()
    print(
        f"tick rounds: median {durations_ms[rounds_count // 2]:.0f} ms, max {durations_ms[-1]:.0f}"
    )


def test_read_your_own_writes(milvus: Client, producer: Producer, topic: str) -> None:
    """A fetch that starts after the acknowledgement sees the record (WAL open, latest id)."""
    with consumer(milvus) as reader:
        for number in range(20):
            offset = send(producer, topic, b"%d" % number)
            assert reader.watermarks(topic) == (0, offset + 1)


def test_parallel_processes_share_one_order(
    milvus: Client, broker: Gateway | Remote, launch: Callable[..., Client], topic: str
) -> None:
    """Acked offsets of two processes are distinct and each process's own are in order."""
    other = launch(milvus.library, broker)
    acked: dict[str, list[int]] = {"one": [], "two": []}

    def run(name: str, client: Client) -> None:
        item = client.producer(extra=PRODUCER_26)
        for _ in range(10):
            acked[name] += [ack.offset for ack in item.send(topic, [name.encode()] * 20)]

    threads = [
        threading.Thread(target=run, args=pair) for pair in (("one", milvus), ("two", other))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(acked["one"] + acked["two"]) == list(range(400))
    assert all(offsets == sorted(offsets) for offsets in acked.values())
