"""Where a consumer's walks over a key are cut, and what is known of where they begin."""

from gateway.verify.tests.build import Script


def test_in_a_group_that_tells_no_rebalance_others_may_read_in_between() -> None:
    script = Script().sent("p", *enumerate("abc")).subscribe("c").read("c", (0, "a"))
    (walk,) = script.history().keys["t-0"].readings
    assert (walk.start, walk.continuous) == (None, False)
    told = Script().sent("p", *enumerate("abc")).subscribe("c", rebalances=True)
    (walk,) = told.read("c", (0, "a")).history().keys["t-0"].readings
    assert (walk.start, walk.continuous) == (None, True)


def test_consumers_do_not_share_a_walk() -> None:
    script = Script().sent("p", *enumerate("ab")).assign("c", t_0=0).assign("d", t_0=1)
    script.read("c", (0, "a")).read("d", (1, "b")).read("c", (1, "b"))
    walks = script.history().keys["t-0"].readings
    assert [(walk.process, list(walk.offsets)) for walk in walks] == [("c", [0, 1]), ("d", [1])]


def test_an_assign_without_an_offset_goes_on_where_it_was_and_leaves_other_keys() -> None:
    script = Script().sent("p", *enumerate("ab")).sent("p", (0, "x"), key="t-1")
    script.assign("c", t_0=0, t_1=0).read("c", (0, "a")).assign("c", t_0=None)
    script.read("c", (1, "b"))
    keys = script.history().keys
    (walk,) = keys["t-0"].readings
    assert list(walk.offsets) == [0, 1]
    (left,) = keys["t-1"].readings
    assert (list(left.offsets), left.start) == ([], 0)


def test_walks_are_cut_where_a_position_changes() -> None:
    script = Script().sent("p", *enumerate("abcdef")).assign("c", t_0=0)
    script.read("c", (0, "a")).read("c").read("c", (1, "b"), (2, "c"))
    script.writer.invoke("c", "seek", {"t-0": 5}).ok()
    script.read("c", (5, "f"), final=True)
    script.writer.rebalance("c")
    script.read("c", (3, "d"))
    script.writer.invoke("c", "close").ok()
    first, second, third = script.history().keys["t-0"].readings
    assert (first.start, list(first.offsets), first.continuous) == (0, [0, 1, 2], True)
    assert (second.start, list(second.offsets), second.final_at) == (5, [5], 0)
    assert (third.start, list(third.offsets), third.final_at) == (None, [3], None)
    assert first.last_poll is first.ops[-1]


def test_an_assign_that_did_not_succeed_leaves_nothing_known() -> None:
    script = Script().sent("p", *enumerate("abc")).assign("c", t_0=0).read("c", (0, "a"))
    script.writer.invoke("c", "assign", {"t-0": 2}).info("REQUEST_TIMED_OUT")
    script.read("c", (1, "b"))
    before, after = script.history().keys["t-0"].readings
    assert (after.start, after.continuous) == (None, False)
    assert list(before.offsets) == [0]
