import io
import json

import pytest

from gateway.verify import HistoryWriter, load_history, poll, send

LINES: list[dict[str, object]] = [
    {"type": "history", "version": 1, "isolation": "read_committed"},
    {
        "type": "invoke",
        "process": "p",
        "f": "send",
        "op": 1,
        "value": [["send", "k-0", "a"]],
        "idempotent": True,
        "time_ms": 0.0,
    },
    {"type": "invoke", "process": 2, "f": "poll", "op": 2, "final": True, "time_ms": 0.5},
    {
        "type": "event",
        "event": "crash",
        "node": "gateway-1",
        "note": {"signal": 9},
        "time_ms": 1.0,
    },
    {
        "type": "info",
        "process": "p",
        "f": "send",
        "op": 1,
        "error": "REQUEST_TIMED_OUT",
        "time_ms": 1.5,
    },
    {
        "type": "ok",
        "process": 2,
        "f": "poll",
        "op": 2,
        "value": [["poll", {"k-0": [[0, "a"]]}]],
        "observed": {"k-0": {"high_watermark": 1}},
        "time_ms": 2.0,
    },
    {
        "type": "invoke",
        "process": "p",
        "f": "send",
        "op": 3,
        "value": [["send", "k-0", "b"]],
        "time_ms": 2.5,
    },
    {
        "type": "fail",
        "process": "p",
        "f": "send",
        "op": 3,
        "error": "RECORD_TOO_LARGE",
        "note": "big",
        "time_ms": 3.0,
    },
    {"type": "info", "process": 2, "f": "crash", "time_ms": 3.5},
    {"type": "info", "process": "c", "f": "rebalance", "value": ["k-0"], "time_ms": 4.0},
    {"type": "put", "key": "logs/0/0", "writer": "gateway-1", "time_ms": 4.5},
    {"type": "bucket", "listed": ["a"], "named": [], "time_ms": 5.0},
]


def test_lines_are_what_the_page_says() -> None:
    file = io.BytesIO()
    clock = iter(range(100))
    writer = HistoryWriter(file, lambda: next(clock) / 2, isolation="read_committed")
    first = writer.invoke("p", "send", [send("k-0", "a")], idempotent=True)
    second = writer.invoke(2, "poll", final=True)
    writer.event("crash", node="gateway-1", note={"signal": 9})
    first.info("REQUEST_TIMED_OUT")
    second.ok([poll({"k-0": [(0, "a")]})], observed={"k-0": {"high_watermark": 1}})
    writer.invoke("p", "send", [send("k-0", "b")]).fail("RECORD_TOO_LARGE", note="big")
    writer.crash(2)
    writer.rebalance("c", ["k-0"])
    writer.put("logs/0/0", writer="gateway-1")
    writer.bucket(listed=["a"], named=[])
    assert [json.loads(line) for line in file.getvalue().splitlines()] == LINES
    history = load_history(file.getvalue().splitlines())
    assert history.lines_count == 12
    assert history.keys["k-0"].values == ["a", "b"]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (send("k", 1), ["send", "k", 1]),
        (send("k", 1, 0), ["send", "k", [0, 1]]),
        (send("k", 1, told=True), ["send", "k", [None, 1]]),
        (poll(), ["poll"]),
        (poll({}), ["poll", {}]),
    ],
)
def test_micro_operations(made: list[object], expected: list[object]) -> None:
    assert made == expected


def test_the_clock_is_asked_once_for_each_line_but_the_first() -> None:
    asked: list[int] = []
    writer = HistoryWriter(io.BytesIO(), lambda: float(asked.append(1) or len(asked)))
    assert not asked
    writer.invoke("p", "poll").ok()
    assert len(asked) == 2
