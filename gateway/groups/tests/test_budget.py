"""A budget that small claims get through when large ones do not."""

from __future__ import annotations

from gateway.groups.budget import StateBudget

MIB = 1024 * 1024


def test_a_claim_takes_an_eighth_of_what_is_left_at_most():
    budget = StateBudget(1_600)
    assert budget.allows("a", 100)  # an eighth of the share of one, which is half
    assert not budget.allows("a", 101)
    budget.take("a", 400)
    assert budget.allows("a", 50)
    assert not budget.allows("a", 51)
    assert budget.allows("b", 100)


def test_what_does_not_grow_is_never_refused():
    budget = StateBudget(100)
    budget.take("a", 1_000)
    assert budget.allows("a", 0)
    assert budget.allows("a", -5)
    assert not budget.allows("b", 1)


def test_large_claims_leave_room_for_thousands_of_small_ones():
    budget = StateBudget(128 * MIB)
    large_count = taken("greedy", budget, MIB)
    small_count = taken("greedy", budget, 4096)
    assert large_count < 64
    assert small_count > 1_000
    assert taken("modest", budget, 4096) > 10_000


def taken(owner: str, budget: StateBudget, claim_bytes: int) -> int:
    count = 0
    while budget.allows(owner, claim_bytes):
        budget.take(owner, claim_bytes)
        count += 1
    return count


def test_what_is_given_back_counts_no_more():
    budget = StateBudget(1_000)
    budget.take("a", 10)
    budget.take("a", -10)
    assert (budget.used_bytes, budget._used_by) == (0, {})
