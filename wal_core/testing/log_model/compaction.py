"""The steps of a compactor: what several blocks hold is sealed, and a manifest says so."""

from __future__ import annotations

from collections.abc import Iterator

from wal_core.testing.log_model.deletion import garbage_objects, without_object
from wal_core.testing.log_model.rules import Bounds, Rule
from wal_core.testing.log_model.values import (
    DATA,
    FENCE,
    Compactor,
    Entries,
    Key,
    Manifest,
    Object,
    Objects,
    Sealed,
    State,
    Step,
    dense_blocks,
    newest_manifest,
    offset_of,
    read_footer,
    start_of,
)


class Compaction:
    """_read_manifest -> _plan, which also writes the output and sends the manifest -> _commit, and
    _delete_output for who lost."""

    def __init__(self, bounds: Bounds, broken: frozenset[Rule]) -> None:
        self._bounds = bounds
        self._broken = broken

    def steps(self, state: State, at: int, objects: Objects) -> Iterator[Step]:
        compactor = state.compactors[at]
        if compactor.phase == "idle":
            yield from self._read_manifest(state, at, objects)
            return
        if state.crashes_count < self._bounds.crashes_max:
            crashed = self._idle(state, at)._replace(crashes_count=state.crashes_count + 1)
            yield f"{compactor.name} crashes", crashed
        if compactor.phase == "planning":
            yield f"{compactor.name}._plan", self._plan(state, at, objects)
        elif compactor.phase == "committing":
            yield from self._commit(state, at, objects)
        else:
            yield f"{compactor.name}._delete_output", self._delete_output(state, at)

    def _idle(self, state: State, at: int) -> State:
        old = state.compactors[at]
        return state.with_compactor(at, Compactor(old.name, old.nonce))

    def _read_manifest(self, state: State, at: int, objects: Objects) -> Iterator[Step]:
        number, manifest = newest_manifest(objects)
        compactor = state.compactors[at]
        if manifest.commits_count < self._bounds.commits_max:
            planning = compactor._replace(phase="planning", number=number, manifest=manifest)
            yield f"{compactor.name}._read_manifest", state.with_compactor(at, planning)

    # -- planning and writing --------------------------------------------------------------

    def _plan(self, state: State, at: int, objects: Objects) -> State:
        """Read the finished segments behind the manifest, write what is alive in them as a sealed
        segment, send the manifest. Back to idle when there is nothing to do."""
        compactor = state.compactors[at]
        old = compactor.manifest
        live_to = self._live_to(objects, old.live_from)
        alive, start = self._alive(objects, old.live_from, live_to)
        number = compactor.number + 1
        output = ("sealed", number, compactor.nonce)
        if Rule.NONCE_IN_NAME in self._broken:
            output = ("sealed", number, 0)
        dead = tuple(key for key in old.sealed if _is_dead(objects.get(key), start))
        new = Manifest(
            nonce=compactor.nonce,
            term=old.term,
            commits_count=old.commits_count + 1,
            live_from=live_to,
            sealed=tuple(k for k in old.sealed if k not in dead) + ((output,) if alive else ()),
            garbage=self._garbage(objects, old, live_to) + dead,
        )
        if new[3:] == old[3:]:
            return self._idle(state, at)
        committing = compactor._replace(
            nonce=compactor.nonce + 1,
            phase="committing",
            manifest=new,
            output=output if alive else None,
        )
        state = state.with_compactor(at, committing)
        if alive and Rule.WRITE_THEN_COMMIT not in self._broken:
            state = _with_object(state, output, Sealed(alive))
        if Rule.COMMIT_THEN_DELETE in self._broken:
            for key in _of_segments(objects, old.live_from, live_to):
                state = without_object(state, key)
        return state.sending(("manifests", number, 0), new)

    def _live_to(self, objects: Objects, live_from: int) -> int:
        """The segment that will be the first one behind the manifest. A segment that is missing
        ends the plan, whose commit will then meet the manifest that made it garbage."""
        segment = live_from
        while read_footer(objects, segment) is not None or (
            Rule.COMPACT_FINISHED in self._broken and ("logs", segment, 0) in objects
        ):
            segment += 1
        keep = Rule.KEEP_NEWEST_FINISHED not in self._broken
        return max(segment - keep, live_from)

    def _alive(self, objects: Objects, live_from: int, live_to: int) -> tuple[Entries, int]:
        """What to copy, and the log's start as the newest footer in sight tells it."""
        entries: list[str] = []
        start = 0
        for segment in range(live_from, live_to + 1):
            for block in dense_blocks(objects, segment):
                if block.kind != DATA:
                    start = max(start, start_of(block.entries))
                elif segment < live_to:
                    entries += block.entries
        if Rule.COMPACT_ALIVE in self._broken:
            start += 1
        return tuple(entry for entry in entries if offset_of(entry) >= start), start

    def _garbage(self, objects: Objects, old: Manifest, live_to: int) -> tuple[Key, ...]:
        """Rows of the old manifest whose objects are still there, and what this one retires."""
        rows = tuple(row for row in old.garbage if any(garbage_objects(objects, row)))
        if Rule.GARBAGE_UNTIL_GONE in self._broken:
            rows = ()
        for segment in range(old.live_from, live_to):
            rows += (("logs", segment, 0),)
            footer = read_footer(objects, segment)
            if footer is not None and footer.kind == FENCE:
                rows += (("fence", segment, 0),)
        return rows

    # -- committing ------------------------------------------------------------------------

    def _commit(self, state: State, at: int, objects: Objects) -> Iterator[Step]:
        """The answer to the manifest's PUT: ours, or another one has the number; and whether there
        are later ones, which may build on ours although we hear of it only now."""
        compactor = state.compactors[at]
        key = ("manifests", compactor.number + 1, 0)
        found = objects.get(key)
        own = found == compactor.manifest
        if compactor.created or (own and Rule.RECOGNISE_COMMIT not in self._broken):
            yield f"{compactor.name}._commit {key[1]}: created", self._idle(state, at)
        if newest_manifest(objects)[0] > key[1] and Rule.LOOK_BEHIND not in self._broken:
            yield f"{compactor.name}._commit {key[1]}: Superseded", self._idle(state, at)
        elif found is not None and (not own or Rule.RECOGNISE_COMMIT in self._broken):
            after = state.with_compactor(at, compactor._replace(phase="lost"))
            yield f"{compactor.name}._commit {key[1]}: lost", after

    def _delete_output(self, state: State, at: int) -> State:
        """Nobody will ever name it: another manifest has the number it was written for."""
        output = state.compactors[at].output
        state = self._idle(state, at)
        return state if output is None else without_object(state, output)


def _of_segments(objects: Objects, first: int, end: int) -> list[Key]:
    return [key for key in objects if key[0] == "logs" and first <= key[1] < end]


def _is_dead(item: Object | None, start: int) -> bool:
    return isinstance(item, Sealed) and all(offset_of(entry) < start for entry in item.entries)


def _with_object(state: State, key: Key, item: Object) -> State:
    rest = [pair for pair in state.store if pair[0] != key]
    return state._replace(store=tuple(sorted([*rest, (key, item)])))
