"""Errors name the place as far as it is known, and say whether the same call may succeed later."""

from __future__ import annotations

import pytest

from wal_core.errors import Corrupt, Fenced, Invalid, NoRoom, Truncated, Unavailable, WalError


def test_the_place_is_in_the_text_as_far_as_it_is_known():
    assert str(Corrupt("cut")) == "cut"
    assert str(Corrupt("cut", log_id=0, segment=3)) == "cut (log 0, segment 3)"
    error = Corrupt("cut", log_id=1, segment=2, block=0)
    assert str(error) == "cut (log 1, segment 2, block 0)"
    assert error.message == "cut"


@pytest.mark.parametrize(
    ("kind", "retriable"),
    [
        (Fenced, False),
        (Unavailable, True),
        (NoRoom, True),
        (Truncated, False),
        (Corrupt, False),
        (Invalid, False),
    ],
)
def test_only_what_may_pass_is_tried_again(kind: type[WalError], retriable: bool):
    assert kind("x").retriable is retriable
