"""The rules of quorum mode, a name each. The model keeps all; each can be broken alone."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

REPLICAS, ACKS = 3, 2
"""Every block goes to three logstores and is confirmed when two have it."""

COVERAGE = REPLICAS - ACKS + 1
"""So many replies meet every two logstores that may have confirmed something."""


class Rule(Enum):
    """What is promised. The comment of a group says who has to keep it."""

    # A logstore.
    UNKNOWN_IS_SILENT = "who does not know a log gives no reply, never an empty one"
    BIRTH = "who lost a log and joins again is another, whom no older ensemble names"
    PROMISE_ABOVE = "a promise is given for a higher term, or once more to the same opener"
    PROMISE_TELLS = "promise and tail are one act"
    APPEND_PROMISED = "a block is taken from the one who was promised last, and nobody else"
    APPEND_DENSE = "a block is taken behind the one before it, and not over a gap"
    APPEND_DESPITE_FINAL = "a final that was not chosen does not keep out what recovery copies"
    FINAL_PROMISED = "a final is taken from the one who was promised last, and nobody else"
    PROMISE_STORED = "a promise is on the disk before its reply"
    BLOCK_STORED = "a block is on the disk before its reply"
    FINAL_STORED = "a final is on the disk before its reply"
    FINAL_WITH_DATA = "a final is taken by who has all blocks before it"

    # A writer.
    CONFIRM_AT_TWO = "a block is confirmed when two logstores have it and all before it"
    ROLL_WHEN_CHOSEN = "a segment begins when the final of the one before is chosen"
    JOIN_FIRST = "a newcomer has joined before a final names it"
    FINAL_NAMES_NEXT = "a final names the ensemble of the next segment"
    READ_CONFIRMED = "readers see what is confirmed, not all that a logstore has"
    FINAL_IS_NOT_CONFIRMED = "a final that one logstore has does not confirm what is before it"

    # Whoever opens a log.
    TWO_PROMISES = "nothing is decided before two of three have promised"
    FINAL_AT_TWO = "a final is chosen when two logstores have it"
    END_OF_ALL = "the end is the second lowest of the ends, however many replies there are"
    NOTHING_IS_ZERO = "who promised and lacks the segment counts, with the end 0"
    FINAL_AGAIN = "a final that was seen is proposed again: what it dropped stays dropped"
    HIGHEST_FINAL = "of several finals that were seen, the one of the highest term"
    CHOOSE_AGAIN = "a final that was seen counts when it is chosen under one's own term"
    END_IS_FINAL = "what recovery decides is chosen as a final before the log is open"
    OWN_FENCE = "opening is over when a fence of one's own is chosen, even after a final"
    MANIFEST_LAST = (
        "then a manifest tells its term, behind which no lower one comes; then it serves"
    )
    BEGIN_AGAIN = "the pointer has not moved since it began: what it took for missing was trimmed"

    # Upload.
    UPLOAD_CONFIRMED = "only what is confirmed is uploaded"
    UPLOAD_COMPARE = "an object that is there counts for what it holds, not for what was to be put"
    FOOTER_WHEN_CHOSEN = "a footer is uploaded when its final is chosen"
    POINTER_WHEN_UPLOADED = "the pointer passes a segment when the bucket has all of it"
    POINTER_NAMES_ENSEMBLE = "with the pointer goes the ensemble of the segment it points to"
    TRIM_BEHIND_POINTER = "logstores forget a segment when the pointer has passed it"


class Bounds(NamedTuple):
    """How far a run goes."""

    terms: tuple[int, ...] = (1, 2)
    """Of writers a, b, c: whoever is refused and tries again is the next one."""
    owned: bool = True
    """It begins when a has opened the log and all have promised, else with nobody."""
    blocks_max: int = 2
    rolls_max: int = 0
    spares_count: int = 0
    """Logstores that never knew the log: new ones, and lost ones that came back under a new id."""
    changes_max: int = 0
    """Ensembles made, each with one newcomer."""
    lost_max: int = 0
    """Disks that lose everything. One is what quorum mode survives."""
    uploads: bool = False
    """Segments are uploaded, the pointer moves past them, and logstores forget them."""
    prelude: tuple[str, ...] = ()
    """Steps taken before the exploration begins, to bring it to where it is interesting."""
