"""Shares, minimal movement, the same answer for everybody; by hand and by property."""

from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cluster.ownership import (
    Holding,
    LiveNode,
    MoveRules,
    Plan,
    Standing,
    plan_apart,
    plan_owners,
    score,
)

OLD = 1_000_000
RULES = MoveRules(tenure_ms_min=1000)


def held(owners: dict[int, int], tenure_ms: int = OLD) -> dict[int, Holding]:
    return {log: Holding(node_id, tenure_ms) for log, node_id in owners.items()}


def counts(plan: Plan, nodes: list[LiveNode]) -> dict[int, int]:
    return {n.node_id: sum(o == n.node_id for o in plan.owners.values()) for n in nodes}


node_lists = st.lists(
    st.builds(
        LiveNode,
        node_id=st.integers(0, 8),
        weight=st.integers(1, 5),
        rack=st.sampled_from([None, "a", "b"]),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda node: node.node_id,
)
log_sets = st.sets(st.integers(0, 30), max_size=30)


@st.composite
def clusters(draw: st.DrawFn) -> tuple[set[int], list[LiveNode], dict[int, Holding]]:
    """Logs of which most have an owner, mostly one that lives."""
    nodes = draw(node_lists)
    logs = draw(log_sets)
    owners = st.sampled_from([*(node.node_id for node in nodes), 99])
    owned = st.builds(Holding, owners, st.integers(0, 2000))
    unowned = draw(st.sets(st.integers(0, 30), max_size=3))
    return logs, nodes, {log: draw(owned) for log in sorted(logs - unowned)}


def share(logs_count: int, node: LiveNode, nodes: list[LiveNode]) -> Fraction:
    return Fraction(logs_count * node.weight, sum(other.weight for other in nodes))


@given(clusters())
def test_everybody_has_its_share_and_no_log_moves_that_need_not(
    cluster: tuple[set[int], list[LiveNode], dict[int, Holding]],
) -> None:
    logs, nodes, present = cluster
    present = {log: Holding(holding.node_id, OLD) for log, holding in present.items()}
    plan = plan_owners(logs, nodes, present, RULES)
    assert set(plan.owners) == logs
    exact = {node.node_id: share(len(logs), node, nodes) for node in nodes}
    bounds = {node_id: (floor(s), ceil(s)) for node_id, s in exact.items()}
    for node_id, count in counts(plan, nodes).items():
        assert bounds[node_id][0] <= count <= bounds[node_id][1]
    kept = {n: sum(log in logs and h.node_id == n for log, h in present.items()) for n in bounds}
    homeless = len(logs) - sum(kept.values())
    surplus = sum(max(0, kept[n] - most) for n, (_, most) in bounds.items())
    lacking = sum(max(0, least - kept[n]) for n, (least, _) in bounds.items())
    # No plan can do with less: who is above must give, who is below must get.
    assert len(plan.claims) == homeless
    assert len(plan.claims) + len(plan.moves) == max(homeless + surplus, lacking)


@pytest.mark.parametrize("first", range(50))
def test_a_share_that_comes_out_even_is_not_exceeded(first: int) -> None:
    """Of ten logs the heaviest of these gets five, and who gets the odd one is another."""
    nodes = [LiveNode(1), LiveNode(2), LiveNode(3, weight=2)]
    plan = plan_owners(range(first, first + 10), nodes, {}, RULES)
    assert counts(plan, nodes)[3] == 5


@given(clusters())
def test_done_what_it_says_it_says_nothing_more(
    cluster: tuple[set[int], list[LiveNode], dict[int, Holding]],
) -> None:
    logs, nodes, present = cluster
    present = {log: Holding(holding.node_id, OLD) for log, holding in present.items()}
    once = plan_owners(logs, nodes, present, RULES)
    again = plan_owners(logs, nodes, held(dict(once.owners)), RULES)
    assert (again.claims, again.moves, again.owners) == ((), (), once.owners)


@given(clusters())
def test_the_order_of_what_is_given_does_not_matter(
    cluster: tuple[set[int], list[LiveNode], dict[int, Holding]],
) -> None:
    logs, nodes, present = cluster
    plan = plan_owners(sorted(logs), nodes, present, RULES)
    back = dict(reversed(present.items()))
    assert plan_owners(sorted(logs, reverse=True), nodes[::-1], back, RULES) == plan


@given(clusters())
def test_above_its_cap_is_only_who_holds_what_is_too_young(
    cluster: tuple[set[int], list[LiveNode], dict[int, Holding]],
) -> None:
    logs, nodes, present = cluster
    plan = plan_owners(logs, nodes, present, RULES)
    for log in plan.moves:
        assert present[log].tenure_ms >= RULES.tenure_ms_min
    for node in nodes:
        node_id, count = node.node_id, counts(plan, nodes)[node.node_id]
        young = sum(
            log in logs and h.node_id == node_id and h.tenure_ms < RULES.tenure_ms_min
            for log, h in present.items()
        )
        assert count <= max(ceil(share(len(logs), node, nodes)), young)


@given(clusters())
def test_paused_only_logs_without_owner_move(
    cluster: tuple[set[int], list[LiveNode], dict[int, Holding]],
) -> None:
    logs, nodes, present = cluster
    plan = plan_owners(logs, nodes, present, MoveRules(is_paused=True))
    assert plan.moves == ()
    assert set(plan.owners) == logs


@given(log_sets, node_lists, st.integers(31, 40))
def test_who_joins_gets_its_share_from_the_others_and_they_swap_nothing(
    logs: set[int], nodes: list[LiveNode], newcomer: int
) -> None:
    before = plan_owners(logs, nodes, {}, RULES)
    grown = [*nodes, LiveNode(newcomer)]
    after = plan_owners(logs, grown, held(dict(before.owners)), RULES)
    swapped = [log for log in after.moves if after.owners[log] != newcomer]
    for node in nodes:  # who is above its cap in the larger cluster gives that away, no more
        lost = sum(before.owners[log] == node.node_id for log in swapped)
        cap = ceil(share(len(logs), node, grown))
        assert lost <= max(0, counts(before, nodes)[node.node_id] - cap)


@given(log_sets, node_lists)
def test_who_leaves_takes_only_its_own_logs_along(logs: set[int], nodes: list[LiveNode]) -> None:
    before = plan_owners(logs, nodes, {}, RULES)
    gone, left = nodes[0].node_id, nodes[1:]
    after = plan_owners(logs, left, held(dict(before.owners)), RULES)
    if not left:
        assert after.owners == {}
        return
    assert set(after.claims) == {log for log, owner in before.owners.items() if owner == gone}


def test_who_joins_gets_something_though_nobody_has_too_much() -> None:
    nodes = [LiveNode(node_id) for node_id in (1, 2, 3, 4)]
    plan = plan_owners(range(9), nodes, held({log: log % 3 + 1 for log in range(9)}), RULES)
    assert sorted(counts(plan, nodes).values()) == [2, 2, 2, 3]


def test_logs_go_where_they_are_liked_best_while_there_is_room() -> None:
    nodes = [LiveNode(1), LiveNode(2), LiveNode(3)]
    for log in range(20):
        best = max((1, 2, 3), key=lambda node_id: score(log, node_id))
        assert plan_owners([log], nodes, {}, RULES).owners == {log: best}


def test_what_is_liked_least_is_given_away() -> None:
    logs = range(6)
    plan = plan_owners(logs, [LiveNode(1), LiveNode(2)], held(dict.fromkeys(logs, 1)), RULES)
    assert set(plan.moves) == set(sorted(logs, key=lambda log: score(log, 1))[:3])


def test_scores_are_the_same_in_every_release() -> None:
    assert [score(1, 1), score(1, 2), score(12, 0)] == SCORES


SCORES = [6968912731680275319, 17411036309097321799, 14613701759529258367]


def test_a_cordoned_node_keeps_what_it_has_and_gets_nothing() -> None:
    nodes = [LiveNode(1, standing=Standing.CORDONED), LiveNode(2)]
    plan = plan_owners(range(6), nodes, held({0: 1, 1: 1, 2: 2}), RULES)
    assert plan.owners == {0: 1, 1: 1, 2: 2, 3: 2, 4: 2, 5: 2}
    assert plan.moves == ()


def test_a_draining_node_gives_all_away_though_paused_and_young() -> None:
    nodes = [LiveNode(1, standing=Standing.DRAINING), LiveNode(2), LiveNode(3)]
    plan = plan_owners(
        range(4), nodes, held(dict.fromkeys(range(4), 1), 0), MoveRules(is_paused=True)
    )
    assert plan.moves == (0, 1, 2, 3)
    assert counts(plan, nodes) == {1: 0, 2: 2, 3: 2}


def test_the_last_one_keeps_its_logs_though_it_drains() -> None:
    node = LiveNode(1, standing=Standing.DRAINING)
    plan = plan_owners([1, 2], [node], held({1: 1}), RULES)
    assert (plan.owners, plan.moves, plan.claims) == ({1: 1}, (), ())


def test_racks_share_what_nodes_could_take_either_way() -> None:
    nodes = [
        LiveNode(1, rack="a"),
        LiveNode(2, rack="a"),
        LiveNode(3, rack="b"),
        LiveNode(4, rack="b"),
    ]
    for seed in range(50):  # of 6 logs each rack gets 3, though two nodes of one may take 4
        plan = plan_owners(range(seed * 6, seed * 6 + 6), nodes, {}, RULES)
        per_node = counts(plan, nodes)
        assert per_node[1] + per_node[2] == 3


def test_what_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="weight of node 3 is 0"):
        LiveNode(3, weight=0)
    with pytest.raises(ValueError, match="node 3 is there twice"):
        plan_owners([1], [LiveNode(3), LiveNode(3, weight=2)], {}, RULES)


def test_kinds_of_logs_are_shared_out_apart() -> None:
    nodes = [LiveNode(1), LiveNode(2)]
    held = {0: Holding(1, 0)}
    together = plan_owners(range(3), nodes, held, MoveRules())
    assert sorted(together.owners[log] for log in (1, 2)) != [1, 2]
    apart = plan_apart([{0}, {1, 2}], nodes, held, MoveRules())
    assert apart.owners[0] == 1
    assert sorted(apart.owners[log] for log in (1, 2)) == [1, 2]
    assert apart.claims == (1, 2)


@given(
    st.dictionaries(st.integers(1, 4), st.sets(st.integers(0, 9)), min_size=1),
    st.dictionaries(st.integers(0, 9), st.integers(1, 4)),
)
def test_a_log_goes_to_who_can_open_it_if_anybody_can(
    unable: dict[int, set[int]], owners: dict[int, int]
) -> None:
    nodes = [LiveNode(node_id, unable=logs) for node_id, logs in unable.items()]
    plan = plan_owners(range(10), nodes, held(owners), RULES)
    assert sorted(plan.owners) == list(range(10))
    for log in (*plan.claims, *plan.moves):
        assert log not in unable[plan.owners[log]] or all(log in logs for logs in unable.values())
