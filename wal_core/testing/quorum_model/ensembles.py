"""Who takes the place of whom in an ensemble, and how a newcomer joins."""

from __future__ import annotations

from collections.abc import Iterator

from wal_core.testing.quorum_model.logstore import Logstore
from wal_core.testing.quorum_model.rules import Bounds, Rule
from wal_core.testing.quorum_model.values import BEGINNING, HERE, LOST, OPENING, SPARE, State


class Ensembles:
    """A new ensemble is two of the old one and a newcomer, and called after its maker, who makes
    one at most."""

    def __init__(self, bounds: Bounds, broken: frozenset[Rule], logstore: Logstore) -> None:
        self._bounds = bounds
        self._broken = broken
        self._logstore = logstore

    def join(self, state: State, at: int, place: int) -> State | None:
        """A newcomer creates the log, with a promise to who asked it to; who knows the log already
        gives the promise. A disk that lost the log is a newcomer like others, under a new birth:
        the spares stand for these, too."""
        writer, disk = state.writers[at], state.disks[place]
        if writer.phase == BEGINNING or not self._may_change(state, at) or disk.heard[at].joined:
            return None
        if disk.presence == LOST and Rule.BIRTH not in self._broken:
            return None
        if disk.presence == HERE and writer.ensemble in disk.ensembles:
            return None
        after = self._logstore.promise(disk._replace(presence=HERE), writer.name)
        if after is None:
            return None
        heard = after.heard[at]._replace(promised=True, joined=True)
        if writer.phase == OPENING:
            heard = heard._replace(told=disk.segments)
        return state.with_disk(place, after.with_heard(at, heard))

    def choices(self, state: State, at: int) -> Iterator[tuple[str, str, State]]:
        """The ensemble of the next segment: the same, or one with a newcomer in it; what a trace
        calls it; the state then."""
        writer = state.writers[at]
        yield writer.ensemble, "the same ensemble", state
        if not self._may_change(state, at):
            return
        members = [p for p, disk in enumerate(state.disks) if writer.ensemble in disk.ensembles]
        lost = [p for p in members if state.disks[p].presence == LOST]
        for newcomer, disk in enumerate(state.disks):
            joined = disk.heard[at].joined
            unjoined = disk.presence == SPARE and Rule.JOIN_FIRST in self._broken
            if newcomer in members or not (joined or unjoined):
                continue
            for leaver in lost or members:
                after = state._replace(changes_count=state.changes_count + 1)
                for place in (newcomer, *members):
                    if place != leaver:
                        old = after.disks[place]
                        names = old.ensembles + writer.name
                        after = after.with_disk(place, old._replace(ensembles=names))
                words = f"{disk.name or newcomer} for {state.disks[leaver].name or leaver}"
                yield writer.name, words, after

    def _may_change(self, state: State, at: int) -> bool:
        name = state.writers[at].name
        used = any(name in disk.ensembles for disk in state.disks)
        return state.changes_count < self._bounds.changes_max and not used
