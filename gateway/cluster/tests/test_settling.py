"""When a view has lasted for long enough."""

from __future__ import annotations

from gateway.cluster.settling import SETTLING_LEASES_MAX, Settling


def test_a_view_settles_once_no_node_has_come_or_gone_for_a_while() -> None:
    settling = Settling(10)
    assert not settling.is_over(1_000)  # there is no view
    settling.begin(100)
    assert not settling.is_over(109)
    settling.disturb(105)
    assert not settling.is_over(114)
    assert settling.is_over(115)
    settling.disturb(116)
    assert settling.is_over(116)  # what comes later is in the view


def test_nodes_that_keep_coming_are_not_waited_for_without_end() -> None:
    settling = Settling(10)
    settling.begin(0)
    for now_s in range(10 * SETTLING_LEASES_MAX):
        assert not settling.is_over(now_s)
        settling.disturb(now_s)
    assert settling.is_over(10 * SETTLING_LEASES_MAX)
