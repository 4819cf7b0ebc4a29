"""For each check a history that breaks its rule, and one that nearly does.

`bad` names every check that must object, so that no anomaly is blamed on the wrong rule.
"""

from collections.abc import Callable
from typing import NamedTuple

from gateway.verify import send
from gateway.verify.tests.build import KEY, Script


def _untold() -> Script:
    """Acknowledged without offsets, and read."""
    script = Script()
    for value in "ab":
        script.begin("p", value).ok([send(KEY, value, told=True)])
    return script.assign("c", t_0=0).read("c", (0, "a"), (1, "b"), final=True)


class Case(NamedTuple):
    check: str
    bad: Callable[[], Script]
    near: Callable[[], Script]
    also: frozenset[str] = frozenset()  # other rules that the bad history breaks as well
    lag_ms_max: float | None = None


def case(
    check: str,
    bad: Callable[[], Script],
    near: Callable[[], Script],
    *also: str,
    lag_ms_max: float | None = None,
) -> Case:
    return Case(check, bad, near, frozenset(also), lag_ms_max)


VALUES = [
    case(
        "inconsistent-offsets",
        lambda: Script().sent("p", (0, "a")).unsure("p", "b").read("c", (0, "b")),
        lambda: Script().sent("p", (0, "a")).sent("q", (0, "b"), key="t-1").read("c", (0, "a")),
    ),
    case(
        "duplicate",
        lambda: Script().sent("p", (0, "a"), idempotent=True).read("c", (0, "a"), (1, "a")),
        lambda: Script().sent("p", (1, "a")).read("c", (0, "a"), (1, "a")),
        "duplicate",
        "wrong-offset-reply",
    ),
    case(
        "duplicate",  # at offset 0 it may be the reply that is wrong
        lambda: Script().sent("p", (0, "a"), idempotent=True).read("c", (7, "a")),
        lambda: (
            Script().sent("p", (7, "a"), idempotent=True).read("c", (7, "a")).read("d", (7, "a"))
        ),
        "wrong-offset-reply",
    ),
    case(
        "duplicate",  # a transaction is sent by an idempotent producer
        lambda: Script().txn("p", ("t-0", 0, "a")).read("c", (0, "a"), (1, "a")),
        lambda: Script().txn("p", ("t-0", 0, "a"), ("t-1", 0, "a")).read("c", (0, "a")),
        "wrong-offset-reply",
    ),
    case(
        "duplicate-nonzero",
        lambda: Script().unsure("p", "a", idempotent=True).read("c", (4, "a"), (5, "a")),
        lambda: Script().unsure("p", "a", idempotent=True).read("c", (4, "a")).read("d", (4, "a")),
        "duplicate",
    ),
    case(
        "wrong-offset-reply",
        lambda: Script().sent("p", (0, "a"), idempotent=True).read("c", (3, "a")),
        lambda: Script().sent("p", (4, "a")).read("c", (3, "a")),  # repeated, 4 not read yet
        "duplicate",
    ),
    case(
        "wrong-offset-reply",
        lambda: (
            Script()
            .sent("p", (1, "a"))
            .unsure("q", "b", "c")
            .read("c", (0, "a"), (1, "b"), (2, "c"))
        ),
        lambda: (
            Script().sent("p", (1, "a")).unsure("q", "c").read("c", (0, "a"), (1, "a"), (2, "c"))
        ),
        "inconsistent-offsets",
    ),
    case(
        "wrong-offset-reply",  # below the log start nobody can know any more
        lambda: Script().sent("p", (0, "a")).unsure("q", "b").read("c", (0, "b"), (1, "a")),
        lambda: Script().sent("p", (0, "a")).told("x", log_start=1).read("c", (1, "a")),
        "inconsistent-offsets",
    ),
    case(
        "offset-acked-twice",
        lambda: Script().sent("p", (3, "a"), idempotent=True).sent("p", (3, "b"), idempotent=True),
        lambda: Script().sent("p", (3, "a"), idempotent=True).sent("p", (4, "b"), idempotent=True),
        "inconsistent-offsets",
        "nonmonotonic-send",
        "realtime-order",
    ),
    case(
        "offset-acked-twice",
        lambda: Script().sent("p", (0, "a")).sent("q", (0, "b")),
        lambda: Script().sent("p", (0, "a")).sent("q", (1, "b")).sent("r", (0, "a"), key="t-1"),
        "inconsistent-offsets",
        "realtime-order",
    ),
    case(
        "offset-acked-twice",
        lambda: Script().sent("p", (0, "a"), (0, "b")),
        _untold,
        "inconsistent-offsets",
    ),
    case(
        "phantom",
        lambda: Script().sent("p", (0, "a")).read("c", (0, "a"), (1, "x")),
        lambda: Script().sent("p", (0, "a")).unsure("p", "x").read("c", (0, "a"), (1, "x")),
    ),
    case(
        "phantom",  # read before it was sent
        lambda: Script().read("c", (0, "a")).sent("p", (0, "a")),
        lambda: Script().sent("p", (0, "a")).read("c", (0, "a")),
    ),
]
