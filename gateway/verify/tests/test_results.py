"""What operations did: rows of sends by their status, commits, positions that are none."""

import pytest

from gateway.verify.lines import Unreadable
from gateway.verify.model import ACKED, FAILED, NEVER, UNKNOWN, UNPROMISED
from gateway.verify.tests.build import Script
from gateway.verify.tests.test_load import HEAD, info, invoke, load, ok


def test_what_is_read_before_it_was_sent_is_a_stranger() -> None:
    script = Script().assign("c", t_0=0).read("c", (0, "early"))
    script.sent("p", (0, "early"))
    key = script.history().keys["t-0"]
    assert [(offset, key.values[row]) for offset, row, _ in key.strangers] == [(0, "early")]
    assert list(key.statuses) == [ACKED]


def test_commits_count_from_their_beginning_and_reads_of_them_when_they_end() -> None:
    history = Script().commit("g", 3).committed("g", 3).committed("g", None).history()
    assert [row.offset for row in history.commits["g", "t-0"]] == [3]
    assert [row.offset for row in history.committed["g", "t-0"]] == [3, -1]


@pytest.mark.parametrize("f", ["assign", "seek"])
def test_a_position_is_an_object_of_keys(f: str) -> None:
    with pytest.raises(Unreadable, match=f"as the value of {f}"):
        load(HEAD, invoke(f, {"k": 1}), ok(f, ["k"]))


def test_the_status_of_sends() -> None:
    history = load(
        HEAD,
        invoke("send", [["send", "k", v] for v in "abc"], op=1),
        invoke("send", [["send", "k", "d"]], op=2),
        invoke("send", [["send", "k", "e"]], op=3, acks=0),
        invoke("send", [["send", "k", "f"]], op=4),
        invoke("txn", [["send", "k", "g"]], op=5),
        info("send", [["send", "k", [4, "a"]], ["send", "k", "b"], ["send", "k", "c"]], op=1),
        {"type": "fail", "f": "send", "op": 2},
        ok("send", [["send", "k", [None, "e"]]], op=3),
        info("txn", [["send", "k", [9, "g"]]], op=5),
    )
    key = history.keys["k"]
    assert key.values == list("abcdefg")
    assert list(key.statuses) == [ACKED, UNKNOWN, UNKNOWN, FAILED, UNPROMISED, UNKNOWN, UNKNOWN]
    assert list(key.offsets) == [4, -1, -1, -1, -1, -1, 9]
    assert [op.end_line for op in key.ops] == [7, 7, 7, 8, 9, NEVER, 10]
    assert history.ops == {
        ("send", "info"): 2,
        ("send", "fail"): 1,
        ("send", "ok"): 1,
        ("txn", "info"): 1,
    }
