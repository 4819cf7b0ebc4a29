"""The flush policy and the token bucket."""

from __future__ import annotations

import pytest

from wal_core import LogConfig
from wal_core.write.flush_policy import should_flush

FILE, OBJECT = LogConfig.preset("file"), LogConfig.preset("object")


@pytest.mark.parametrize(
    ("config", "bytes_waiting", "age_ms", "in_flight", "expected"),
    [
        (FILE, 1, 0, 0, True),  # idle: at once
        (FILE, 1, 1e9, 1, False),  # group commit: no age starts a second one
        (FILE, FILE.gather_bytes, 0, 1, True),  # but enough bytes do
        (FILE, FILE.block_bytes_max, 0, 7, True),
        (FILE, FILE.block_bytes_max, 0, 8, False),  # as many are enough
        (OBJECT, 1, 0, 0, True),
        (OBJECT, 1, 4.9, 1, False),
        (OBJECT, 1, 5, 1, True),
        (OBJECT, 1, 5, 63, True),
        (OBJECT, 1, 5, 64, False),
        (OBJECT, OBJECT.block_bytes_max, 0, 1, True),
    ],
)
def test_should_flush(config, bytes_waiting, age_ms, in_flight, expected):
    assert should_flush(bytes_waiting, age_ms, in_flight, config) is expected
