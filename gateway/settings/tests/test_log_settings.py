import dataclasses
import math
from typing import Any

import pytest

from gateway.settings.config import LATE_READ_BYTES_MAX, Config, Mode
from gateway.settings.log_settings import FLUSH_PRESETS, cloud_settings, log_config
from gateway.settings.options import OPTIONS
from gateway.settings.values import parse_count, parse_size
from wal_core import CloudSettings, LogConfig

# What a log of the gateway has that one by itself has not, each with its owner and reason.
OF_THE_GATEWAY = {
    "unconfirmed_bytes_max",  # follows from what may be read of requests
    "free_bytes_min",  # a library fills the disk that it is given, a broker leaves room
    "reserve_bytes",  # likewise
    "writes_burst_count",  # goes with flush_preset, and binds only where a rate does
}


@pytest.mark.parametrize("mode", ["file", "object"])
def test_no_default_is_said_twice_with_two_meanings(mode: Mode) -> None:
    ours, alone = log_config(Config(mode=mode)), LogConfig.preset(mode)
    differing = {
        field.name
        for field in dataclasses.fields(LogConfig)
        if getattr(ours, field.name) != getattr(alone, field.name)
    }
    assert differing == OF_THE_GATEWAY


def test_a_bucket_is_reached_the_same_way_by_default() -> None:
    assert cloud_settings(Config(data="s3://bucket")) == CloudSettings()
    assert log_config(Config()).store_timeout_ms == CloudSettings().timeout_ms


def test_what_the_mode_decides_is_told_as_it_is() -> None:
    """Help and documents name defaults that wal_core has."""
    parsers: dict[str, Any] = {
        "block_bytes_max": parse_size,
        "flushes_in_flight_max_count": parse_count,
    }
    for option in OPTIONS:
        if option.key in parsers:
            of_file, of_object = option.default.split(" in file mode, ")
            told = (of_file, of_object.removesuffix(" in object mode"))
            read = tuple(parsers[option.key](text) for text in told)
            assert read == tuple(
                getattr(LogConfig.preset(mode), option.key) for mode in ("file", "object")
            )
            del parsers[option.key]
    assert not parsers


def test_a_block_is_no_larger_than_its_segment() -> None:
    assert log_config(Config(segment_bytes_max=1 << 20)).block_bytes_max == 1 << 20
    both = Config(segment_bytes_max=1 << 20, block_bytes_max=1 << 16)
    assert log_config(both).block_bytes_max == 1 << 16


def test_the_mode_of_what_is_stored_counts_where_nobody_said_one() -> None:
    config = Config(data="./data", block_bytes_max=1 << 20)
    seen, stored = log_config(config, "object"), LogConfig.preset("object")
    assert seen.flushes_in_flight_max_count == stored.flushes_in_flight_max_count
    assert (seen.gather_ms, seen.block_bytes_max) == (stored.gather_ms, 1 << 20)


def test_what_may_be_read_may_be_appended() -> None:
    config = Config(connections_max_count=10)
    assert log_config(config).unconfirmed_bytes_max == (
        config.buffered_bytes_max + 2 * config.request_bytes_max + 10 * LATE_READ_BYTES_MAX
    )


def test_every_preset_can_be_set() -> None:
    for name in FLUSH_PRESETS:
        Config(flush_preset=name)  # type: ignore[arg-type]


def test_only_a_bucket_limits_writes_unless_asked_to() -> None:
    for config, per_s_max in (
        (Config(), None),
        (Config(data="memory:"), None),
        (Config(mode="object"), None),
        (Config(mode="object", writes_per_s_max_count=9), 9),
        (Config(data="s3://bucket"), 200),
        (Config(data="s3://bucket", flush_preset="cost"), 4),
        (Config(data="s3://bucket", flush_preset="cost", writes_per_s_max_count=50), 50),
    ):
        assert log_config(config).writes_per_s_max == per_s_max


def test_how_a_bucket_is_reached_is_passed_on() -> None:
    plain = cloud_settings(Config(data="s3://bucket"))
    assert (plain.endpoint, plain.region, plain.path_style) == (None, None, True)
    config = Config(
        data="s3://b",
        s3_endpoint="http://h:1",
        s3_region="r",
        s3_path_style=False,
        store_timeout_ms=500,
    )
    expected = CloudSettings(endpoint="http://h:1", region="r", path_style=False, timeout_ms=500)
    assert cloud_settings(config) == expected


def test_what_the_modes_change_in_the_log() -> None:
    disk, bucket = log_config(Config()), log_config(Config(data="memory:"))
    assert disk.gather_ms == math.inf
    assert bucket.gather_ms == 5
    assert disk.unconfirmed_bytes_max > Config().buffered_bytes_max
