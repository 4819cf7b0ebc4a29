"""Consumer groups: consume, commit, resume, rebalance on join, leave and death."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from compat_tests.support.client import LIBRARIES, Client, Consumer, Library
from compat_tests.support.deadline import Deadline
from compat_tests.support.gateway import Gateway, Remote
from compat_tests.support.records import Record

REBALANCE_TIMEOUT_S = 60.0
SESSION_TIMEOUT_MS = 6_000
PARTITIONS_COUNT = 4

_membership = pytest.mark.storage_blind("who is a member is known in memory only")
Partitions = set[tuple[str, int]]


def short_session(library: Library) -> dict[str, int]:
    """Kafka's shortest session time-out, in the library's own names."""
    times = {"session_timeout_ms": SESSION_TIMEOUT_MS, "heartbeat_interval_ms": 500}
    if library.family == "librdkafka":
        return {name.replace("_", "."): value for name, value in times.items()}
    return times


def poll_all(members: list[Consumer]) -> list[Record]:
    """Every member polls at the same time, as applications do."""
    futures = [member.submit_poll(100, 0.3) for member in members]
    return [Record.from_wire(wire) for future in futures for wire in future.result(60)]


def settle(
    members: list[Consumer], topic: str, partitions_count: int = PARTITIONS_COUNT
) -> list[Partitions]:
    """Polls until the members share the partitions, each with its fair part."""
    everything = {(topic, partition) for partition in range(partitions_count)}
    share = partitions_count // len(members)
    deadline = Deadline(REBALANCE_TIMEOUT_S)
    while True:
        poll_all(members)
        parts = [member.assignment() for member in members]
        if all(len(part) == share for part in parts) and set.union(*parts) == everything:
            return parts
        assert not deadline.expired, f"no agreement in {REBALANCE_TIMEOUT_S} s: {parts}"


@pytest.mark.every_client_in("object", "s3")
def test_consume_commit_resume(client: Client, topic: str, new_topic: Callable[[], str]) -> None:
    group = new_topic()
    client.create_topic(topic, partitions=2)
    with client.producer() as producer:
        for partition in range(2):
            producer.send(topic, [Record(b"%d" % n, partition=partition) for n in range(10)])

    with client.consumer(group=group, start="earliest", auto_commit=False) as consumer:
        consumer.subscribe(topic)
        read = consumer.take(20)
        assert {(record.partition, record.offset) for record in read} == {
            (partition, offset) for partition in range(2) for offset in range(10)
        }
        consumer.commit((topic, 0, 4), (topic, 1, 10))
        assert consumer.committed((topic, 0), (topic, 1)) == [4, 10]

    with client.consumer(group=group, start="earliest", auto_commit=False) as consumer:
        consumer.subscribe(topic)
        assert [record.offset for record in consumer.take(6)] == [4, 5, 6, 7, 8, 9]
        consumer.commit()
        assert consumer.committed((topic, 0), (topic, 1)) == [10, 10]


def test_default_consumer_commits_by_itself(
    client: Client, topic: str, new_topic: Callable[[], str]
) -> None:
    group = new_topic()
    with client.producer() as producer:
        producer.send(topic, [b"1", b"2", b"3"])
    with client.consumer(group=group, start="earliest") as consumer:
        consumer.subscribe(topic)
        consumer.take(3)
    with client.consumer(group=group) as consumer:
        consumer.subscribe(topic)
        assert consumer.committed((topic, 0)) == [3]


def test_uncommitted_partition_has_no_offset(
    client: Client, topic: str, new_topic: Callable[[], str]
) -> None:
    client.create_topic(topic)
    with client.consumer(group=new_topic()) as consumer:
        consumer.assign((topic, 0, 0))
        assert consumer.committed((topic, 0)) == [None]


def test_a_simple_consumer_commits_without_membership(
    client: Client, topic: str, new_topic: Callable[[], str]
) -> None:
    group = new_topic()
    with client.producer() as producer:
        producer.send(topic, [b"1", b"2", b"3"])
    with client.consumer(group=group, auto_commit=False) as consumer:
        consumer.assign((topic, 0, 0))
        consumer.take(3)
        consumer.commit((topic, 0, 2))
    with client.consumer(group=group, auto_commit=False) as consumer:
        consumer.assign((topic, 0, 0))
        assert consumer.committed((topic, 0)) == [2]


@_membership
def test_join_and_leave(
    library: Library,
    broker: Gateway | Remote,
    launch: Callable[..., Client],
    topic: str,
    new_topic: Callable[[], str],
) -> None:
    group = new_topic()
    with ExitStack() as stack:
        first, second = (launch(library, broker) for _ in range(2))
        first.create_topic(topic, partitions=PARTITIONS_COUNT)
        one = stack.enter_context(first.consumer(group=group, start="earliest"))
        one.subscribe(topic)
        settle([one], topic)

        two = second.consumer(group=group, start="earliest")
        two.subscribe(topic)
        parts = settle([one, two], topic)
        assert not parts[0] & parts[1]

        with first.producer() as producer:
            for partition in range(PARTITIONS_COUNT):
                producer.send(topic, [Record(b"shared", partition=partition)])
        read: list[Record] = []
        deadline = Deadline(REBALANCE_TIMEOUT_S)
        while len(read) < PARTITIONS_COUNT and not deadline.expired:
            read += poll_all([one, two])
        assert {record.partition for record in read} == set(range(PARTITIONS_COUNT))

        two.close()
        settle([one], topic)


@_membership
def test_killed_member_is_replaced(
    library: Library,
    broker: Gateway | Remote,
    launch: Callable[..., Client],
    topic: str,
    new_topic: Callable[[], str],
) -> None:
    group, extra = new_topic(), short_session(library)
    survivor, victim = (launch(library, broker) for _ in range(2))
    survivor.create_topic(topic, partitions=PARTITIONS_COUNT)
    one = survivor.consumer(group=group, start="earliest", extra=extra)
    one.subscribe(topic)
    two = victim.consumer(group=group, start="earliest", extra=extra)
    two.subscribe(topic)
    settle([one, two], topic)

    victim.kill()
    settle([one], topic)
    with survivor.producer() as producer:
        for partition in range(PARTITIONS_COUNT):
            producer.send(topic, [Record(b"after", partition=partition)])
    read = one.take(PARTITIONS_COUNT)
    assert {record.partition for record in read} == set(range(PARTITIONS_COUNT))
    one.close()


@_membership
@pytest.mark.slow
def test_all_libraries_share_one_group(
    broker: Gateway | Remote,
    need: Callable[[str], Library],
    launch: Callable[..., Client],
    topic: str,
    new_topic: Callable[[], str],
) -> None:
    """Round robin is the one assignor that almost all know; for some it is not the default."""
    group = new_topic()
    members: list[Consumer] = []
    able = [name for name, library in LIBRARIES.items() if library.round_robin is not None]
    clients = [launch(need(name), broker) for name in able]
    clients[0].create_topic(topic, partitions=len(able))
    # Nobody polls those that are there already: who waits for a part must not wait for them.
    for client in sorted(clients, key=lambda client: not client.library.subscribes_with_part):
        extra = client.library.round_robin
        members.append(client.consumer(group=group, start="earliest", extra=extra))
        members[-1].subscribe(topic)
    parts = settle(members, topic, len(able))
    assert sum(len(part) for part in parts) == len(able)
    for member in members:
        member.close()
