"""Two Java consumers of one group: who gives what up, eagerly, cooperatively, as static members."""

from collections.abc import Callable
from typing import Any

import pytest

from compat_tests.conftest import Broker
from compat_tests.support.client import Client, ClientError, Consumer, Library
from compat_tests.support.deadline import Deadline

pytestmark = pytest.mark.storage_blind("who is a member is known in memory only")

PARTITIONS_COUNT = 4
TIMEOUT_S = 60.0
ASSIGNORS = "org.apache.kafka.clients.consumer."
Partitions = set[int]
Open = Callable[..., Consumer]


@pytest.fixture(params=["java-3.9", "java-4.4"])
def client(
    request: pytest.FixtureRequest,
    need: Callable[[str], Library],
    broker: Broker,
    connect: Callable[[Library, Broker], Client],
) -> Client:
    return connect(need(request.param), broker)


@pytest.fixture
def member(client: Client, topic: str) -> Open:
    """A consumer of the test's group that has subscribed to the test's topic."""
    client.create_topic(topic, partitions=PARTITIONS_COUNT)

    def make(**extra: Any) -> Consumer:
        extra["heartbeat.interval.ms"] = 300  # how soon it hears of a rebalance
        consumer = client.consumer(group=topic, start="earliest", extra=extra)
        consumer.subscribe(topic)
        return consumer

    return make


def settle(*members: Consumer) -> list[Partitions]:
    """Each is polled in turn, until all partitions are shared in equal parts."""
    deadline = Deadline(TIMEOUT_S)
    while True:
        for consumer in members:
            consumer.poll(timeout_s=0.1)
        parts = [{number for _, number in consumer.assignment()} for consumer in members]
        if all(len(part) == PARTITIONS_COUNT // len(members) for part in parts):
            assert set.union(*parts) == set(range(PARTITIONS_COUNT))
            return parts
        assert not deadline.expired, f"no agreement in {TIMEOUT_S} s: {parts}"


def events(consumer: Consumer) -> list[tuple[str, Partitions]]:
    """What the listener was told; an empty list of partitions says nothing."""
    told = consumer.client.call("rebalances", consumer=consumer.name)
    return [(word, {number for _, number in pairs}) for word, pairs in told if pairs]


def test_an_eager_member_gives_all_up_and_gets_its_part(member: Open) -> None:
    """By default: the first assignor in the list of defaults is an eager one."""
    everything = set(range(PARTITIONS_COUNT))
    one = member()
    assert settle(one) == [everything]
    two = member()
    mine, theirs = settle(one, two)
    assert events(one) == [
        ("assigned", everything),
        ("revoked", everything),
        ("assigned", mine),
    ]
    assert events(two) == [("assigned", theirs)]
    two.close()
    assert settle(one) == [everything]
    one.close()


def test_a_cooperative_member_gives_up_only_what_moves(member: Open) -> None:
    extra = {"partition.assignment.strategy": ASSIGNORS + "CooperativeStickyAssignor"}
    everything = set(range(PARTITIONS_COUNT))
    one = member(**extra)
    settle(one)
    two = member(**extra)
    mine, theirs = settle(one, two)
    assert events(one) == [("assigned", everything), ("revoked", theirs)]
    assert events(two) == [("assigned", theirs)]
    two.close()
    settle(one)
    assert events(one)[2:] == [("assigned", theirs)]
    assert mine
    one.close()


def test_from_eager_to_cooperative_by_two_rounds(member: Open) -> None:
    """With both named by all, the group stays eager; the last one without makes it cooperative."""
    both = f"{ASSIGNORS}CooperativeStickyAssignor,{ASSIGNORS}RangeAssignor"
    one, two = (member(**{"partition.assignment.strategy": both}) for _ in range(2))
    mine, _ = settle(one, two)
    assert ("revoked", mine) not in events(one)
    two.close()
    settle(one)
    one.close()


def test_a_static_member_comes_back_without_a_rebalance(member: Open) -> None:
    one = member(**{"group.instance.id": "one"})
    two = member(**{"group.instance.id": "two"})
    mine, theirs = settle(one, two)
    before = events(one)
    two.close()
    again = member(**{"group.instance.id": "two"})
    assert settle(one, again) == [mine, theirs]
    assert events(one) == before
    one.close()
    again.close()


def test_the_second_of_one_static_name_wins(member: Open) -> None:
    one = member(**{"group.instance.id": "same"})
    settle(one)
    two = member(**{"group.instance.id": "same"})
    with pytest.raises(ClientError) as fenced:
        settle(two, one)
    assert fenced.value.name == "FencedInstanceIdException"
    assert settle(two) == [set(range(PARTITIONS_COUNT))]
    two.close()
