"""The rules of the log, one name each. The model keeps them all; every one can be broken alone."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Rule(Enum):
    """What is promised. The comment of a group says who has to keep it."""

    # The store.
    BLOCKS_CREATED = "a block is created, never written over what is in its slot"
    COMPLETION_CREATED = "a footer that completes a segment is created, as any block is"
    FENCE_CREATED = "a fence is created, as any block is"
    MANIFEST_CREATED = "a manifest is created under the number after the one it was made from"

    # A writer.
    ACK_WHEN_DURABLE = "an entry is acknowledged when its block is durable, not when it is sent"
    CONFIRM_IN_ORDER = "a block is confirmed when it and all before it are durable"
    RECOGNISE_OWN = "a slot with one's own block in it is a success"
    RECOGNISE_STRANGER = "a slot with another's block in it is none"
    STEP_DOWN = "who meets another's block in a slot never writes again"
    FOOTER_FIRST = "a segment begins when the footer of the one before is durable"

    # Whoever opens a log.
    FENCE_AT_FIRST_GAP = "the fence goes to the first free slot, not behind the last block"
    REPLAY_WHO_WON = "a block that took the slot before the fence did is replayed"
    OWN_FENCE = "opening is over when a fence of one's own is created, even after a footer"
    HIGHER_TERM = "the term of an owner is higher than any it found"
    FOOTER_AGREES = "a footer that is met must tell the history that was replayed"
    LOOK_AGAIN = "a fence counts only at the end of the log: behind it, one looks again"
    GONE_IS_NO_DAMAGE = "what is missing because it was compacted means being overtaken"
    FOLLOW_NEWEST = "the history joins the manifest that was read behind the fence"

    # Compaction and deletion.
    COMPACT_FINISHED = "only finished segments are compacted"
    KEEP_NEWEST_FINISHED = "the newest finished segment is not compacted: its footer starts the log"
    COMPACT_ALIVE = "entries from the log's start on are copied"
    WRITE_THEN_COMMIT = "sealed segments are written before the manifest that names them"
    COMMIT_THEN_DELETE = "segments are deleted after the manifest that covers them is committed"
    RECOGNISE_COMMIT = "a manifest of one's own in the slot is a success"
    LOOK_BEHIND = "who finds later manifests leaves its output alone: they may name it"
    NONCE_IN_NAME = "names of sealed segments are never used twice"
    DELETE_FROM_NEWEST = "what to delete is read from the newest manifest alone"
    MANIFEST_STILL_KEPT = "a manifest that was read counts if its number cannot be used twice"
    GARBAGE_UNTIL_GONE = "a garbage row is dropped when what it names is gone"
    KEEP_FENCES = "a fence stays in its slot while a writer from before it may live"
    SWEEP_ORPHANS = "outputs that no manifest names are swept: their writer may have died"
    SWEEP_DECIDED = "but only those for a number that is decided"


class Bounds(NamedTuple):
    """How far a run goes. The names of `writers` are one letter each."""

    writers: str = "ab"
    blocks_max: int = 4
    in_flight_max: int = 2
    compactors: str = ""
    collectors: str = ""
    commits_max: int = 0
    manifests_kept: int = 1
    late_max: int = 0
    """Messages that arrive, first or again, where something was deleted before."""
    late: tuple[str, ...] = ("logs", "manifests")
    """What such messages may be about."""
    delete_from_both_ends: bool = True
    """Of all garbage, what is deleted next: the first or the last, else only the first."""
    crashes_max: int = 0
    truncations_max: int = 0
    prelude: tuple[str, ...] = ()
    """Steps taken before the exploration begins, to bring it to where it is interesting."""
