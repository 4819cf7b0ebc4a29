"""The members' table: leader, votes, static ids, memory."""

from __future__ import annotations

import pytest

from gateway.groups.budget import StateBudget
from gateway.groups.members import JoinRequest, Member, Membership
from protocol.error_codes import ErrorCode as E


def member(member_id: str, *protocols: str, instance: str | None = None) -> Member:
    return Member(
        member_id=member_id,
        group_instance_id=instance,
        client_id="c",
        client_host="h",
        session_timeout_ms=10_000,
        rebalance_timeout_ms=1_000 * len(member_id),
        protocols=tuple((name, b"12") for name in protocols or ("range",)),
    )


def membership(*members: Member) -> Membership:
    table = Membership(StateBudget(1_000_000))
    for one in members:
        table.add(one)
    return table


@pytest.mark.parametrize(
    ("preferences", "chosen"),
    [
        (["a"], "a"),
        (["ab", "ba"], "a"),  # a tie: the earliest member's order decides
        (["ba", "ab"], "b"),
        (["abc", "cb", "cb"], "c"),
        (["ab", "ba", "ba"], "b"),
        (["abz", "zb", "bz"], "b"),  # a is not common; votes go to the first common choice
    ],
)
def test_select_protocol(preferences, chosen):
    members = [member(f"m{n}", *names) for n, names in enumerate(preferences)]
    assert membership(*members).select_protocol() == chosen


def test_the_first_member_leads_and_the_next_one_after_it():
    one, two = member("1"), member("2")
    table = membership(one, two)
    assert table.leader_id == "1"
    table.remove(one)
    assert table.leader_id == "2"
    table.remove(two)
    assert table.leader_id is None
    assert not table.elect_joined_leader()


def test_checks_of_identity():
    table = membership(member("d"), member("s", instance="i"))
    cases = {
        ("d", None): E.NONE,
        ("s", "i"): E.NONE,
        ("s", None): E.NONE,
        ("x", None): E.UNKNOWN_MEMBER_ID,
        ("d", "i"): E.FENCED_INSTANCE_ID,
        ("old", "i"): E.FENCED_INSTANCE_ID,
        ("s", "j"): E.UNKNOWN_MEMBER_ID,
        ("", None): E.UNKNOWN_MEMBER_ID,
    }
    assert {who: table.check(*who) for who in cases} == cases


def test_a_renamed_static_member_keeps_place_and_lead():
    static = member("s", instance="i")
    table = membership(static, member("d"))
    table.rename(static, "new")
    assert [m.member_id for m in table] == ["new", "d"]
    assert (table.leader_id, table.static_ids) == ("new", {"i": "new"})
    assert "s" not in table


def test_supports_any_counts_the_others_only():
    one, two = member("1", "a", "b"), member("2", "b", "c")
    table = membership(one, two)
    assert table.supports_any((("b", b""),), besides=None)
    assert not table.supports_any((("a", b""),), besides=None)
    assert table.supports_any((("a", b""), ("z", b"")), besides=two)
    assert not table.supports_any((("c", b""),), besides=two)


def test_memory_is_given_back():
    budget = StateBudget(1_000_000)
    table = Membership(budget)
    one = member("1", "abc")
    table.add(one)
    empty_bytes = budget.used_bytes
    table.set_assignment(one, bytes(10))
    table.set_assignment(one, bytes(4))
    assert budget.used_bytes == empty_bytes + 4 == one.held_bytes
    table.update(one, request(client_host="elsewhere", protocols=(("abc", bytes(100)),)))
    assert budget.used_bytes == empty_bytes + 4 + 98 + len("elsewhere") - len("h")
    table.remove(one)
    assert (budget.used_bytes, table.protocols_bytes, dict(table._supporters)) == (0, 0, {})


def request(**changes) -> JoinRequest:
    usual = {
        "member_id": "",
        "group_instance_id": None,
        "client_id": "c",
        "client_host": "h",
        "session_timeout_ms": 10_000,
        "rebalance_timeout_ms": 60_000,
        "protocol_type": "consumer",
        "protocols": (("range", b"12"),),
        "require_known_member_id": False,
        "supports_skip_assignment": False,
    }
    return JoinRequest(**(usual | changes))


class CountedName(str):
    """A protocol name that counts how often one is looked up or compared."""

    __slots__ = ()
    looks = 0

    def __hash__(self) -> int:
        CountedName.looks += 1
        return str.__hash__(self)

    def __eq__(self, other: object) -> bool:
        CountedName.looks += 1
        return str.__eq__(self, other)


def looks_of_the_last_of(members_count: int) -> int:
    """The work for one more member of a group of so many, each with twenty protocols."""
    table = membership(*(member(f"m{n}", *names()) for n in range(members_count)))
    CountedName.looks = 0
    assert table.supports_any(tuple((name, b"") for name in names()), besides=None)
    assert not table.all_joined()
    return CountedName.looks


def names() -> list[str]:
    return [CountedName(f"p{n}") for n in range(20)]


def test_a_join_costs_what_was_sent_not_what_is_there():
    assert looks_of_the_last_of(10) == looks_of_the_last_of(20) == looks_of_the_last_of(40)


def test_the_longest_rebalance_timeout_counts():
    assert membership(member("1"), member("333"), member("22")).rebalance_timeout_ms() == 3_000
    assert membership().rebalance_timeout_ms() == 0
