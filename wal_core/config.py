"""Settings of one log. Values are data; components (store, clock, rng) are arguments."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from wal_core.errors import Invalid

Mode = Literal["file", "object", "quorum"]

KIB = 1024
MIB = 1024 * KIB
STORE_TIMEOUT_MS = 10_000
UPLOAD_AFTER_MS = 10_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """Every bound of a log in one place; `LogConfig.preset(mode)` gives the mode's defaults."""

    log_id: int = 0

    # Flush policy (see flush_policy.py).
    block_bytes_max: int = 4 * MIB
    """A block is closed before it grows past this; one larger entry gets a block of its own.
    Larger: fewer, longer writes and more memory per flush."""
    gather_bytes: int = 256 * KIB
    """While a flush is in flight, the next one starts once this much has gathered."""
    gather_ms: float = math.inf
    """While a flush is in flight, the next one starts once its first entry is this old.
    Infinite: wait for the flush in flight (group commit), which is right for a disk."""
    flushes_in_flight_max_count: int = 8
    writes_per_s_max: float | None = None
    """Token bucket over block writes, to bound the bill of an object store. None: no limit."""
    writes_burst_count: int = 10

    # Segments: the unit of recovery (a restart replays at most one) and of compaction.
    segment_bytes_max: int = 256 * MIB
    segment_blocks_max: int = 4_096
    """Blocks of one record each cost their readers most: more of them are gathered at once."""
    segment_age_max_ms: int = 3_600_000
    """A segment is completed at this age, so that what retention removes from it can go."""

    # Compaction (see compaction_plan.py).
    seal_segments_min_count: int = 4
    seal_segments_max_count: int = 8
    """So many completed segments become one sealed segment."""
    small_block_bytes: int = 16 * KIB
    """A completed segment whose blocks are smaller than this on average is written anew even where
    its blocks lie side by side already. Larger: more is written twice."""
    seal_blocks_min_count: int = 1_000
    """A completed segment of so many small blocks does not wait for others."""
    merge_count: int = 8
    """So many neighbouring sealed segments of one level become one of the next. Larger: fewer
    rounds, more indexes to search."""
    index_bytes_max: int = 4 * MIB
    """A sealed segment stops growing here: a reader holds whole indexes in memory."""
    sealed_block_bytes_max: int = 2 * MIB
    """Larger: fewer reads by a catch-up reader, more that a short read fetches in vain."""
    sealed_object_bytes_max: int = 32 * MIB
    seal_buffer_bytes_max: int = 32 * MIB
    """Both are memory while a compaction runs; larger: longer runs of one stream."""
    reference_bytes_min: int = 512 * KIB
    """A block of one stream this large stays where it is."""
    dead_check_ms: int = 60_000
    """After a truncation or drop: how soon, at most, what died is looked for again."""

    # Deletion of what no manifest names any more.
    garbage_grace_ms: int = 600_000
    """Longer than any read takes that began before."""
    fence_grace_ms: int = 7 * 86_400_000
    """For as long a fence goes on stopping an earlier writer that was paused: longer than any
    conceivable pause."""

    # Room, where that is limited (see room.py).
    free_bytes_min: int = 0
    """Clients may add to the log as long as this would be left on the disk. 0: until it is full."""
    reserve_bytes: int = 0
    """Set aside in a file, and given up once the disk is full all the same. 0: none."""
    checkpoint_piece_bytes: int = 32 * KIB
    """So much of what rides on the log changes before it is written down among the entries; what
    has changed since is in each footer. Encoded in one step of the loop: 32 KiB of topics take
    2 ms. Larger: fewer reads at a start, longer steps, larger footers."""

    # Memory. Logs that are opened with the same Budgets have these, and writes_per_s_max, together.
    unconfirmed_bytes_max: int = 256 * MIB
    """`append` raises Unavailable rather than hold more than this that is not yet durable."""
    tail_bytes_max: int = 64 * MIB
    """Recently confirmed entries kept for readers at the end of the log."""
    block_cache_bytes_max: int = 64 * MIB
    catch_up_bytes_max: int = 32 * MIB
    """Blocks being read from the store at once, by all readers that catch up together. Larger: more
    throughput where the store is far away; smaller: less memory, and less taken from writers."""
    table_cache_bytes_max: int = 16 * MIB
    """Footers and indexes of finished segments."""

    # Patience.
    store_timeout_ms: int = STORE_TIMEOUT_MS
    """Deadline of one attempt at the store; then the same block is tried again."""
    retry_first_ms: int = 20
    retry_max_ms: int = 5_000
    close_timeout_ms: int = 30_000
    """How long `close` waits for the store before it gives up draining."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name in _MAY_BE_ZERO else 1
            if value is not None and not value >= least:
                raise Invalid(f"{field.name} must be at least {least}, not {value!r}")
        if self.block_bytes_max > 1 << 30:
            raise Invalid("block_bytes_max must not exceed 1 GiB (positions are 32 bits)")

    @classmethod
    def preset(cls, mode: Mode) -> LogConfig:
        """Defaults for where the tail becomes durable: a disk wants group commit, a bucket
        (5 to 300 ms a write, paid by the write) wants several larger writes at once."""
        if mode == "file":
            return cls()
        if mode == "quorum":
            # Finished segments are uploaded at once: so far the bucket is behind.
            return cls(segment_age_max_ms=UPLOAD_AFTER_MS)
        return cls(
            block_bytes_max=8 * MIB,
            gather_bytes=8 * MIB,
            gather_ms=5,
            # Writes begun gather_ms apart must outlast the latency of a slow store (64 x 5 ms =
            # 320 ms), or what comes after the last one waits for the first.
            flushes_in_flight_max_count=64,
            segment_blocks_max=256,
        )


_MAY_BE_ZERO = frozenset(
    {
        "log_id",
        "free_bytes_min",
        "reserve_bytes",
        "gather_ms",
        "gather_bytes",
        "tail_bytes_max",
        "block_cache_bytes_max",
        "table_cache_bytes_max",
        "dead_check_ms",
        "garbage_grace_ms",
        "fence_grace_ms",
        "reference_bytes_min",
        "seal_buffer_bytes_max",
        "retry_first_ms",
        "retry_max_ms",
        "writes_per_s_max",
    }
)


CLOUD_SCHEMES = ("s3", "gs", "az")


def is_cloud(location: str) -> bool:
    """Whether a location names a bucket."""
    scheme, mark, _ = location.partition("://")
    return bool(mark) and scheme.lower() in CLOUD_SCHEMES


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CloudSettings:
    """How to reach a bucket. None: the environment and the profile say it, or the provider's own.

    Keys are no settings: they come from the environment, a profile or the machine's role.
    """

    endpoint: str | None = None  # S3 only: http://HOST:PORT or https://HOST
    region: str | None = None  # S3 only
    path_style: bool = True  # S3 only: False puts the bucket's name into the host name
    gs_endpoint: str | None = None  # Google Cloud Storage: http://HOST:PORT or https://HOST
    az_endpoint: str | None = None  # Azure: with the account's name in host or path
    az_account: str | None = None  # Azure only: the storage account that the container is in
    timeout_ms: int = STORE_TIMEOUT_MS  # of one request
