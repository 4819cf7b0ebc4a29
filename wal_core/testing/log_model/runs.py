"""What is explored, and which run shows that a rule is needed.

One run over everything would be far too large, so each looks at one part with all its orders of
steps: the tail; a takeover while segments are compacted; openers that were late; compactors that
race; a manifest's number that is used again. Most begin after a *prelude*, steps that lead to where
it becomes interesting.
"""

from __future__ import annotations

from wal_core.testing.log_model.rules import Bounds, Rule


def _opens(name: str, slot: str) -> tuple[str, ...]:
    return (
        f"{name}._read_manifest",
        f"{name}._segments",
        f"{name}._restore",
        f"{name}._recover_segment",
        f"logs {slot} = {name}'s fence arrives",
        f"{name}._fence {slot}: created",
        f"{name}._check_fence",
        f"{name}._read_history",
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


_ONE_SEGMENT = (*_opens("a", "0/0"), *_appends("a", "1/0", "a0"), *_finishes("a", "1/1"))
_TWO_SEGMENTS = (*_ONE_SEGMENT, *_appends("a", "2/0", "a1"), *_finishes("a", "2/1"))

_TAKEOVER = Bounds(
    compactors="p", blocks_max=2, commits_max=1, late_max=1, prelude=_opens("a", "0/0")
)

# b and c are about to read segment 1 when they pause. It is completed, d opens the log and writes
# nothing, segment 1 is compacted.
_STALE_OPENERS = Bounds(
    writers="abcd",
    compactors="p",
    blocks_max=1,
    commits_max=1,
    late_max=1,
    prelude=(
        *_opens("a", "0/0"),
        *_appends("a", "1/0", "a0"),
        *_stands_before("b"),
        *_stands_before("c"),
        *_finishes("a", "1/1"),
        *_opens("d", "2/0"),
        *_commits("p", 1, 1),
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
    late=("manifests",),
    delete_from_both_ends=False,
    prelude=(*_TWO_SEGMENTS, *_appends("a", "3/0", "a2!")),
)

# q has read that there is no manifest, p's manifest 1 is there and p does not know, g has listed
# it, and all three pause. r commits manifest 2, number 1 is deleted, and free again.
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
        *_commits("p", 1, 1)[:-1],
        "g lists the manifests",
        *_appends("a", "3/0", "a2"),
        *_finishes("a", "3/1"),
        *_commits("r", 2, 21),
        *_appends("a", "4/0", "a3"),
        "_delete_old_manifest 1",
    ),
)

RUNS = {
    "tail": Bounds(),
    "tail of three writers": Bounds(writers="abc", blocks_max=2),
    "takeover": _TAKEOVER,
    "stale openers": _STALE_OPENERS,
    "manifests": _MANIFESTS,
    "reused number": _REUSED_NUMBER,
}
"""Seconds each; `make check` runs them all."""

LONG_RUNS = {
    "tail, 6 blocks": Bounds(blocks_max=6),
    "tail of three writers, 3 blocks": Bounds(writers="abc", blocks_max=3),
    "takeover from the first open on": _TAKEOVER._replace(prelude=()),
    "takeover, 3 blocks": _TAKEOVER._replace(
        blocks_max=3, prelude=(*_opens("a", "0/0"), *_appends("a", "1/0", "a0"))
    ),
    "takeover, 2 commits": _TAKEOVER._replace(commits_max=2, prelude=_ONE_SEGMENT),
    "stale openers, 2 late messages": _STALE_OPENERS._replace(late_max=2),
    "manifests, 3 commits": _MANIFESTS._replace(commits_max=3),
    "manifests, a crash and a late message": _MANIFESTS._replace(crashes_max=1, late_max=1),
}
"""Minutes, and some gigabytes of memory: `make model`."""

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
    (Rule.CHECK_AFTER_FENCE,): RUNS["takeover"],
    (Rule.GONE_IS_NO_DAMAGE,): RUNS["takeover"],
    (Rule.HISTORY_WITHOUT_GAP,): RUNS["takeover"],
    (Rule.COMPACT_FINISHED,): RUNS["takeover"],
    (Rule.KEEP_NEWEST_FINISHED,): RUNS["takeover"],
    (Rule.COMPACT_ALIVE,): RUNS["takeover"],
    (Rule.WRITE_THEN_COMMIT,): RUNS["takeover"],
    (Rule.COMMIT_THEN_DELETE,): RUNS["takeover"],
    (Rule.RECOGNISE_COMMIT, Rule.DELETE_UNNAMED): RUNS["manifests"],
    (Rule.NONCE_IN_NAME, Rule.DELETE_UNNAMED): RUNS["manifests"],
    (Rule.DELETE_UNNAMED,): RUNS["reused number"],
    (Rule.DELETE_FROM_NEWEST,): RUNS["reused number"],
    (Rule.MANIFEST_STILL_KEPT,): RUNS["reused number"],
    (Rule.GARBAGE_UNTIL_GONE,): RUNS["manifests"],
    (Rule.KEEP_FENCES,): RUNS["takeover"],
    (Rule.SWEEP_ORPHANS,): _CRASHES,
    (Rule.SWEEP_DECIDED,): RUNS["manifests"],
}
"""Where breaking a rule shows. Two of them are needed only where another is broken as well: a
loser that looks before it deletes forgives both."""
