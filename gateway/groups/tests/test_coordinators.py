"""Each group's coordinator is that of the log its records lie on; what they share is one budget."""

from __future__ import annotations

import asyncio
import dataclasses

from gateway.groups import GroupCoordinators, group_config
from gateway.groups.coordinators import group_hash
from gateway.groups.members import JoinResult
from gateway.groups.tests.harness import (
    Client,
    CountingRng,
    FakeJournal,
    VirtualClock,
    settle,
    virtual,
)
from gateway.settings.config import Config
from protocol.error_codes import ErrorCode as E

LOGS = (1, 2, 3)


def log_of(hashed: int) -> int:
    return LOGS[hashed % len(LOGS)]


def make(where=log_of, **limits) -> GroupCoordinators:
    config = dataclasses.replace(
        group_config(Config()), **({"initial_rebalance_delay_ms": 0} | limits)
    )
    coordinators = GroupCoordinators(config, where, clock=VirtualClock(), rng=CountingRng())
    for log_id in LOGS:
        coordinators.add(log_id, FakeJournal())
    coordinators.start()
    return coordinators


def one_on_each_log() -> list[str]:
    """Names of groups, in the order of their logs."""
    names = [f"group-{n}" for n in range(50)]
    return [next(n for n in names if log_of(group_hash(n)) == log_id) for log_id in LOGS]


@virtual
async def test_a_group_is_where_its_records_lie():
    coordinators = make()
    for group, expected in zip(one_on_each_log(), coordinators, strict=True):
        assert coordinators.of(group) is expected
        assert await Client(coordinators.of(group), group=group).commit(7) is E.NONE
    assert [each.topics() for each in coordinators] == [["t"]] * len(LOGS)
    assert [len(each.snapshot()) for each in coordinators] == [1] * len(LOGS)
    await coordinators.close()


@virtual
async def test_who_comes_while_the_log_of_a_group_is_being_read_is_told_to_come_again():
    """What half of the records say is not what is true, and must not be written upon."""
    coordinators = make()
    group = one_on_each_log()[0]
    taken_over = coordinators.add(LOGS[0], FakeJournal())
    client = Client(taken_over, group=group)
    assert not coordinators.is_served(group)
    assert (await client.join()).error is E.COORDINATOR_LOAD_IN_PROGRESS
    assert await client.commit(7) is E.COORDINATOR_LOAD_IN_PROGRESS
    assert taken_over.fetch(group, None)[0] is E.COORDINATOR_LOAD_IN_PROGRESS
    assert await taken_over.delete_group(group) is E.COORDINATOR_LOAD_IN_PROGRESS
    # What clients do not expect of these ends them: aiokafka's consumer stands still for ever.
    assert client.heartbeat() is E.NONE
    client.joined = JoinResult(E.NONE, protocol_name="range")
    assert (await client.sync({})).error is E.REBALANCE_IN_PROGRESS
    taken_over.start()
    assert client.heartbeat() is E.UNKNOWN_MEMBER_ID
    assert coordinators.is_served(group)
    assert await client.commit(7) is E.NONE
    await coordinators.close()


@virtual
async def test_before_there_is_a_place_some_coordinator_answers():
    coordinators = make(lambda hashed: None)
    first, *others = coordinators
    assert coordinators.of("any") is first
    await first.close()
    assert coordinators.of("any") is others[0]
    await coordinators.close()


@virtual
async def test_of_a_log_that_is_elsewhere_nobody_here_is_the_coordinator():
    coordinators = make(lambda hashed: 99)
    assert not coordinators.is_served("any")
    assert await Client(coordinators.of("any"), group="any").commit(1) is E.NOT_COORDINATOR
    assert coordinators.of("any").fetch("any", None) == (E.NOT_COORDINATOR, {})
    await coordinators.close()


@virtual
async def test_a_node_without_logs_coordinates_nothing():
    config = group_config(Config())
    nowhere = GroupCoordinators(config, lambda _: None, clock=VirtualClock(), rng=CountingRng())
    assert not nowhere.is_served("any")
    assert await Client(nowhere.of("any"), group="any").commit(1) is E.NOT_COORDINATOR


@virtual
async def test_the_group_of_a_lost_log_is_not_served_and_the_others_are():
    coordinators = make()
    lost, *others = one_on_each_log()
    assert coordinators.is_served(lost)
    await coordinators.of(lost).close()
    assert not coordinators.is_served(lost)
    assert [coordinators.is_served(group) for group in others] == [True, True]
    assert await Client(coordinators.of(lost), group=lost).commit(1) is E.NOT_COORDINATOR
    assert await Client(coordinators.of(others[0]), group=others[0]).commit(1) is E.NONE
    await coordinators.close()


@virtual
async def test_what_one_log_keeps_is_room_that_the_others_have_not():
    coordinators = make(offsets_bytes_max=20_000)
    first, second, _ = one_on_each_log()
    client = Client(coordinators.of(first), group=first)
    partition = 0
    while await client.commit(1, partition=partition) is E.NONE:
        partition += 1
    assert 0 < partition < 100
    other = Client(coordinators.of(second), group=second)
    assert await other.commit(1) is not E.NONE
    await coordinators.close()


@virtual
async def test_a_deleted_topic_is_forgotten_on_every_log():
    coordinators = make()
    for group in one_on_each_log():
        client = Client(coordinators.of(group), group=group)
        assert await client.commit(1, topic="gone") is E.NONE
        assert await client.commit(1, topic="kept") is E.NONE
    assert sorted(coordinators.topics()) == ["gone", "kept"]
    await coordinators.topics_deleted(["gone"])
    assert coordinators.topics() == ["kept"]
    await coordinators.close()


@virtual
async def test_the_end_answers_all_who_wait_on_any_log():
    coordinators = make(initial_rebalance_delay_ms=60_000)
    joins = [
        asyncio.ensure_future(Client(coordinators.of(group), group=group, version=3).join_once())
        for group in one_on_each_log()
    ]
    await settle()
    assert not any(join.done() for join in joins)
    await coordinators.close()
    assert [(await join).error for join in joins] == [E.NOT_COORDINATOR] * len(LOGS)


@virtual
async def test_what_a_lost_log_had_is_room_for_the_others():
    coordinators = make(offsets_bytes_max=20_000)
    first, second, _ = one_on_each_log()
    client = Client(coordinators.of(first), group=first)
    partition = 0
    while await client.commit(1, partition=partition) is E.NONE:
        partition += 1
    lost = coordinators.of(first)
    await lost.close()
    lost.forget()
    assert (lost.snapshot(), lost.topics()) == ([], [])
    other = Client(coordinators.of(second), group=second)
    assert await other.commit(1, partition=partition) is E.NONE
    await coordinators.close()
