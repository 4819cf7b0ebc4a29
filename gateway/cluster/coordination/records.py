"""Keys and values in the coordination store (COORDINATION.md): who is alive, who owns what.

Values are JSON with a version. Fields may be added with a default; a reader passes over those it
does not know, and takes a record that it cannot read for absent, never for an error of all.
"""

from __future__ import annotations

import msgspec

VERSION = 1


class UnreadableRecord(ValueError):
    """A key or value that is none of ours, or of a version that this release does not know."""


class NodeRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """A node that is alive: under its lease."""

    node_id: int
    incarnation: str
    host: str
    port: int
    version: int = VERSION
    rack: str | None = None
    weight: int = 1
    standing: str = "open"
    logs_count: int = 0
    """Of data logs that the node was told to spread partitions over; 0: an earlier release."""
    unable: tuple[int, ...] = ()
    """Logs that it has tried to open in vain."""
    started_ms: int = 0
    """By its clock; 0: an earlier release."""


class LogstoreRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """A logstore that is alive: under its lease. It belongs to no cluster until one has a log kept
    there, so it lies beside them."""

    disk: str  # 32 hex digits
    host: str
    port: int
    version: int = VERSION
    rack: str | None = None
    cluster: str = ""
    held_bytes: int = 0
    bytes_max: int = 0
    logs_count: int = 0
    is_full: bool = False


RELEASED, FENCED, FAILED = "released", "fenced", "failed"
"""How an owner's tenure can end. A word that a reader does not know is an end like `failed`."""


class OwnerRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """Who has opened a log, and under which term; not under a lease: it outlives its owner."""

    log: int
    node_id: int
    incarnation: str
    term: int
    version: int = VERSION
    ended: str | None = None
    next_node_id: int | None = None
    since_ms: int = 0
    fenced_node_id: int | None = None
    address: str = ""
    fenced_address: str = ""


def taken(
    log: int, me: NodeRecord, term: int, before: OwnerRecord | None, now_ms: int
) -> OwnerRecord:
    """What a new owner writes. Who has not let go of the log has been fenced, dead or alive."""
    fenced = before if before is not None and before.ended is None else None
    return OwnerRecord(
        log,
        me.node_id,
        me.incarnation,
        term,
        since_ms=now_ms,
        fenced_node_id=fenced.node_id if fenced else None,
        address=f"{me.host}:{me.port}",
        fenced_address=fenced.address if fenced else "",
    )


class ClaimRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """Who is about to open a log; under the claimer's lease."""

    log: int
    node_id: int
    incarnation: str
    version: int = VERSION


class StandingOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """What somebody wants of a node, alive or not, until it is taken back."""

    node_id: int
    standing: str
    version: int = VERSION


class MoveOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """Where somebody wants a log; its owner takes the order away once it is done, or cannot be."""

    log: int
    node_id: int
    version: int = VERSION


class PauseOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """While it is there, no log moves that need not."""

    version: int = VERSION


class NewsRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """How many entries of a log can be read by now, for those who follow it: a hint."""

    log: int
    end: int
    version: int = VERSION


Record = (
    NodeRecord
    | LogstoreRecord
    | OwnerRecord
    | ClaimRecord
    | StandingOrder
    | MoveOrder
    | PauseOrder
    | NewsRecord
)
_FOLDERS: dict[str, type[Record]] = {
    "nodes": NodeRecord,
    "logstores": LogstoreRecord,
    "owners": OwnerRecord,
    "claims": ClaimRecord,
    "standings": StandingOrder,
    "moves": MoveOrder,
    "pause": PauseOrder,
    "news": NewsRecord,
}
_FOLDER_OF = {kind: folder for folder, kind in _FOLDERS.items()}


def root(prefix: str, cluster_id: str) -> str:
    """What all keys of a cluster begin with."""
    return f"{prefix}/{cluster_id}/"


def logstores_root(prefix: str) -> str:
    """What the keys of all logstores begin with, but for their folder."""
    return f"{prefix}/"


def key_of(root: str, record: Record) -> str:
    """Where a record lies."""
    folder = f"{root}{_FOLDER_OF[type(record)]}"
    if isinstance(record, PauseOrder):
        return folder
    if isinstance(record, NodeRecord | StandingOrder):
        return f"{folder}/{record.node_id}"
    if isinstance(record, LogstoreRecord):
        return f"{folder}/{record.disk}"
    return f"{folder}/{record.log}"


def encode(record: Record) -> bytes:
    """Its value."""
    return msgspec.json.encode(record)


def decode(root: str, key: str, value: bytes) -> Record:
    """What a key and its value say. Raises UnreadableRecord, which names the key."""
    folder = key.removeprefix(root).partition("/")[0]
    if not key.startswith(root) or folder not in _FOLDERS:
        raise UnreadableRecord(f"{key} is no key of {root}")
    try:
        record = msgspec.json.decode(value, type=_FOLDERS[folder])
    except msgspec.MsgspecError as error:
        raise UnreadableRecord(f"value of {key}: {error}") from error
    if record.version != VERSION:
        raise UnreadableRecord(f"value of {key} has version {record.version}, not {VERSION}")
    if key_of(root, record) != key:
        raise UnreadableRecord(f"value of {key} belongs to {key_of(root, record)}")
    return record
