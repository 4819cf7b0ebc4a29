"""What must hold, by the numbers of the invariants; and the fresh opener that looks for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from wal_core.testing.quorum_model.logstore import Logstore
from wal_core.testing.quorum_model.recovery import decide, finals_min, promises_min
from wal_core.testing.quorum_model.rules import REPLICAS, Rule
from wal_core.testing.quorum_model.values import (
    HERE,
    NO_FINAL,
    Disk,
    Entries,
    Final,
    Manifest,
    Segment,
    State,
    Uploaded,
)

_FRESH = "z"
"""Whoever opens the log next, with a term above all."""


class Outcome(NamedTuple):
    """What a fresh opener may end with."""

    entries: Entries
    problem: str = ""


class Ending(NamedTuple):
    """How a segment may end for a fresh opener: the final it saw, the blocks."""

    seen: Final
    blocks: Entries
    problem: str = ""


def show(state: State, entries: Entries, whose: str) -> State:
    """Note what clients have seen, by offset. I2: nothing else was seen there before."""
    visible = [*state.visible, *[""] * (len(entries) - len(state.visible))]
    wrong = state.wrong
    for offset, entry in enumerate(entries):
        if entry and visible[offset] not in ("", entry):
            wrong = f"I2: offset {offset} was {visible[offset]}, and is {entry} for {whose}"
        visible[offset] = entry or visible[offset]
    return state._replace(visible=tuple(visible), wrong=wrong)


def check_opened(state: State, at: int) -> State:
    """A writer has opened the log: I3, all that was seen before is known to it, and I4, no other
    has its term. What it recovered may be read from now on."""
    writer = state.writers[at]
    lost = [
        entry
        for offset, entry in enumerate(state.visible)
        if entry and writer.entries[offset : offset + 1] != (entry,)
    ]
    if lost:
        return state._replace(wrong=f"I3: {writer.name} opened the log without {lost[0]}")
    return show(state, writer.entries, writer.name)


def read_bucket(bucket: tuple[Uploaded, ...], pointer: int) -> Entries:
    """What it has of the segments before the pointer."""
    entries: Entries = ()
    for uploaded in bucket[:pointer]:
        entries += uploaded.blocks[: uploaded.footer.end]
    return entries


class Checks:
    """Of one state: whoever opens the log in it, whichever logstores reply, finds all that was seen
    and is not stuck."""

    def __init__(self, broken: frozenset[Rule]) -> None:
        self._broken = broken
        self._logstore = Logstore({_FRESH: 99}, broken)
        self._endings = lru_cache(maxsize=1 << 18)(self._find_endings)
        self._outcomes = lru_cache(maxsize=1 << 18)(self._find_outcomes)

    def violation(self, state: State) -> str | None:
        if state.wrong:
            return state.wrong
        bare = [disk._replace(name="", promised="", heard=()) for disk in state.disks]
        for entries, problem in self._outcomes(tuple(sorted(bare)), state.manifest, state.bucket):
            if problem:
                return problem
            for offset, entry in enumerate(entries):
                if entry[1:] != str(offset):
                    return f"I2: {entry or 'a gap'} lies at offset {offset}"
            for offset, entry in enumerate(state.visible):
                if entry and entries[offset : offset + 1] != (entry,):
                    return f"I1: {entry} was seen, and may be gone: the log may be {entries}"
        return None

    def _find_outcomes(
        self, disks: tuple[Disk, ...], manifest: Manifest, bucket: tuple[Uploaded, ...]
    ) -> frozenset[Outcome]:
        entries = read_bucket(bucket, manifest.pointer)
        found = self._recoveries(disks, manifest.pointer, manifest.ensemble, entries, bucket)
        return frozenset(found)

    def _recoveries(
        self,
        disks: tuple[Disk, ...],
        segment: int,
        ensemble: str,
        entries: Entries,
        bucket: tuple[Uploaded, ...],
    ) -> Iterator[Outcome]:
        footer = bucket[segment].footer if segment < len(bucket) else NO_FINAL
        live = [d for d in disks if ensemble in d.ensembles and self._logstore.answers(d)]
        for seen, blocks, problem in self._endings(tuple(sorted(d.segment(segment) for d in live))):
            if footer not in (NO_FINAL, seen._replace(term=0)):
                yield Outcome(entries, f"segment {segment}: the bucket has another footer")
            elif problem or seen == NO_FINAL or Rule.OWN_FENCE in self._broken:
                yield Outcome(entries + blocks, problem and f"segment {segment}: {problem}")
            else:
                named = ensemble if Rule.FINAL_NAMES_NEXT in self._broken else seen.ensemble
                yield from self._recoveries(disks, segment + 1, named, entries + blocks, bucket)

    def _find_endings(self, held: tuple[Segment, ...]) -> frozenset[Ending]:
        """Of one segment, by which of the logstores reply, undisturbed. `held`: what each has."""
        live = [Disk("", HERE, "", "", (segment,), ()) for segment in held]
        counts = range(promises_min(self._broken), REPLICAS + 1)
        replies = {chosen for count in counts for chosen in combinations(live, count)}
        if not replies:
            return frozenset({Ending(NO_FINAL, (), "too few logstores know it")})
        return frozenset(self._ending(chosen, live) for chosen in replies)

    def _ending(self, chosen: tuple[Disk, ...], live: Sequence[Disk]) -> Ending:
        found = decide([disk.segment(0) for disk in chosen], self._broken)
        if found is None:
            return Ending(NO_FINAL, (), "nobody can tell its end")
        seen, end, blocks = found
        final = Final(99, end, _FRESH) if seen == NO_FINAL else seen._replace(term=99)
        takers = chosen if len(chosen) > 1 else live
        accepted_count = 0
        for disk in takers:
            after = self._logstore.promise(disk, _FRESH)
            for at in range(len(disk.segment(0).blocks), len(blocks)):
                after = after and self._logstore.append(after, _FRESH, 0, at, blocks[at])
            accepted_count += bool(after and self._logstore.accept(after, _FRESH, 0, final))
        stuck = accepted_count < finals_min(self._broken)
        return Ending(seen, blocks, "nobody can end it" if stuck else "")
