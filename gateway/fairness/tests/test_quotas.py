"""Quotas: whose holds, what was used, for how long its client is slowed down."""

import pytest

from gateway.fairness.quotas import (
    ANONYMOUS,
    CONSUMED,
    PRODUCED,
    USAGES_BYTES_MAX,
    Entity,
    Quotas,
    Usage,
)

CLIENT, CLIENTS = (("client-id", "a"),), (("client-id", None),)
USER, USERS = (("user", ANONYMOUS),), (("user", None),)
# From the one that goes before all others on, as Kafka documents it.
PRECEDENCE: list[Entity] = [
    (*CLIENT, *USER),
    (*CLIENTS, *USER),
    USER,
    (*CLIENT, *USERS),
    (*CLIENTS, *USERS),
    USERS,
    CLIENT,
    CLIENTS,
]


def test_without_quotas_nothing_is_kept() -> None:
    quotas = Quotas()
    assert not quotas.is_any
    assert quotas.charge(PRODUCED, "a", 1e12, 0.0) == 0
    assert len(quotas) == 0


def test_the_quota_nearest_to_the_client_holds() -> None:
    quotas = Quotas()
    for rank, entity in reversed(list(enumerate(PRECEDENCE))):
        quotas.change(entity, {PRODUCED: 100 + rank})
        assert quotas.bytes_max(PRODUCED, "a") == 10 * (100 + rank), entity
    for rank, entity in enumerate(PRECEDENCE):
        assert quotas.bytes_max(PRODUCED, "a") == 10 * (100 + rank), entity
        quotas.change(entity, {})
    assert not quotas.is_any


def test_others_are_not_concerned() -> None:
    quotas = Quotas()
    for entity in ((("client-id", "b"),), (("user", "b"),), (*CLIENT, ("user", "b"))):
        quotas.change(entity, {PRODUCED: 1})
    assert quotas.is_any
    assert not quotas.has(PRODUCED, "a")
    assert quotas.has(PRODUCED, "b")
    assert not quotas.has(CONSUMED, "b")


def test_a_client_without_id_has_the_default() -> None:
    quotas = Quotas()
    quotas.change(CLIENTS, {PRODUCED: 1})
    assert quotas.has(PRODUCED, None)


def test_what_ten_seconds_allow_may_be_used_at_once_and_then_it_takes_its_time() -> None:
    quotas = Quotas()
    quotas.change(CLIENT, {PRODUCED: 100})
    assert quotas.charge(PRODUCED, "a", 1_000, 50.0) == 0
    assert quotas.charge(PRODUCED, "a", 500, 50.5) == pytest.approx(4.5)
    # Until all windows have passed each counts as if it were there.
    assert quotas.charge(PRODUCED, "a", 0, 55.0) == pytest.approx(5)
    assert quotas.charge(PRODUCED, "a", 0, 61.0) == 0


@pytest.mark.parametrize("used", [7, 30, 2_000])
def test_who_waits_as_told_gets_what_is_allowed(used: int) -> None:
    usage, now_s, total = Usage(), 3.0, 0
    while now_s < 200.0:
        usage.add(used, now_s)
        total += used
        now_s += 0.01 + usage.excess_s(100)
    assert total <= 100 * 210 + used
    assert total >= 100 * 190


def test_each_client_uses_a_default_of_clients_alone_and_that_of_a_user_with_others() -> None:
    quotas = Quotas()
    quotas.change(CLIENTS, {PRODUCED: 100})
    assert quotas.charge(PRODUCED, "a", 1_500, 1.0) > 0
    assert quotas.charge(PRODUCED, "b", 500, 1.0) == 0
    quotas.change(USERS, {CONSUMED: 100})
    assert quotas.charge(CONSUMED, "a", 1_000, 1.0) == 0
    assert quotas.charge(CONSUMED, "b", 500, 1.0) > 0


def test_another_quota_holds_at_once() -> None:
    quotas = Quotas()
    quotas.change(CLIENT, {PRODUCED: 100})
    assert quotas.charge(PRODUCED, "a", 5_000, 1.0) == pytest.approx(40)
    quotas.change(CLIENT, {PRODUCED: 1_000})
    assert quotas.charge(PRODUCED, "a", 0, 1.0) == 0
    quotas.change(CLIENT, {CONSUMED: 100})
    assert not quotas.has(PRODUCED, "a")


def test_who_is_idle_is_forgotten() -> None:
    quotas = Quotas()
    quotas.change(CLIENTS, {PRODUCED: 1})
    for number in range(100):
        quotas.charge(PRODUCED, f"client-{number}", 1, number * 0.01)
    assert len(quotas) == 100
    quotas.charge(PRODUCED, "another", 1, 30.0)
    assert len(quotas) == 1


def test_many_clients_at_once_take_no_more_than_their_room() -> None:
    quotas = Quotas()
    quotas.change(CLIENTS, {PRODUCED: 1})
    name_bytes = 30_000
    for number in range(2_000):
        quotas.charge(PRODUCED, f"{number}" + "x" * name_bytes, 1, 1.0)
    assert 10 < len(quotas) <= USAGES_BYTES_MAX // name_bytes
