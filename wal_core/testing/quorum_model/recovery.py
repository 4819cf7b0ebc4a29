"""What whoever opens a log makes of the replies to its promises."""

from __future__ import annotations

from collections.abc import Sequence

from wal_core.testing.quorum_model.rules import ACKS, COVERAGE, REPLICAS, Rule
from wal_core.testing.quorum_model.values import NO_FINAL, NOTHING, Entries, Final, Segment


def promises_min(broken: frozenset[Rule]) -> int:
    return 1 if Rule.TWO_PROMISES in broken else COVERAGE


def finals_min(broken: frozenset[Rule]) -> int:
    return 1 if Rule.FINAL_AT_TWO in broken else ACKS


def decide(
    replies: Sequence[Segment], broken: frozenset[Rule]
) -> tuple[Final, int, Entries] | None:
    """The final that was seen or NO_FINAL, the end, and the blocks before it; None for who is
    left with too few replies to decide."""
    blocks = max((reply.blocks for reply in replies), key=len)
    finals = [reply.final for reply in replies if reply.final != NO_FINAL]
    if finals and Rule.FINAL_AGAIN not in broken:
        seen = min(finals) if Rule.HIGHEST_FINAL in broken else max(finals)
        return seen, seen.end, blocks[: seen.end]
    counted = list(replies)
    if Rule.NOTHING_IS_ZERO in broken and blocks:
        counted = [reply for reply in replies if reply != NOTHING]
    ends = sorted(len(reply.blocks) for reply in counted)
    if len(ends) < promises_min(broken):
        return None
    at = min(REPLICAS - ACKS, len(ends) - 1)
    if Rule.END_OF_ALL in broken:
        at = len(ends) - COVERAGE
    return NO_FINAL, ends[at], blocks[: ends[at]]
