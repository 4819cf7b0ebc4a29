"""What is explored, and which run shows that a rule is needed.

One run over everything would be far too large, so each looks at one part with all its orders of
steps: the tail; a takeover while segments are compacted; openers that were late; compactors that
race; a manifest's number that is used again. Most begin after a *prelude*, steps that lead to where
it becomes interesting.
"""

from __future__ import annotations

from wal_core.testing.log_model.rules import Bounds, Rule


def _opens(name: str, slot: str, number: int) -> tuple[str, ...]:
    return (
        f"{name}._read_manifest",
        f"{name}._segments",
        f"{name}._restore",
        f"{name}._recover_segment",
        f"logs {slot} = {name}'s fence arrives",
        f"{name}._fence {slot}: created",
        f"{name}._look_at_segments",
        f"{name}._look_at_manifest",
        f"manifests {number}/0 of term {number} arrives",
        f"{name}._commit {number}: created",
    )


def _appends(name: str, slot: str, entry: str) -> tuple[str, ...]:
    return (
        f"{name}.append {entry}",
        f"logs {slot} = {name}'s data arrives",
        f"{name}._flush {slot}: durable",
    )


def _finishes(name: str, slot: str) -> tuple[str, ...]:
    return (
        f"{name}._finish_segment",
        f"logs {slot} = {name}'s complete arrives",
        f"{name}._flush {slot}: durable",
    )


def _stands_before(name: str) -> tuple[str, ...]:
    """Has restored the newest footer, and will next look at the segment behind it."""
    return (f"{name}._read_manifest", f"{name}._segments", f"{name}._restore")


def _commits(name: str, number: int, nonce: int) -> tuple[str, ...]:
    return (
        f"{name}._read_manifest",
        f"{name}._plan",
        f"manifests {number}/0 of {nonce} arrives",
        f"{name}._commit {number}: created",
    )


_ONE_SEGMENT = (*_opens("a", "0/0", 1), *_appends("a", "1/0", "a0"), *_finishes("a", "1/1"))
_TWO_SEGMENTS = (*_ONE_SEGMENT, *_appends("a", "2/0", "a1"), *_finishes("a", "2/1"))

_TAKEOVER = Bounds(
    compactors="p",
    blocks_max=2,
    commits_max=1,
    manifests_kept=8,
    late_max=1,
    late=("logs",),
    prelude=_opens("a", "0/0", 1),
)

# b and c are about to read segment 1 when they pause. It is completed, d opens the log and writes
# nothing, segment 1 is compacted.
_STALE_OPENERS = Bounds(
    writers="abcd",
    compactors="p",
    blocks_max=1,
    commits_max=1,
    manifests_kept=8,
    late_max=1,
    late=("logs",),
    prelude=(
        *_opens("a", "0/0", 1),
        *_appends("a", "1/0", "a0"),
        *_stands_before("b"),
        *_stands_before("c"),
        *_finishes("a", "1/1"),
        *_opens("d", "2/0", 2),
        *_commits("p", 3, 1),
    ),
)

# Two compactors, and a writer that has moved the log's start and may finish its segment: plans made
# before and after differ, and what the first one copies is dead for the second.
_MANIFESTS = Bounds(
    writers="a",
    compactors="pq",
    blocks_max=3,
    commits_max=2,
    truncations_max=1,
    manifests_kept=8,
    late=("manifests",),
    delete_from_both_ends=False,
    prelude=(*_TWO_SEGMENTS, *_appends("a", "3/0", "a2!")),
)

# q has read manifest 1, p's manifest 2 is there and p does not know, g has listed
# it, and all three pause. r commits manifest 3, number 2 is deleted, and free again.
_REUSED_NUMBER = Bounds(
    writers="a",
    compactors="pqr",
    collectors="g",
    blocks_max=4,
    commits_max=2,
    late_max=1,
    late=("manifests",),
    delete_from_both_ends=False,
    prelude=(
        *_TWO_SEGMENTS,
        "q._read_manifest",
        *_commits("p", 2, 1)[:-1],
        "g lists the manifests",
        *_appends("a", "3/0", "a2"),
        *_finishes("a", "3/1"),
        *_commits("r", 3, 21),
        *_appends("a", "4/0", "a3"),
        "_delete_old_manifest 1",
        "_delete_old_manifest 2",
    ),
)

RUNS = {
    "tail": Bounds(),
    "tail of three writers": Bounds(writers="abc", blocks_max=2),
    "takeover": _TAKEOVER._replace(late_max=0),
    "stale openers": _STALE_OPENERS,
    "manifests": _MANIFESTS,
    "reused number": _REUSED_NUMBER,
}
"""Seconds each; `make check` runs them all."""

LONG_RUNS = {
    "tail, 6 blocks": Bounds(blocks_max=6),
    "tail of three writers, 3 blocks": Bounds(writers="abc", blocks_max=3),
    "takeover, a late message": _TAKEOVER,
    "takeover, 3 blocks": _TAKEOVER._replace(
        blocks_max=3, late_max=0, prelude=(*_opens("a", "0/0", 1), *_appends("a", "1/0", "a0"))
    ),
    "stale openers, 2 late messages": _STALE_OPENERS._replace(late_max=2),
    "manifests, none kept but the newest": _MANIFESTS._replace(manifests_kept=1),
    "manifests, a crash": _MANIFESTS._replace(crashes_max=1),
}
"""Minutes, and a gigabyte or two of memory: `make model`."""

_CRASHES = _MANIFESTS._replace(crashes_max=1)

BREAKS: dict[tuple[Rule, ...], Bounds] = {
    (Rule.BLOCKS_CREATED,): RUNS["tail"],
    (Rule.COMPLETION_CREATED,): RUNS["tail"],
    (Rule.FENCE_CREATED,): RUNS["tail"],
    (Rule.MANIFEST_CREATED,): RUNS["manifests"],
    (Rule.ACK_WHEN_DURABLE,): RUNS["tail"],
    (Rule.CONFIRM_IN_ORDER,): RUNS["tail"],
    (Rule.RECOGNISE_OWN,): RUNS["tail"],
    (Rule.RECOGNISE_STRANGER,): RUNS["tail"],
    (Rule.STEP_DOWN,): RUNS["tail"],
    (Rule.FOOTER_FIRST,): RUNS["tail"],
    (Rule.FENCE_AT_FIRST_GAP,): RUNS["tail"],
    (Rule.REPLAY_WHO_WON,): RUNS["tail"],
    (Rule.OWN_FENCE,): RUNS["tail"],
    (Rule.HIGHER_TERM,): RUNS["tail"],
    (Rule.FOOTER_AGREES,): RUNS["stale openers"],
    (Rule.LOOK_AGAIN,): _TAKEOVER,
    (Rule.GONE_IS_NO_DAMAGE,): _TAKEOVER,
    (Rule.FOLLOW_NEWEST,): _TAKEOVER,
    (Rule.COMPACT_FINISHED,): _TAKEOVER,
    (Rule.KEEP_NEWEST_FINISHED,): _TAKEOVER,
    (Rule.COMPACT_ALIVE,): _TAKEOVER,
    (Rule.WRITE_THEN_COMMIT,): _TAKEOVER,
    (Rule.COMMIT_THEN_DELETE,): _TAKEOVER,
    (Rule.RECOGNISE_COMMIT,): RUNS["manifests"],
    (Rule.NONCE_IN_NAME,): RUNS["manifests"],
    (Rule.LOOK_BEHIND,): RUNS["reused number"],
    (Rule.DELETE_FROM_NEWEST,): RUNS["reused number"],
    (Rule.MANIFEST_STILL_KEPT,): RUNS["reused number"],
    (Rule.GARBAGE_UNTIL_GONE,): RUNS["manifests"],
    (Rule.KEEP_FENCES,): _TAKEOVER,
    (Rule.SWEEP_ORPHANS,): _CRASHES,
    (Rule.SWEEP_DECIDED,): RUNS["manifests"],
}
"""Where breaking a rule shows."""
