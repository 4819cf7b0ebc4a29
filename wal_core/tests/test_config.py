"""Settings and their bounds."""

from __future__ import annotations

import dataclasses

import pytest

from wal_core import Invalid, LogConfig


def test_presets_are_valid_and_differ_where_the_stores_do():
    file, bucket = LogConfig.preset("file"), LogConfig.preset("object")
    assert file == LogConfig()
    assert file.gather_ms > 1e9
    assert bucket.flushes_in_flight_max_count > file.flushes_in_flight_max_count
    assert bucket.gather_ms == 5
    assert bucket.block_bytes_max > file.block_bytes_max


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(LogConfig)])
def test_a_negative_value_names_its_key(field):
    with pytest.raises(Invalid, match=field):
        LogConfig(**{field: -1})


def test_positions_stay_within_32_bits():
    with pytest.raises(Invalid, match="block_bytes_max"):
        LogConfig(block_bytes_max=(1 << 30) + 1)
