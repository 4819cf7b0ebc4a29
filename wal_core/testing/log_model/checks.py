"""What must hold, by the numbers of the invariants; and the fresh opener that looks for it."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from wal_core.testing.log_model.values import (
    DATA,
    Entries,
    Key,
    Manifest,
    Object,
    Objects,
    Sealed,
    State,
    dense_blocks,
    list_segments,
    newest_manifest,
    offset_of,
    read_footer,
    start_of,
)


def acknowledge(state: State, at: int, entry: str) -> State:
    """Note an ack, and what it must not be: a second one for an offset (I2), or one that a newer
    writer knows nothing of (I4)."""
    writer, offset = state.writers[at], offset_of(entry)
    acks = [*state.acks, *[""] * (offset + 1 - len(state.acks))]
    wrong = state.wrong
    if acks[offset] not in ("", entry):
        wrong = f"I2: offset {offset} was acknowledged for {acks[offset]} and for {entry}"
    acks[offset] = entry
    for other in state.writers:
        if other.opened and other.term > writer.term and entry not in other.state[offset:]:
            wrong = f"I4: {writer.name} acknowledged {entry}, which {other.name} took over without"
    return state._replace(acks=tuple(acks), wrong=wrong)


def check_opened(state: State, at: int) -> State:
    """A writer has just opened the log: what older ones acknowledged must be known to it (I3)."""
    writer = state.writers[at]
    if writer.names and writer.names != tuple(range(writer.live_from, writer.segment)):
        return state._replace(wrong=f"I1: {writer.name} reads a history with a gap")
    for other in state.writers:
        if other is writer or not other.opened:
            continue
        if other.term == writer.term:
            return state._replace(wrong=f"I4: two owners with term {writer.term}")
        lost = [e for e in state.acks if e[:1] == other.name and e not in writer.state]
        if other.term < writer.term and lost:
            return state._replace(
                wrong=f"I3: {writer.name} opened the log without {lost[0]}, which is acknowledged"
            )
    # What only opening needs is forgotten, so that states become equal.
    return state.with_writer(at, writer._replace(live_from=0, names=(), first=0))


class View(NamedTuple):
    """What somebody who opens and reads the log now finds."""

    state: Entries = ()
    readable: frozenset[str] = frozenset()
    problem: str = ""


@lru_cache(maxsize=1 << 18)
def fresh_view(store: tuple[tuple[Key, Object], ...]) -> View:
    """Open the log without being disturbed, then read all of it."""
    objects = dict(store)
    _, manifest = newest_manifest(objects)
    names = list_segments(objects, manifest.live_from)
    if names != tuple(range(manifest.live_from, manifest.live_from + len(names))):
        return View(problem=f"history has a gap: {names} behind {manifest.live_from}")
    readable: set[str] = set()
    for key in manifest.sealed:
        sealed = objects.get(key)
        if not isinstance(sealed, Sealed):
            return View(problem=f"{key} is named by the newest manifest and missing")
        readable.update(sealed.entries)
    state: Entries = ()
    if manifest.live_from:
        footer = read_footer(objects, names[0]) if names else None
        if footer is None:
            return View(problem="no footer to start from behind what is compacted")
        state = footer.entries[: len(footer.entries) - footer.base]
    return _replayed(objects, names, View(state, frozenset(readable)))


def _replayed(objects: Objects, names: tuple[int, ...], view: View) -> View:
    state, readable = view.state, set(view.readable)
    for segment in names:
        if segment != names[-1] and read_footer(objects, segment) is None:
            return View(problem=f"segment {segment} has no footer and is not the last")
        for block in dense_blocks(objects, segment):
            if block.kind != DATA:
                if block.entries != state:
                    return View(problem=f"the footer of segment {segment} tells another history")
            elif block.base != len(state):
                return View(problem=f"I2: offset {block.base} follows {len(state) - 1}")
            else:
                state += block.entries
                readable.update(block.entries)
    return View(state, frozenset(readable))


def named_by(manifest: Manifest) -> set[Key]:
    """The sealed segments that a manifest knows, alive or as garbage."""
    return {*manifest.sealed, *manifest.garbage}


def violation(state: State, *, orphans_swept: bool = True) -> str | None:
    """What is wrong with a state: I1 and I3 for whoever opens the log in it, I9, or what a step
    noted when it was taken."""
    if state.wrong:
        return state.wrong
    view = fresh_view(state.store)
    if view.problem:
        return f"opening: {view.problem}"
    start = start_of(view.state)
    for offset, entry in enumerate(state.acks):
        if entry and view.state[offset : offset + 1] != (entry,):
            return f"I1: {entry} is acknowledged and not in the log"
        if entry and offset >= start and entry not in view.readable:
            return f"I1: {entry} is acknowledged and cannot be read"
    return _leak(state, orphans_swept=orphans_swept)


def _leak(state: State, *, orphans_swept: bool) -> str | None:
    """I9: whatever is stored is alive, or garbage of the newest manifest, or an orphan that will
    be swept, or came too late to be any of it. Old manifests are always deleted."""
    objects = dict(state.store)
    number, manifest = newest_manifest(objects)
    named = named_by(manifest)
    garbage_segments = {row[1] for row in manifest.garbage if row[0] != "sealed"}
    for key in objects:
        match key[0]:
            case "logs":
                known = key[1] >= manifest.live_from or key[1] in garbage_segments
                known = known or key in state.stragglers
            case "sealed":
                known = key in named or key[1] > number or orphans_swept
            case _:
                known = True
        if not known:
            return f"I9: {key} leaks"
    return None
