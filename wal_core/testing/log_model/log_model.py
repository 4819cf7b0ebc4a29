"""The model of the log: who is there, what can happen next, how a PUT reaches the store."""

from __future__ import annotations

from collections.abc import Iterator

from wal_core.testing.log_model.checks import violation
from wal_core.testing.log_model.compaction import Compaction
from wal_core.testing.log_model.deletion import Deletion
from wal_core.testing.log_model.opening import Opening
from wal_core.testing.log_model.rules import Bounds, Rule
from wal_core.testing.log_model.values import (
    COMPLETE,
    FENCE,
    Block,
    Collector,
    Compactor,
    Key,
    Manifest,
    Object,
    Objects,
    Phase,
    State,
    Step,
    newest_manifest,
)
from wal_core.testing.log_model.writing import Writing


class LogModel:
    """For `explore`. `broken` are the rules that nobody keeps."""

    def __init__(self, bounds: Bounds, broken: frozenset[Rule] = frozenset()) -> None:
        self._bounds = bounds
        self._broken = broken
        self._opening = Opening(bounds, broken)
        self._writing = Writing(bounds, broken)
        self._compaction = Compaction(bounds, broken)
        self._deletion = Deletion(bounds, broken)

    def start(self) -> State:
        state = State(
            store=(),
            sent=(),
            writers=tuple(self._opening.begin(name) for name in self._bounds.writers),
            compactors=tuple(
                Compactor(name, nonce=at * 10 + 1)
                for at, name in enumerate(self._bounds.compactors)
            ),
            collectors=tuple(Collector(name) for name in self._bounds.collectors),
        )
        whole = LogModel(self._bounds)  # nothing is broken before the exploration begins
        for wanted in self._bounds.prelude:
            taken = dict(whole.steps(state))
            assert wanted in taken, f"cannot {wanted!r}, only {sorted(taken)}"
            state = taken[wanted]
        return state

    def violation(self, state: State) -> str | None:
        return violation(state, orphans_swept=Rule.SWEEP_ORPHANS not in self._broken)

    def steps(self, state: State) -> Iterator[Step]:
        objects = dict(state.store)
        for at, writer in enumerate(state.writers):
            if writer.phase == Phase.OPEN:
                yield from self._writing.steps(state, at, objects)
            elif Phase.OVERTAKEN < writer.phase < Phase.OPEN:
                yield from self._opening.steps(state, at, objects)
        for at in range(len(state.compactors)):
            yield from self._compaction.steps(state, at, objects)
        if state.compactors:
            yield from self._deletion.steps(state, objects)
        yield from self._arrivals(state, objects)

    # -- the store -------------------------------------------------------------------------

    def _arrivals(self, state: State, objects: Objects) -> Iterator[Step]:
        """A PUT reaches the store. One that never does is one for which this never happens."""
        _, manifest = newest_manifest(objects)
        for key, item in state.sent:
            if key in objects and self._creates(item):
                continue
            if not objects and isinstance(item, Block) and item.writer > "a":
                continue  # writers are alike: call the one whose fence is first a
            label = f"{_describe(key, item)} arrives"
            if key not in state.gone and (key[0] != "logs" or key[1] >= manifest.live_from):
                yield label, self._arrived(state, key, item)
            elif state.late_count < self._bounds.late_max and key[0] in self._bounds.late:
                late = state._replace(
                    late_count=state.late_count + 1,
                    stragglers=tuple(sorted({*state.stragglers, key})),
                )
                yield f"{label} late", self._arrived(late, key, item)

    def _creates(self, item: Object) -> bool:
        """Only if absent?"""
        if not isinstance(item, Block):
            return Rule.MANIFEST_CREATED not in self._broken
        if item.kind == FENCE:
            return Rule.FENCE_CREATED not in self._broken
        if item.kind == COMPLETE:
            return Rule.COMPLETION_CREATED not in self._broken
        return Rule.BLOCKS_CREATED not in self._broken

    def _arrived(self, state: State, key: Key, item: Object) -> State:
        rest = [pair for pair in state.store if pair[0] != key]
        after = state._replace(store=tuple(sorted([*rest, (key, item)])))
        if not self._creates(item):
            sent = tuple(pair for pair in state.sent if pair != (key, item))
            after = after._replace(sent=sent)
        elif state.late_count == self._bounds.late_max or key[0] not in self._bounds.late:
            # Nothing can come of these any more.
            sent = tuple(
                pair for pair in state.sent if pair[0] != key or not self._creates(pair[1])
            )
            after = after._replace(sent=sent)
        return self._answered(after, key, item)

    def _answered(self, state: State, key: Key, item: Object) -> State:
        """The answer is on its way to the sender, if that still waits for it."""
        for at, writer in enumerate(state.writers):
            flights = tuple(
                flight._replace(created=True)
                if (flight.key, flight.block) == (key, item)
                else flight
                for flight in writer.flights
            )
            if flights != writer.flights:
                return state.with_writer(at, writer._replace(flights=flights))
        return state


def _describe(key: Key, item: Object) -> str:
    place = f"{key[0]} {key[1]}/{key[2]}"
    if isinstance(item, Block):
        return f"{place} = {item.writer}'s {item.kind}"
    if isinstance(item, Manifest):
        return f"{place} of {item.nonce or f'term {item.term}'}"
    return place
