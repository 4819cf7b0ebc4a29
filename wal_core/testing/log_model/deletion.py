"""The steps of whoever deletes. A grace time may be any time, so here it is none.

Without collectors, deleting is one step: read the newest manifest, delete one thing that it calls
garbage. What is garbage stays garbage for ever, so it makes no difference how long a deleter pauses
in between; where that is in doubt a run has collectors, which do pause.
"""

from __future__ import annotations

from collections.abc import Iterator

from wal_core.testing.log_model.checks import named_by
from wal_core.testing.log_model.rules import Bounds, Rule
from wal_core.testing.log_model.values import (
    FENCE,
    Block,
    Collector,
    Key,
    Manifest,
    Objects,
    Phase,
    State,
    Step,
    newest_manifest,
    read_footer,
)


class Deletion:
    def __init__(self, bounds: Bounds, broken: frozenset[Rule]) -> None:
        self._bounds = bounds
        self._broken = broken

    def steps(self, state: State, objects: Objects) -> Iterator[Step]:
        newest, manifest = newest_manifest(objects)
        if state.collectors:
            for at in range(len(state.collectors)):
                yield self._collect(state, at, objects)
        else:
            due = sorted(self._due(state, objects, manifest.garbage))
            ends = {0, len(due) - 1} if self._bounds.delete_from_both_ends else {0}
            for key in [due[end] for end in sorted(ends)] if due else ():
                yield f"_delete_garbage {_text(key)}", without_object(state, key)
        for key in objects:
            if key[0] == "manifests" and key[1] <= newest - self._bounds.manifests_kept:
                yield f"_delete_old_manifest {key[1]}", without_object(state, key)
            elif key[0] == "sealed" and key not in named_by(manifest):
                decided = key[1] <= newest or Rule.SWEEP_DECIDED in self._broken
                if decided and Rule.SWEEP_ORPHANS not in self._broken:
                    yield f"_sweep_orphan {_text(key)}", without_object(state, key)

    def _collect(self, state: State, at: int, objects: Objects) -> Step:
        """List the manifests; read the newest; delete its garbage piece by piece."""
        collector = state.collectors[at]
        newest, _ = newest_manifest(objects)
        if not collector.number:
            listed = collector._replace(number=newest)
            return f"{collector.name} lists the manifests", state.with_collector(at, listed)
        if not collector.garbage:
            found = objects.get(("manifests", collector.number, 0))
            kept = collector.number > newest - self._bounds.manifests_kept
            if not kept and Rule.MANIFEST_STILL_KEPT not in self._broken:
                found = None
            garbage = found.garbage if isinstance(found, Manifest) else ()
            number = collector.number if garbage else 0
            read = collector._replace(number=number, garbage=garbage)
            label = f"{collector.name} reads manifest {collector.number}"
            return label, state.with_collector(at, read)
        due = sorted(self._due(state, objects, collector.garbage))
        if not due:
            done = Collector(collector.name)
            return f"{collector.name} is done", state.with_collector(at, done)
        return f"{collector.name}._delete_garbage {_text(due[0])}", without_object(state, due[0])

    def _due(self, state: State, objects: Objects, garbage: tuple[Key, ...]) -> set[Key]:
        rows = set(garbage)
        if Rule.DELETE_FROM_NEWEST in self._broken:
            for item in objects.values():
                rows.update(item.garbage if isinstance(item, Manifest) else ())
        due: set[Key] = set()
        for row in rows:
            if row[0] != "fence" or self._fence_is_over(state, objects, row[1]):
                due.update(garbage_objects(objects, row))
        return due

    def _fence_is_over(self, state: State, objects: Objects, segment: int) -> bool:
        """No older writer lives that may write without looking at the manifest before. The code
        cannot know, and keeps a fence longer than anybody can pause."""
        if Rule.KEEP_FENCES in self._broken:
            return True
        fence = read_footer(objects, segment)
        return fence is None or not any(
            writer.phase == Phase.OPEN and writer.term < fence.term for writer in state.writers
        )


def garbage_objects(objects: Objects, row: Key) -> Iterator[Key]:
    """The objects a garbage row stands for that are there."""
    for key, item in objects.items():
        if row[0] == "sealed":
            if key == row:
                yield key
        elif key[0] == "logs" and key[1] == row[1]:
            fence = isinstance(item, Block) and item.kind == FENCE
            if fence == (row[0] == "fence"):
                yield key


def without_object(state: State, key: Key) -> State:
    return state._replace(
        store=tuple(pair for pair in state.store if pair[0] != key),
        gone=tuple(sorted({*state.gone, key})) if key[0] == "manifests" else state.gone,
        stragglers=tuple(straggler for straggler in state.stragglers if straggler != key),
    )


def _text(key: Key) -> str:
    return f"{key[0]} {key[1]}/{key[2]}"
