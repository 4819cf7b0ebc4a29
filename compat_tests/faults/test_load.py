"""The checkers themselves: each fault they are there for must fail them."""

from typing import Any

import pytest

from compat_tests.faults.load import Acked, Load, Log, Snapshots, check_load
from compat_tests.support.client import ClientError
from compat_tests.wire.batches import Batch, build, parse


class _NoClient:
    """Stands where a client would; nothing is sent."""


def load(*, idempotent: bool = True) -> Load:
    nobody: Any = _NoClient()
    return Load(nobody, "topic", name="one", partitions=(0,), idempotent=idempotent)


def stored(*values: bytes) -> list[Batch]:
    return [
        batch
        for offset, value in enumerate(values)
        for batch in parse(build([value], base_offset=offset))
    ]


def test_a_right_log_passes() -> None:
    sender = load()
    sender.acked = [Acked(0, 0, b"one 1 x"), Acked(0, 2, b"one 2 x")]
    check_load(sender, {0: Log(stored(b"one 1 x", b"two 1 x", b"one 2 x"))})


@pytest.mark.parametrize(
    "values",
    [
        (b"one 1 x",),
        (b"one 2 x", b"one 1 x"),
        (b"one 1 x", b"one 2 y"),
        (b"one 1 x", b"one 2 x", b"one 1 x"),
    ],
    ids=["lost", "swapped", "changed", "repeated"],
)
def test_a_wrong_log_fails(values: tuple[bytes, ...]) -> None:
    sender = load()
    sender.acked = [Acked(0, 0, b"one 1 x"), Acked(0, 1, b"one 2 x")]
    with pytest.raises(AssertionError):
        check_load(sender, {0: Log(stored(*values))})


def test_a_plain_producer_may_repeat() -> None:
    sender = load(idempotent=False)
    sender.acked = [Acked(0, 1, b"one 1 x")]
    check_load(sender, {0: Log(stored(b"one 1 x", b"one 1 x"))})


def test_an_idempotent_producer_may_not_fail() -> None:
    sender = load()
    sender.errors = [ClientError({"name": "OUT_OF_ORDER_SEQUENCE", "code": 45, "text": ""})]
    with pytest.raises(AssertionError):
        check_load(sender, {0: Log([])})


def test_gaps_and_overlaps_fail() -> None:
    one, _, three = stored(b"1", b"2", b"3")
    with pytest.raises(AssertionError, match="gap"):
        Log([one, three])
    with pytest.raises(AssertionError, match="gap"):
        Log([one, one])


def test_other_bytes_and_a_shorter_log_fail() -> None:
    snapshots = Snapshots()
    snapshots.take({0: Log(stored(b"1", b"2"))})
    snapshots.check({0: Log(stored(b"1", b"2", b"3"))})
    for values in ((b"1",), (b"1", b"x"), (b"x", b"2", b"3")):
        with pytest.raises(AssertionError):
            snapshots.check({0: Log(stored(*values))})
