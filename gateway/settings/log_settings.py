"""What a log and its store are to be like, as the settings have it.

The one way from a Config to the settings of wal_core: whoever opens, checks, copies or simulates a
log comes by here, so all of them see what the broker sees. What is no setting stays as wal_core has
it, and so does what a Config leaves to the mode.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

from gateway.settings.config import LATE_READ_BYTES_MAX, Config
from wal_core import CloudSettings, LogConfig, Mode


class WriteRate(NamedTuple):
    """A token bucket over writes that somebody bills."""

    writes_per_s_max: float
    burst_count: int


FLUSH_PRESETS = {
    # S3 takes 5 dollars for a million PUTs, and a month has 2.6 million seconds. A log that is
    # never idle costs at most that often: latency 518 M PUTs a month (2,592 dollars), one PUT per
    # 5 ms; cost 10.4 M (52 dollars), one per 250 ms after a burst. Full blocks go besides (they
    # are as cheap per byte as it gets: 100 MiB/s in blocks of 8 MiB are 162 dollars a month), and
    # an idle log costs nothing.
    "latency": WriteRate(200, 200),
    "cost": WriteRate(4, 8),
}
_PIECES_IN_SEGMENT_COUNT = 64
"""What a footer repeats, less than a piece, must be little beside its segment."""


def cloud_settings(config: Config) -> CloudSettings:
    """How to reach a bucket."""
    return CloudSettings(
        endpoint=config.s3_endpoint or None,
        region=config.s3_region or None,
        path_style=config.s3_path_style,
        gs_endpoint=config.gs_endpoint or None,
        az_endpoint=config.az_endpoint or None,
        az_account=config.az_account or None,
        timeout_ms=config.store_timeout_ms,
    )


def log_config(config: Config, mode: Mode | None = None) -> LogConfig:
    """The log's part; `mode` is that of data that are there, where nobody said one."""
    mode = mode or config.mode
    preset = LogConfig.preset(mode)
    # Writes to a folder, to memory or to logstores cost nothing: limited only on request.
    rate = FLUSH_PRESETS[config.flush_preset]
    per_s_max: float | None = config.writes_per_s_max_count or None
    if per_s_max is None and config.in_bucket and mode == "object":
        per_s_max = rate.writes_per_s_max
    return dataclasses.replace(
        preset,
        # A block is no larger than its segment, whoever said how large that is.
        block_bytes_max=config.block_bytes_max
        or min(preset.block_bytes_max, config.segment_bytes_max),
        gather_ms=config.gather_ms if mode == "object" else math.inf,
        flushes_in_flight_max_count=config.flushes_in_flight_max_count
        or preset.flushes_in_flight_max_count,
        writes_per_s_max=per_s_max,
        writes_burst_count=rate.burst_count,
        segment_bytes_max=config.segment_bytes_max,
        segment_age_max_ms=config.upload_after_ms
        if mode == "quorum"
        else preset.segment_age_max_ms,
        checkpoint_piece_bytes=min(
            preset.checkpoint_piece_bytes, config.segment_bytes_max // _PIECES_IN_SEGMENT_COUNT
        ),
        # Whatever is read may be appended: senders are slowed down by the budget for requests,
        # never refused here. Past that budget may come the frame that crosses it, the one that is
        # finished next, and a little of every connection.
        unconfirmed_bytes_max=config.buffered_bytes_max
        + 2 * config.request_bytes_max
        + config.connections_max_count * LATE_READ_BYTES_MAX,
        free_bytes_min=config.disk_free_bytes_min,
        reserve_bytes=config.disk_reserve_bytes,
        tail_bytes_max=config.tail_cache_bytes,
        block_cache_bytes_max=config.block_cache_bytes,
        garbage_grace_ms=config.garbage_grace_ms,
        fence_grace_ms=config.fence_grace_ms,
        dead_check_ms=config.dead_check_ms,
        store_timeout_ms=config.store_timeout_ms,
    )
