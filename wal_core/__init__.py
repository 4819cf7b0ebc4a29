"""Log streams over a store: one fenced writer, entries of many streams in durable blocks.

Knows streams, entries, blocks and segments; has never heard of Kafka. Bytes: FORMAT.md. Other
layers use the names below and nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from wal_core.budgets import Budgets
from wal_core.clock import Clock, Rng, SteadyClock, SystemClock, SystemRng
from wal_core.config import CloudSettings, LogConfig, Mode, is_cloud
from wal_core.errors import (
    Corrupt,
    Fenced,
    Invalid,
    NoRoom,
    Resigned,
    Truncated,
    Unavailable,
    WalError,
)
from wal_core.format.block import KnownCrc
from wal_core.format.checkpoint import CHECKPOINT_STREAM_ID
from wal_core.format.compiled import compiled_parts
from wal_core.format.versions import Format, version_in
from wal_core.log import Log
from wal_core.quorum.members import Candidate, Logstores
from wal_core.read.follower import Follower, FollowerPosition
from wal_core.stores.objects.memory import MemoryStore
from wal_core.stores.off_loop import Lane, close_lanes
from wal_core.stores.opening import examine_bucket, open_store, open_to_look, stored_mode
from wal_core.stores.segments.base import SegmentStore
from wal_core.stores.sharing import SHARING
from wal_core.tally import (
    DURATION_BOUNDS_S,
    Histogram,
    LogTally,
    ReadTally,
    Requests,
    StoreTally,
    Written,
)
from wal_core.types import Changes, Entry, LogState, Payloads, Region

if TYPE_CHECKING:
    from wal_core.copy import CopyReport, copy_log, open_to_copy
    from wal_core.fsck import (
        Finding,
        FindingKind,
        LogReport,
        Records,
        check_log,
        stored_log_ids,
    )
    from wal_core.logstore.remote import Dial, RemoteReplica, dial
    from wal_core.logstore.serving import ServedLogstore
    from wal_core.quorum.opening import open_quorum_store
    from wal_core.repair import (
        CutLog,
        GivenUp,
        GivenUpTail,
        Repaired,
        cut_log,
        give_up_tail,
        repair_log,
    )

__all__ = [
    "CHECKPOINT_STREAM_ID",
    "DURATION_BOUNDS_S",
    "SHARING",
    "Budgets",
    "Candidate",
    "Changes",
    "Clock",
    "CloudSettings",
    "CopyReport",
    "Corrupt",
    "CutLog",
    "Dial",
    "Entry",
    "Fenced",
    "Finding",
    "FindingKind",
    "Follower",
    "FollowerPosition",
    "Format",
    "GivenUp",
    "GivenUpTail",
    "Histogram",
    "Invalid",
    "KnownCrc",
    "Lane",
    "Log",
    "LogConfig",
    "LogReport",
    "LogState",
    "LogTally",
    "Logstores",
    "MemoryStore",
    "Mode",
    "NoRoom",
    "Payloads",
    "ReadTally",
    "Records",
    "Region",
    "RemoteReplica",
    "Repaired",
    "Requests",
    "Resigned",
    "Rng",
    "SegmentStore",
    "ServedLogstore",
    "SteadyClock",
    "StoreTally",
    "SystemClock",
    "SystemRng",
    "Truncated",
    "Unavailable",
    "WalError",
    "Written",
    "check_log",
    "close_lanes",
    "compiled_parts",
    "copy_log",
    "cut_log",
    "dial",
    "examine_bucket",
    "give_up_tail",
    "is_cloud",
    "open_quorum_store",
    "open_store",
    "open_to_copy",
    "open_to_look",
    "repair_log",
    "stored_log_ids",
    "stored_mode",
    "version_in",
]

_LATER = {
    "wal_core.copy": ("CopyReport", "copy_log", "open_to_copy"),
    "wal_core.fsck": (
        "Finding",
        "FindingKind",
        "LogReport",
        "Records",
        "check_log",
        "stored_log_ids",
    ),
    "wal_core.logstore.remote": ("Dial", "RemoteReplica", "dial"),
    "wal_core.logstore.serving": ("ServedLogstore",),
    "wal_core.quorum.opening": ("open_quorum_store",),
    "wal_core.repair": (
        "CutLog",
        "GivenUp",
        "GivenUpTail",
        "Repaired",
        "cut_log",
        "give_up_tail",
        "repair_log",
    ),
}
"""What single commands and modes need. A broker would be a fifth longer in starting with it."""


def __getattr__(name: str) -> object:
    for module, names in _LATER.items():
        if name in names:
            value: object = getattr(import_module(module), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
