"""Walks: where they break, where the last of them begins, what a client's words promise."""

from gateway.verify.model import How
from gateway.verify.tests.build import Script


def test_a_break_is_an_offset_that_does_not_follow() -> None:
    script = Script().sent("p", (0, "a"), (1, "b"), (4, "e"), (5, "f")).assign("c", t_0=0)
    script.read("c", (0, "a"), (1, "b"), (4, "e")).read("c", (5, "f"))
    (walk,) = script.history().keys["t-0"].readings
    assert walk.breaks() == [2]


def test_a_client_keeps_its_order_if_it_is_idempotent_or_has_one_request_in_flight() -> None:
    assert How("send", idempotent=True).ordered
    assert How("send", max_in_flight=1).ordered
    assert not How("send").ordered
    assert not How("send", max_in_flight=5).ordered
    assert How("txn").is_txn
    assert not How("send").is_txn


def test_a_known_start_counts_as_the_offset_before_the_first_record() -> None:
    script = Script().sent("p", *enumerate("abc")).assign("c", t_0=0).read("c", (1, "b"))
    (walk,) = script.history().keys["t-0"].readings
    ((_, before, _, after),) = walk.steps(inside=False)
    assert (before, after) == (-1, 1)
    assert list(walk.steps(inside=True)) == []


def test_where_final_polls_begin() -> None:
    script = Script().sent("p", *enumerate("abcd")).assign("c", t_0=1, t_1=0, t_2=None)
    script.read("c", (1, "b")).read("c", final=True).read("c", (2, "c"), final=True)
    script.sent("p", (8, "x"), key="t-2").read("c", (8, "x"), key="t-2", final=True)
    keys = script.history().keys
    (walk,) = keys["t-0"].readings
    assert (walk.final_at, walk.final_begin()) == (1, 2)
    assert keys["t-1"].readings[0].final_begin() == 0
    assert keys["t-2"].readings[0].final_begin() == 8
    last = keys["t-1"].final_poll
    assert last is not None and last is keys["t-2"].readings[0].ops[-1]
