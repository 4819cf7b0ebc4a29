"""Cases of what is read: losses, holes, and the walks of consumers."""

from gateway.verify import send
from gateway.verify.tests.build import KEY, Script
from gateway.verify.tests.cases import case


def _group(**fields: bool) -> Script:
    """Offsets 0 to 3, and a member of a group that reads 0."""
    script = Script().sent("p", (0, "a"), (1, "b"), (2, "c"), (3, "d"))
    return script.subscribe("c", **fields).read("c", (0, "a"))


def _walk(*polls: list[tuple[int, str]], start: int | None = None) -> Script:
    """Offsets 0 to 3, and a consumer that has them all to itself."""
    script = Script().sent("p", (0, "a"), (1, "b"), (2, "c"), (3, "d")).assign("c", t_0=start)
    for records in polls:
        script.read("c", *records)
    return script


def _rebalanced() -> Script:
    script = _group(rebalances=True)
    script.writer.rebalance("c")
    return script.read("c", (2, "c"))


def _half_batch(*, batch: bool = True, final: bool = True) -> Script:
    script = Script().unsure("p", "a", "b", batch=batch)
    return script.assign("c", t_0=0).read("c", (0, "a"), final=final)


def _two_finals(*, again: bool) -> Script:
    """Two final readers, from offsets 1 and 0, of which the second gets offset 0 or not."""
    script = Script().unsure("p", "a", "b").read("e", (0, "a"), (1, "b"))
    script.assign("c", t_0=1).read("c", (1, "b"), final=True)
    records = [(0, "a"), (1, "b")] if again else []
    return script.assign("d", t_0=0).read("d", *records, final=True)


def _two_ends(high_watermark: int) -> Script:
    """Two final readers, of which the first had not got to the end."""
    script = Script().sent("p", (0, "a")).told("x", high_watermark=1).sent("p", (1, "b"))
    script.told("x", high_watermark=high_watermark).assign("c", t_0=0).assign("d", t_0=0)
    script.read("c", (0, "a"), final=True)
    return script.read("d", (0, "a"), (1, "b"), final=True).read("d", final=True)


def _past_a_transaction(outcome: str) -> Script:
    """Offset 1 is of a transaction; one consumer reads it all the same, another does not."""
    script = Script().sent("p", (0, "a")).txn("q", ("t-0", 1, "b"), outcome=outcome)
    script.sent("p", (3, "c")).assign("d", t_0=0).read("d", (0, "a"), (1, "b"), (3, "c"))
    script.assign("c", t_0=0).read("c", (0, "a"), isolation="read_committed")
    return script.read("c", (3, "c"), isolation="read_committed")


def _untold(*records: tuple[int, str]) -> Script:
    """Acknowledged without an offset."""
    script = Script()
    script.begin("p", "a").ok([send(KEY, "a", told=True)])
    return script.assign("c", t_0=0).read("c", *records, final=True)


def _crashed_reader() -> Script:
    script = _walk([(0, "a"), (1, "b")], start=0)
    script.writer.crash("c")
    return script.assign("c", t_0=None).read("c", (0, "a"))


LOSSES = [
    case(
        "lost-write",
        lambda: (
            Script()
            .sent("p", (0, "a"))
            .sent("p", (1, "b"))
            .sent("p", (2, "c"))
            .read("c", (0, "a"))
            .read("c", (2, "c"))
        ),
        lambda: (
            Script()
            .sent("p", (0, "a"))
            .sent("p", (1, "b"))
            .sent("p", (2, "c"))
            .read("c", (0, "a"))
            .read("d", (1, "b"), (2, "c"))
        ),
    ),
    case(
        "lost-write",  # deleted by retention is not lost
        lambda: (
            Script()
            .sent("p", (0, "a"))
            .sent("p", (1, "b"))
            .told("x", log_start=0)
            .read("c", (1, "b"))
        ),
        lambda: (
            Script()
            .sent("p", (0, "a"))
            .sent("p", (1, "b"))
            .told("x", log_start=1)
            .read("c", (1, "b"))
        ),
    ),
    case(
        "lost-write",  # a batch of which only a part was stored
        lambda: _half_batch(batch=True),
        lambda: _half_batch(batch=False),
    ),
    case(
        "lost-write",  # its end may come with the next poll
        _half_batch,
        lambda: _half_batch(final=False),
    ),
    case(
        "unseen",
        lambda: (
            Script()
            .sent("p", (0, "a"))
            .sent("p", (1, "b"))
            .assign("c", t_0=0)
            .read("c", (0, "a"), final=True)
        ),
        lambda: (
            Script().sent("p", (0, "a")).sent("p", (1, "b")).assign("c", t_0=0).read("c", (0, "a"))
        ),  # the consumer may still get there
    ),
    case(
        "unseen",  # by nobody: it is enough that another consumer got it
        lambda: (
            Script()
            .sent("p", (0, "a"))
            .sent("p", (1, "b"))
            .assign("c", t_0=0)
            .read("c", (0, "a"), final=True)
            .read("d", (0, "a"))
        ),
        lambda: (
            Script()
            .sent("p", (0, "a"))
            .sent("p", (1, "b"))
            .assign("c", t_0=0)
            .read("c", (0, "a"), final=True)
            .read("c", (1, "b"), final=True)
        ),
    ),
    case(
        "unseen",  # nothing at all was read of this key
        lambda: Script().sent("p", (0, "a")).assign("c", t_0=0).read("c", final=True),
        lambda: Script().sent("p", (0, "a"), acks=0).assign("c", t_0=0).read("c", final=True),
    ),
    case("unseen", _untold, lambda: _untold((0, "a"))),
    case(
        "vanished",
        lambda: (
            Script()
            .unsure("p", "a", "b")
            .assign("c", t_0=0)
            .read("c", (0, "a"), (1, "b"))
            .assign("d", t_0=0)
            .read("d", (0, "a"), final=True)
        ),
        lambda: (
            Script()
            .unsure("p", "a", "b")
            .assign("c", t_0=0)
            .read("c", (0, "a"), (1, "b"))
            .assign("d", t_0=0)
            .read("d", (0, "a"), final=True)
            .read("d", (1, "b"), final=True)
        ),
    ),
    case(
        "unseen",  # sent after the final polls
        lambda: Script().sent("p", (0, "a")).assign("c", t_0=0).read("c", final=True).read("c"),
        lambda: Script().assign("c", t_0=0).read("c", final=True).sent("p", (0, "a")),
    ),
    case(
        "vanished",  # sent after the final polls
        lambda: (
            Script().unsure("p", "a").read("d", (0, "a")).assign("c", t_0=0).read("c", final=True)
        ),
        lambda: (
            Script().assign("c", t_0=0).read("c", final=True).unsure("p", "a").read("d", (0, "a"))
        ),
    ),
    case(
        "vanished",  # deleted though it lies above the log start
        lambda: (
            Script()
            .unsure("p", "a", "b")
            .read("c", (0, "a"), (1, "b"))
            .told("x", log_start=0)
            .assign("d", t_0=0)
            .read("d", (1, "b"), final=True)
        ),
        lambda: (
            Script()
            .unsure("p", "a", "b")
            .read("c", (0, "a"), (1, "b"))
            .told("x", log_start=1)
            .assign("d", t_0=0)
            .read("d", (1, "b"), final=True)
        ),
        "poll-skip",
    ),
    case(
        "vanished",  # the final polls go on from where the consumer was
        lambda: (
            Script()
            .unsure("p", "a", "b")
            .read("e", (1, "b"))
            .assign("c", t_0=0)
            .read("c", (0, "a"))
            .read("c", final=True)
        ),
        lambda: (
            Script()
            .unsure("p", "a", "b")
            .read("e", (0, "a"), (1, "b"))
            .assign("c", t_0=0)
            .read("c", (0, "a"))
            .read("c", (1, "b"), final=True)
        ),
    ),
    case(
        "vanished",
        lambda: _two_finals(again=False),
        lambda: _two_finals(again=True),
    ),
    case(
        "hole",
        lambda: _two_ends(high_watermark=3),
        lambda: _two_ends(high_watermark=2),
    ),
    case(
        "hole",
        lambda: Script().unsure("p", "a", "b").read("c", (0, "a"), (2, "b")),
        lambda: Script().unsure("p", "a", "b").read("c", (0, "a")).read("c", (2, "b")),
    ),
    case(
        "hole",  # below the high watermark
        lambda: (
            Script()
            .sent("p", (0, "a"))
            .told("x", high_watermark=2)
            .assign("c", t_0=0)
            .read("c", (0, "a"), final=True)
        ),
        lambda: (
            Script()
            .sent("p", (0, "a"))
            .told("x", high_watermark=1)
            .assign("c", t_0=0)
            .read("c", (0, "a"), final=True)
        ),
    ),
    case(
        "hole",  # control records of transactions look like holes
        lambda: (
            Script()
            .unsure("p", "a", "b")
            .assign("c", t_0=0)
            .read("c", (0, "a"))
            .read("c", (2, "b"))
        ),
        lambda: (
            Script()
            .txn("p", ("t-0", 0, "a"))
            .txn("p", ("t-0", 2, "b"))
            .assign("c", t_0=0)
            .read("c", (0, "a"))
            .read("c", (2, "b"))
        ),
    ),
]

POLLS = [
    case(
        "poll-skip",
        lambda: _walk([(0, "a")], [(2, "c")]).read("d", (1, "b")),
        lambda: _walk([(0, "a")], [], [(1, "b"), (2, "c")]),
    ),
    case(
        "poll-skip",  # against the position it was told
        lambda: _walk([(1, "b")], start=0).read("d", (0, "a")),
        lambda: _walk([(1, "b")], start=1).read("d", (0, "a")),
    ),
    case(
        "poll-skip",  # in a group only where rebalances are known
        lambda: _group(rebalances=True).read("c", (2, "c")).read("d", (1, "b")),
        lambda: _group().read("c", (2, "c")).read("d", (1, "b")),
    ),
    case(
        "poll-skip",
        lambda: _group(rebalances=True).read("c", (3, "d")).read("d", (1, "b"), (2, "c")),
        lambda: _rebalanced().read("d", (1, "b")),
    ),
    case(
        "poll-skip",  # of an aborted transaction
        lambda: _past_a_transaction("ok"),
        lambda: _past_a_transaction("fail"),
    ),
    case(
        "poll-skip",  # of one that may have been aborted
        lambda: _past_a_transaction("ok"),
        lambda: _past_a_transaction("info"),
    ),
    case(
        "nonmonotonic-poll",
        lambda: _walk([(0, "a"), (1, "b")], [(1, "b"), (2, "c")]),
        lambda: _walk([(0, "a"), (1, "b")], [(2, "c")]).assign("c", t_0=0).read("c", (0, "a")),
    ),
    case(
        "nonmonotonic-poll",  # an assign that keeps a key keeps its position
        lambda: (
            _walk([(0, "a"), (1, "b")], start=0).assign("c", t_0=None, t_1=0).read("c", (0, "a"))
        ),
        _crashed_reader,
    ),
    case(
        "int-poll-skip",
        lambda: _group().read("c", (0, "a"), (2, "c")).read("d", (1, "b")),
        lambda: _group().read("c", (0, "a"), (1, "b"), (2, "c")).read("d", (3, "d")),
    ),
    case(
        "int-nonmonotonic-poll",
        lambda: _group().read("c", (2, "c"), (1, "b")),
        lambda: _group().read("c", (2, "c")).read("c", (1, "b")),
    ),
    case(
        "int-nonmonotonic-poll",
        lambda: _group().read("c", (1, "b"), (1, "b")),
        lambda: _group().read("c", (1, "b")).read("c", (1, "b"), (2, "c")),
    ),
]
