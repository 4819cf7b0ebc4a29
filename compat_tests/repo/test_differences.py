"""The page of differences from Kafka is the list that the comparison with Kafka allows."""

from compat_tests.oracle.allowed import PAGE, Ledger, Row, all_rows, page
from compat_tests.oracle.differences import ABSENT, Difference, compare

ROWS_MAX_COUNT = 70
SCRIPT = "produce: x"


def test_the_page_is_the_list() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(all_rows()), (
        "run python -m compat_tests.oracle.allowed --write"
    )


def test_the_list_is_short_and_says_why() -> None:
    rows = all_rows()
    assert len(rows) <= ROWS_MAX_COUNT
    assert [row.title for row in rows if len(row.reason) < 40] == []


def test_what_differs_is_found_by_name_and_type() -> None:
    kafka = {"topics": {"a": {"code": 0}, "b": {}}, "list": [1, 2], "null": None}
    gateway = {"topics": {"a": {"code": 3}, "c": {}}, "list": [1], "null": []}
    found = {difference.path: difference for difference in compare(kafka, gateway)}
    assert set(found) == {"topics.a.code", "topics.b", "topics.c", "list", "null"}
    assert found["topics.b"].gateway == found["topics.c"].kafka == ABSENT
    assert (found["null"].kafka, found["null"].gateway) == ("None", "[]")
    assert list(compare(True, 1))


def test_a_row_allows_what_it_says_and_is_stale_without_it() -> None:
    row = Row("t", "because", ("produce: *",), ("*.code",), kafka="1")
    allowed = Difference("1 Produce v8.code", "1", "2")
    others = [Difference("1 Produce v8.other", "1", "2"), Difference("x.code", "3", "2")]
    ledger = Ledger([row])
    assert ledger.judge(SCRIPT, others) == others
    assert ledger.judge("fetch: x", [allowed]) == [allowed]
    assert ledger.stale([SCRIPT, "fetch: x"]) == [row]
    assert ledger.stale([SCRIPT, "produce: not run"]) == []
    assert ledger.judge(SCRIPT, [allowed]) == []
    assert ledger.stale([SCRIPT]) == []
