"""Only plain bytes in a row may be stored as they lie there."""

from __future__ import annotations

from array import array

import pytest

from wal_core.write.entry_checks import is_flat


@pytest.mark.parametrize("payload", [b"x", b"", memoryview(b"abc"), memoryview(bytearray(3))[1:]])
def test_bytes_and_views_of_bytes_are_taken(payload: object):
    assert is_flat(payload)


@pytest.mark.parametrize(
    "payload",
    [
        bytearray(b"x"),  # whose owner may change its size
        memoryview(b"abcdef")[::2],  # with gaps
        memoryview(array("I", [1, 2])),  # no bytes
        memoryview(b"abcd").cast("B", (2, 2)),
        "text",
        None,
    ],
)
def test_all_else_is_not(payload: object):
    assert not is_flat(payload)
