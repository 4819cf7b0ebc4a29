"""Cases of sends, transactions, replies, and what surrounds the log."""

from gateway.verify.tests.build import Script
from gateway.verify.tests.cases import case


def _overlapping(first: int, second: int, **fields: object) -> Script:
    """One producer with two sends under way, which land at these offsets."""
    script = Script()
    a, b = script.begin("p", "a", **fields), script.begin("p", "b", **fields)
    return script.end(a, (first, "a")).end(b, (second, "b"))


def _answered(*order: int) -> Script:
    """Three requests on one connection, answered in this order."""
    script = Script()
    ops = [script.writer.invoke("p", "metadata", connection=1) for _ in range(3)]
    for i in order:
        ops[i].ok()
    return script


def _unanswered_first() -> Script:
    script = Script()
    ops = [script.writer.invoke("p", "metadata", connection=1) for _ in range(3)]
    ops[0].info("REQUEST_TIMED_OUT")
    ops[1].ok()
    ops[2].ok()
    return script


def _crashed_connection() -> Script:
    """The client restarts and uses the name of its connection again."""
    script = _answered(0)
    script.writer.crash("p")
    script.writer.invoke("p", "metadata", connection=1).ok()
    return script


def _commits(*offsets: int, found: int) -> Script:
    script = Script()
    for offset in offsets:
        script.commit("g", offset)
    return script.committed("g", found)


def _commit_under_way(found: int) -> Script:
    script = Script().commit("g", 5)
    op = script.writer.invoke("other", "commit", {"t-0": 7}, group="g")
    script.committed("g", found)
    op.ok()
    return script


def _puts(*keys: str) -> Script:
    script = Script()
    for key in keys:
        script.writer.put(key, writer="gateway")
    return script


def _bucket(listed: list[str], named: list[str]) -> Script:
    script = Script()
    script.writer.bucket(listed=listed, named=named)
    return script


def _interleaved(*, first_key_swapped: bool = True, other: str = "txn") -> Script:
    """Two transactions on two keys; the second is behind the first, or on one key before it."""
    first, second = (1, 0) if first_key_swapped else (0, 1)
    script = Script()
    a = script.writer.invoke("p", "txn", [["send", "t-0", "a"], ["send", "t-1", "b"]])
    b = script.writer.invoke("q", other, [["send", "t-0", "c"], ["send", "t-1", "d"]])
    a.ok([["send", "t-0", [first, "a"]], ["send", "t-1", [0, "b"]]])
    b.ok([["send", "t-0", [second, "c"]], ["send", "t-1", [1, "d"]]])
    return script


def _reading_each_other(*, both: bool) -> Script:
    script = Script(isolation="read_committed")
    a = script.writer.invoke("p", "txn", [["send", "t-0", "a"], ["poll"]])
    b = script.writer.invoke("q", "txn", [["send", "t-1", "b"], ["poll"]])
    a.ok([["send", "t-0", [0, "a"]], ["poll", {"t-1": [[0, "b"]]}]])
    b.ok([["send", "t-1", [0, "b"]], ["poll", {"t-0": [[0, "a"]] if both else []}]])
    return script


def _asked_before(first: int, second: int) -> Script:
    """Two fresh replies; the one that came second may have been made first."""
    script = Script()
    a, b = script.writer.invoke("x", "list_offsets"), script.writer.invoke("y", "list_offsets")
    a.ok(observed={"t-0": {"high_watermark": first}})
    b.ok(observed={"t-0": {"high_watermark": second}})
    return script


def _three(*offsets: int, **fields: object) -> Script:
    """One operation that sends three values."""
    return Script().sent("p", *zip(offsets, "abc", strict=True), **fields)


SENDS = [
    case(
        "nonmonotonic-send",
        lambda: _overlapping(1, 0, idempotent=True),
        lambda: _overlapping(1, 0),  # a retry may swap them
    ),
    case(
        "nonmonotonic-send",
        lambda: _overlapping(1, 0, max_in_flight=1),
        lambda: _overlapping(0, 1, max_in_flight=1),
    ),
    case(
        "nonmonotonic-send",  # one after the other, idempotent or not
        lambda: Script().sent("p", (1, "a")).sent("p", (0, "b")),
        lambda: Script().sent("p", (1, "a")).sent("p", (0, "b"), key="t-1"),
        "realtime-order",
    ),
    case(
        "int-nonmonotonic-send",
        lambda: Script().sent("p", (1, "a"), (0, "b"), idempotent=True),
        lambda: Script().sent("p", (1, "a"), (0, "b")),
    ),
    case(
        "int-nonmonotonic-send",
        lambda: Script().sent("p", (1, "a"), (0, "b"), batch=True),
        lambda: Script().sent("p", (0, "a"), (1, "b"), batch=True),
    ),
    case(
        "int-nonmonotonic-send",  # both at one offset
        lambda: Script().sent("p", (1, "a"), (1, "b"), max_in_flight=1),
        lambda: Script().sent("p", (1, "a"), (2, "b"), max_in_flight=1),
        "offset-acked-twice",
        "inconsistent-offsets",
    ),
    case(
        "int-send-skip",
        lambda: (
            Script()
            .unsure("q", "x")
            .sent("p", (0, "a"), (2, "b"))
            .read("c", (0, "a"), (1, "x"), (2, "b"))
        ),
        lambda: (
            Script()
            .unsure("q", "x")
            .sent("p", (0, "a"), (1, "b"))
            .read("c", (0, "a"), (1, "b"), (2, "x"))
        ),
    ),
    case("batch-not-dense", lambda: _three(4, 5, 7, batch=True), lambda: _three(4, 5, 7)),
    case(
        "batch-not-dense", lambda: _three(0, 2, 3, batch=True), lambda: _three(4, 5, 6, batch=True)
    ),
    case(
        "realtime-order",
        lambda: Script().sent("p", (5, "a")).sent("q", (4, "b")),
        lambda: _overlapping(5, 4),
    ),
    case(
        "realtime-order",  # without an acknowledgement an offset means nothing
        lambda: Script().sent("p", (5, "a")).sent("q", (4, "b"), acks=1),
        lambda: Script().sent("p", (5, "a")).sent("q", (4, "b"), acks=0),
    ),
]

TXNS = [
    case("G0", _interleaved, lambda: _interleaved(other="send")),
    case(
        "G1a",
        lambda: Script().failed("p", "a").read("c", (0, "a")),
        lambda: Script().unsure("p", "a").read("c", (0, "a")),
    ),
    case(
        "G1a",
        lambda: (
            Script()
            .txn("p", ("t-0", 0, "a"), outcome="fail")
            .read("c", (0, "a"), isolation="read_committed")
        ),
        lambda: Script().txn("p", ("t-0", 0, "a"), outcome="fail").read("c", (0, "a")),
    ),
    case(
        "precommitted-read",
        lambda: Script().txn("p", ("t-0", 0, "a"), read={"t-0": [(0, "a")]}),
        lambda: (
            Script().txn("p", ("t-0", 0, "a")).txn("p", ("t-0", 2, "b"), read={"t-0": [(0, "a")]})
        ),
    ),
    case(
        "torn-txn",
        lambda: (
            Script()
            .txn("p", ("t-0", 0, "a"), ("t-1", 0, "b"), outcome="info")
            .assign("c", t_0=0, t_1=0)
            .read("c", (0, "a"), final=True)
            .read("c", final=True)
        ),
        lambda: (
            Script()
            .txn("p", ("t-0", 0, "a"), ("t-1", 0, "b"), outcome="info")
            .assign("c", t_0=0, t_1=0)
            .read("c", final=True)
        ),  # it may have been aborted
    ),
    case(
        "torn-txn",  # the other part may come with the next poll
        lambda: (
            Script()
            .txn("p", ("t-0", 0, "a"), ("t-1", 0, "b"), outcome="info")
            .assign("c", t_0=0, t_1=0)
            .read("c", (0, "b"), key="t-1", final=True)
            .read("c", final=True)
        ),
        lambda: (
            Script()
            .txn("p", ("t-0", 0, "a"), ("t-1", 0, "b"), outcome="info")
            .assign("c", t_0=0, t_1=0)
            .read("c", (0, "b"), key="t-1", final=True)
        ),
    ),
    case(
        "torn-txn",  # still on its way, as long as polls are not final
        lambda: (
            Script()
            .txn("p", ("t-0", 0, "a"), ("t-1", 0, "b"))
            .assign("c", t_0=0, t_1=0)
            .read("c", (0, "a"), final=True)
        ),
        lambda: (
            Script()
            .txn("p", ("t-0", 0, "a"), ("t-1", 0, "b"))
            .assign("c", t_0=0, t_1=0)
            .read("c", (0, "a"))
        ),
        "unseen",
    ),
    case(
        "G0",
        lambda: _interleaved(first_key_swapped=True),
        lambda: _interleaved(first_key_swapped=False),
    ),
    case(
        "G1c",
        lambda: _reading_each_other(both=True),
        lambda: _reading_each_other(both=False),
    ),
]

_FIELDS = ("high_watermark", "log_start", "log_end", "last_stable", "leader_epoch")

WATERMARKS = [
    *(
        case(
            f"{field.replace('_', '-')}-back",
            lambda field=field: Script().told("x", **{field: 5}).told("y", **{field: 4}),
            lambda field=field: (
                Script().told("x", **{field: 5}).told("y", **{field: 5}).told("x", **{field: 6})
            ),
        )
        for field in _FIELDS
    ),
    case(
        "high-watermark-back",  # a consumer's own replies come in order, others' may be older
        lambda: (
            Script()
            .read("c", observed={"high_watermark": 5})
            .read("c", observed={"high_watermark": 4})
        ),
        lambda: (
            Script()
            .read("c", observed={"high_watermark": 5})
            .read("d", observed={"high_watermark": 4})
        ),
    ),
    case(
        "high-watermark-back",  # fresh ones may not
        lambda: (
            Script()
            .read("c", observed={"high_watermark": 5})
            .read("d", observed={"high_watermark": 4}, fresh=True)
        ),
        lambda: _asked_before(5, 4),
    ),
    case(
        "high-watermark-back",  # below what another was told, though above its own
        lambda: (
            Script()
            .told("x", high_watermark=5)
            .told("y", high_watermark=7)
            .told("x", high_watermark=6)
        ),
        lambda: (
            Script()
            .told("x", high_watermark=5)
            .told("y", high_watermark=7)
            .told("x", high_watermark=7)
        ),
    ),
    case(
        "high-watermark-back",  # old news in between does not lower the bound
        lambda: (
            Script()
            .told("x", high_watermark=7)
            .read("c", observed={"high_watermark": 5})
            .told("y", high_watermark=6)
        ),
        lambda: (
            Script()
            .told("x", high_watermark=7)
            .read("c", observed={"high_watermark": 5})
            .read("c", observed={"high_watermark": 6})
        ),
    ),
    case(
        "watermarks-crossed",
        lambda: Script().told("x", log_start=6, high_watermark=5),
        lambda: Script().told("x", log_start=5, high_watermark=5, last_stable=5, log_end=5),
    ),
    case(
        "read-above-high-watermark",
        lambda: Script().unsure("p", "a").read("c", (3, "a"), observed={"high_watermark": 3}),
        lambda: Script().unsure("p", "a").read("c", (3, "a"), observed={"high_watermark": 4}),
    ),
    case(
        "high-watermark-behind-ack",
        lambda: Script().sent("p", (3, "a")).told("x", high_watermark=3),
        lambda: Script().sent("p", (3, "a")).told("x", high_watermark=4),
    ),
    case(
        "high-watermark-behind-ack",
        lambda: Script().sent("p", (3, "a")).read("c", observed={"high_watermark": 3}, fresh=True),
        lambda: Script().sent("p", (3, "a")).read("c", observed={"high_watermark": 3}),
    ),
    case(
        "high-watermark-behind-ack",  # the leader alone promises less
        lambda: Script().sent("p", (3, "a"), acks=-1).told("x", high_watermark=2),
        lambda: Script().sent("p", (3, "a"), acks=1).told("x", high_watermark=2),
    ),
    case(
        "high-watermark-behind-ack",  # old news, and a reply without one
        lambda: Script().sent("p", (3, "a")).told("x", high_watermark=0),
        lambda: (
            Script()
            .sent("p", (3, "a"))
            .told("x", high_watermark=4)
            .read("c", observed={"high_watermark": 2})
            .told("x", log_end=9)
        ),
    ),
    case(
        "high-watermark-behind-read",  # nobody was told that it is stored, but it was served
        lambda: Script().unsure("p", "a").read("c", (3, "a")).told("x", high_watermark=3),
        lambda: Script().unsure("p", "a").read("c", (3, "a")).told("x", high_watermark=4),
    ),
    case(
        "high-watermark-behind-read",  # old news, and one that is asked for before the poll ends
        lambda: (
            Script()
            .unsure("p", "a", "b")
            .read("c", (4, "b"))
            .read("d", (3, "a"))
            .told("x", high_watermark=4)
        ),
        lambda: (
            Script()
            .unsure("p", "a")
            .read("c", (3, "a"))
            .read("d", observed={"high_watermark": 3})
            .told("x", log_start=0)
        ),
    ),
]

SERVICE = [
    case("reply-order", lambda: _answered(0, 2, 1), lambda: _answered(0, 1, 2)),
    case("reply-order", lambda: _answered(1), _unanswered_first),
    case("reply-order", lambda: _answered(2, 1, 0), _crashed_connection),
    case(
        "stale-committed-offset",
        lambda: _commits(5, 7, found=5),
        lambda: _commits(7, 5, found=5),
    ),
    case(
        "stale-committed-offset",  # one that is under way may count already, or not yet
        lambda: _commit_under_way(found=4),
        lambda: _commit_under_way(found=5),
    ),
    case(
        "stale-committed-offset",
        lambda: Script().commit("g", 5).committed("g", None),
        lambda: Script().commit("g", 5).committed("h", None),
    ),
    case(
        "stale-committed-offset",
        lambda: Script().commit("g", 5).committed("h", 5),
        lambda: _commit_under_way(found=7),
    ),
    case(
        "realtime-lag",
        lambda: Script().assign("c", t_0=0).sent("p", (0, "a")).wait(1000).read("c", (0, "a")),
        lambda: Script().sent("p", (0, "a")).wait(1000).assign("c", t_0=0).read("c", (0, "a")),
        lag_ms_max=900,
    ),
    case(
        "realtime-lag",  # it polls and polls, and gets nothing
        lambda: Script().assign("c", t_0=0).sent("p", (0, "a")).wait(1000).read("c"),
        lambda: Script().assign("c", t_0=1).sent("p", (0, "a")).wait(1000).read("c"),
        lag_ms_max=900,
    ),
    case(
        "realtime-lag",  # once for a poll, however much it brings; without acknowledgement never
        lambda: (
            Script()
            .assign("c", t_0=0)
            .sent("p", (0, "a"), (1, "b"))
            .wait(1000)
            .read("c", (0, "a"), (1, "b"))
        ),
        lambda: (
            Script()
            .assign("c", t_0=0)
            .unsure("p", "a", "b")
            .wait(1000)
            .read("c", (0, "a"), (1, "b"))
            .sent("p", (2, "c"))
            .read("c", (2, "c"))
        ),
        lag_ms_max=900,
    ),
    case("overwritten-object", lambda: _puts("a", "b", "a"), lambda: _puts("a", "b", "c")),
    case("object-leak", lambda: _bucket(["a", "b"], ["a"]), lambda: _bucket(["a"], ["a"])),
    case("object-missing", lambda: _bucket(["a"], ["a", "b"]), lambda: _bucket([], [])),
]
