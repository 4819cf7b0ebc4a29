"""What is read from lines, and what is refused, with the line and what was expected."""

import json
from typing import Any

import pytest

from gateway.verify.lines import Unreadable
from gateway.verify.load import load_history
from gateway.verify.model import UNKNOWN, History
from gateway.verify.tests.build import Script

HEAD = {"type": "history", "version": 1}


def load(*lines: dict[str, Any] | str) -> History:
    """Histories of dicts; what time it is does not matter unless a line says so."""
    raw = []
    for number, line in enumerate(lines):
        if isinstance(line, str):
            text = line
        elif line.get("type") == "history":
            text = json.dumps(line)
        else:
            text = json.dumps({"process": 1, "time_ms": number, **line})
        raw.append(text.encode())
    return load_history(raw)


def invoke(f: str, value: Any = None, **fields: Any) -> dict[str, Any]:
    return {"type": "invoke", "f": f, "value": value, **fields}


def ok(f: str, value: Any = None, **fields: Any) -> dict[str, Any]:
    return {"type": "ok", "f": f, "value": value, **fields}


def info(f: str, value: Any = None, **fields: Any) -> dict[str, Any]:
    return {"type": "info", "f": f, "value": value, **fields}


SEND = invoke("send", [["send", "k", 7]])
SENT = ok("send", [["send", "k", [0, 7]]])

REFUSED: dict[str, tuple[list[dict[str, Any] | str], int, str]] = {
    "an empty file": ([], 1, "the file is empty"),
    "no header": ([SEND], 1, 'expected {"type":"history","version":1} on the first line'),
    "a second header": ([HEAD, HEAD], 2, "one line of type history"),
    "a newer format": ([{"type": "history", "version": 2}], 1, "expected version 1, not 2"),
    "no JSON": ([HEAD, "{"], 2, "truncated"),
    "an empty line": ([HEAD, SEND, "", SENT], 3, "expected a JSON object, the line is empty"),
    "no object": ([HEAD, "[]"], 2, "Expected `object`, got `array`"),
    "an unknown type": ([HEAD, {"type": "okay"}], 2, "Invalid value 'okay'"),
    "a misspelt field": ([HEAD, {**SEND, "idempotnt": True}], 2, "unknown field `idempotnt`"),
    "a missing field": ([HEAD, '{"type":"ok","f":"send","process":1}'], 2, "field `time_ms`"),
    "a wrong type": ([HEAD, {**SEND, "process": 1.5}], 2, "Expected `int | str`, got `float`"),
    "an unknown micro-operation": ([HEAD, invoke("send", [["sent", "k", 1]])], 2, "'sent'"),
    "a send without a value": ([HEAD, invoke("send", [["send", "k"]])], 2, "length"),
    "a send of keys": ([HEAD, invoke("send", ["k"])], 2, 'a list of ["send", ...]'),
    "a send of an object": ([HEAD, invoke("send", {"k": 1})], 2, 'a list of ["send", ...]'),
    "an offset too early": ([HEAD, invoke("send", [["send", "k", [0, 7]]])], 2, "on completion"),
    "time that goes back": ([HEAD, {**SEND, "time_ms": 5}, {**SENT, "time_ms": 4}], 3, "least 5"),
    "no invocation": ([HEAD, SENT], 2, "expected an invoke line of this send before"),
    "an end of something else": ([HEAD, SEND, ok("poll")], 3, "send of process 1, begun on line 2"),
    "an end by another process": (
        [HEAD, {**SEND, "op": 1}, {**SENT, "op": 1, "process": 2}],
        3,
        "send of process 1, begun on line 2",
    ),
    "an overlap without numbers": ([HEAD, SEND, invoke("poll")], 3, "need `op` numbers"),
    "a number twice": ([HEAD, {**SEND, "op": 1}, invoke("poll", op=1)], 3, "`op` number"),
    "a value twice": ([HEAD, SEND, SENT, SEND], 4, "unique for their key; 7 went to k on line 2"),
    "an ok without offsets": ([HEAD, SEND, ok("send")], 3, "the 1 sends of line 2"),
    "an ok without an offset": ([HEAD, SEND, ok("send", SEND["value"])], 3, "[offset, value]"),
    "an ok of another value": (
        [HEAD, SEND, ok("send", [["send", "k", [0, 8]]])],
        3,
        'expected ["send", "k", [offset, 7]], as sent on line 2',
    ),
    "an ok of more": ([HEAD, SEND, ok("send", SENT["value"] * 2)], 3, "the 1 sends of line 2"),
    "a negative offset": ([HEAD, SEND, ok("send", [["send", "k", [-1, 7]]])], 3, "or null"),
    "a huge offset": ([HEAD, SEND, ok("send", [["send", "k", [1 << 63, 7]]])], 3, "or null"),
    "a poll at a negative offset": (
        [HEAD, invoke("poll"), ok("poll", [["poll", {"k": [[-1, 7]]}]])],
        3,
        "an offset of at least 0, not -1",
    ),
    "records of a poll that failed": (
        [HEAD, invoke("poll"), info("poll", [["poll", {"k": [[1, 7]]}]])],
        3,
        "no records of a poll that is not ok",
    ),
    "a poll of keys": ([HEAD, invoke("poll"), ok("poll", ["k"])], 3, 'and ["poll", ...]'),
    "a poll of an object": ([HEAD, invoke("poll"), ok("poll", {"k": 1})], 3, 'and ["poll", ...]'),
    "an assign of a list": ([HEAD, invoke("assign", ["k"]), ok("assign")], 3, "value of assign"),
    "a commit without a group": ([HEAD, invoke("commit", {"k": 1})], 2, "expected a `group`"),
    "a commit of nothing": ([HEAD, invoke("commit", group="g")], 2, "value of commit"),
    "an unknown isolation": ([HEAD, {**SEND, "isolation": "high"}], 2, "not 'high'"),
    "an unknown isolation of all": ([{**HEAD, "isolation": "high"}], 1, "not 'high'"),
    "unknown acks": ([HEAD, {**SEND, "acks": 2}], 2, "expected acks -1 (all), 0 or 1, not 2"),
}


@pytest.mark.parametrize(("lines", "number", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(lines: list[dict[str, Any] | str], number: int, said: str) -> None:
    with pytest.raises(Unreadable) as raised:
        load(*lines)
    assert raised.value.line == number
    assert str(raised.value).startswith(f"line {number}: ")
    assert said in raised.value.problem


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(Unreadable, match="line 2"):
        load_history([json.dumps(HEAD).encode(), b'{"type":"\xff"}'])


def test_a_number_may_be_used_again_once_it_is_free() -> None:
    history = load(
        HEAD, {**SEND, "op": 1}, {**SENT, "op": 1}, invoke("poll", op=1), ok("poll", op=1)
    )
    assert history.ops == {("send", "ok"): 1, ("poll", "ok"): 1}


def test_a_crash_ends_what_has_no_number() -> None:
    history = load(HEAD, SEND, info("crash"), invoke("send", [["send", "k", 8]]))
    assert history.ops == {("send", "info"): 2, ("crash", "info"): 1}
    assert list(history.keys["k"].statuses) == [UNKNOWN, UNKNOWN]


def test_isolation_is_that_of_the_operation_or_of_all() -> None:
    script = Script(isolation="read_committed").txn("p", ("k", 0, "a"))
    script.writer.invoke("p", "txn", [["send", "k", "b"]], isolation="read_uncommitted").info()
    levels = [op.how.read_committed for op, _ in script.history().txns.values()]
    assert levels == [True, False]


def test_what_means_nothing_is_counted() -> None:
    history = load(
        HEAD, invoke("metadata"), ok("metadata"), invoke("poll"), {**info("poll"), "error": "X"}
    )
    assert history.foreign == {"metadata": 1}
    assert history.ops == {("metadata", "ok"): 1, ("poll", "info"): 1}
