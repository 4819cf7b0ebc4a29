"""The model of quorum mode: who is there and what can happen next."""

from __future__ import annotations

from collections.abc import Iterator

from wal_core.testing.quorum_model.arrivals import Arrivals
from wal_core.testing.quorum_model.checks import Checks, show
from wal_core.testing.quorum_model.ensembles import Ensembles
from wal_core.testing.quorum_model.logstore import Logstore
from wal_core.testing.quorum_model.opening import Opening
from wal_core.testing.quorum_model.rules import REPLICAS, Bounds, Rule
from wal_core.testing.quorum_model.uploading import Uploading
from wal_core.testing.quorum_model.values import (
    BEGINNING,
    FENCED,
    FIRST_ENSEMBLE,
    GONE,
    HERE,
    LOST,
    NO_FINAL,
    NOT_HEARD,
    OPEN,
    OPENING,
    SPARE,
    Disk,
    Manifest,
    Segment,
    State,
    Step,
    Writer,
)
from wal_core.testing.quorum_model.writing import Writing


class QuorumModel:
    """For `explore`. `broken` are the rules that nobody keeps. With `named` the disks keep their
    names and places, for traces that one can read; else states in which they have changed places
    are one, and a trace names them by where they are."""

    def __init__(
        self, bounds: Bounds, broken: frozenset[Rule] = frozenset(), *, named: bool = False
    ) -> None:
        names = "abcd"[: len(bounds.terms)]
        self._bounds = bounds
        self._broken = broken
        self._named = named
        self._terms = dict(zip(names, bounds.terms, strict=True))
        self._logstore = Logstore(self._terms, broken)
        self._change = Ensembles(bounds, broken, self._logstore)
        self._opening = Opening(self._terms, broken, self._logstore, self._change)
        self._writing = Writing(bounds, self._terms, broken, self._change)
        self._uploading = Uploading(self._terms, broken)
        self._arrivals = Arrivals(self._opening, self._writing, broken, self._logstore)
        self._checks = Checks(broken)

    def start(self) -> State:
        state = self._beginning()
        whole = QuorumModel(self._bounds, named=True)  # nothing is broken before it begins
        for wanted in self._bounds.prelude:
            taken = dict(whole.steps(state))
            assert wanted in taken, f"cannot {wanted!r}, only {sorted(taken)}"
            state = taken[wanted]
        if not self._named:
            state = state._replace(disks=tuple(d._replace(name="") for d in state.disks))
        return self._simplest(state)

    def violation(self, state: State) -> str | None:
        return self._checks.violation(state)

    def steps(self, state: State) -> Iterator[Step]:
        for at, writer in enumerate(state.writers):
            if writer.phase == GONE:
                continue
            yield from self._own(state, at)
            for place, disk in enumerate(state.disks):
                name = disk.name or f"disk {place}"
                for label, after in self._between(state, at, place):
                    yield f"{name} {label}", self._simplest(after)
            if writer.phase == OPEN and self._bounds.uploads:
                for label, after in self._uploading.steps(state, at):
                    yield label, self._simplest(after)
        if self._bounds.uploads:
            for label, after in self._uploading.trims(state):
                yield label, self._simplest(after)
        yield from self._losses(state)
        if self._broken:
            yield from self._restarts(state)
            yield from self._readings(state)

    def _beginning(self) -> State:
        owned = self._bounds.owned
        phase = BEGINNING if self._bounds.uploads else OPENING
        writers = [Writer(name, phase) for name in self._terms]
        nobody = (NOT_HEARD,) * len(writers)
        member = Disk("", HERE, FIRST_ENSEMBLE, "", (), nobody)
        spare = Disk("", SPARE, "", "", (), nobody)
        if owned:
            writers[0] = writers[0]._replace(phase=OPEN)
            heard = (NOT_HEARD._replace(promised=True), *nobody[1:])
            member = member._replace(promised="a", heard=heard)
        disks = [member] * REPLICAS + [spare] * self._bounds.spares_count
        named = tuple(d._replace(name=name) for d, name in zip(disks, "ABCDE", strict=False))
        return State(named, tuple(writers), Manifest(term=self._bounds.terms[0] if owned else 0))

    # -- what can happen ----------------------------------------------------------------------

    def _own(self, state: State, at: int) -> Iterator[Step]:
        writer = state.writers[at]
        if writer.proposing:
            return
        steps = {
            BEGINNING: self._opening.begin,
            OPENING: self._opening.decide,
            FENCED: self._opening.commit,
        }
        for label, after in steps.get(writer.phase, self._writing.steps)(state, at):
            yield label, self._simplest(after)

    def _between(self, state: State, at: int, place: int) -> Iterator[Step]:
        """A writer and a logstore."""
        writer, disk = state.writers[at], state.disks[place]
        joined = self._change.join(state, at, place)
        if joined is not None:
            yield f"joins for {writer.name}", joined
        if writer.phase == BEGINNING or not self._logstore.answers(disk):
            return
        if writer.ensemble in disk.ensembles:
            asked = self._opening.ask(state, at, place)
            if asked is not None:
                yield f"tells {writer.name} its tail", asked
            promised = self._opening.promise(state, at, place)
            if promised is not None:
                yield f"promises {writer.name}", promised
        yield from self._arrivals.steps(state, at, place)

    def _losses(self, state: State) -> Iterator[Step]:
        if state.lost_count == self._bounds.lost_max:
            return
        for place, disk in enumerate(state.disks):
            if disk.presence == HERE:
                lost = disk._replace(presence=LOST, promised="", segments=())
                after = state.with_disk(place, lost)._replace(lost_count=state.lost_count + 1)
                yield f"{disk.name or place} loses everything", self._simplest(after)

    def _restarts(self, state: State) -> Iterator[Step]:
        """A logstore that starts again has what it replied to. Unless it replied too early."""
        for place, disk in enumerate(state.disks):
            for after in self._forgetting(disk):
                label = f"{disk.name or place} starts again, and has forgotten something"
                yield label, self._simplest(state.with_disk(place, after))

    def _forgetting(self, disk: Disk) -> Iterator[Disk]:
        if Rule.PROMISE_STORED in self._broken:
            for name, heard in zip(self._terms, disk.heard, strict=True):
                if heard.promised and self._terms[name] < self._terms.get(disk.promised, 0):
                    yield disk._replace(promised=name)
        for number, (blocks, final) in enumerate(disk.segments):
            if Rule.BLOCK_STORED in self._broken and blocks:
                yield disk.with_segment(number, Segment(blocks[:-1], final))
            if Rule.FINAL_STORED in self._broken and final != NO_FINAL:
                yield disk.with_segment(number, Segment(blocks))

    def _readings(self, state: State) -> Iterator[Step]:
        """Readers see what is confirmed: clients know that already, so it changes nothing. Unless
        they see more."""
        for place, disk in enumerate(state.disks):
            for number, segment in enumerate(disk.segments):
                end = segment.final.end if Rule.FINAL_IS_NOT_CONFIRMED in self._broken else 0
                if Rule.READ_CONFIRMED in self._broken:
                    end = len(segment.blocks)
                entries = [""] * max((int(e[1:]) + 1 for e in segment.blocks[:end]), default=0)
                for entry in segment.blocks[:end]:
                    entries[int(entry[1:])] = entry
                if (any(entries) and segment.final != NO_FINAL) or end:
                    after = show(state, tuple(entries), "a reader")
                    yield f"a reader reads segment {number} of {disk.name or place}", after

    # -- states that are one ------------------------------------------------------------------

    def _simplest(self, state: State) -> State:
        """The one of all states that differ by nothing that can ever matter."""
        if not {Rule.APPEND_PROMISED, Rule.FINAL_PROMISED} & self._broken:
            for at, writer in enumerate(state.writers):
                uploads = self._bounds.uploads and writer.phase == OPEN
                if writer.phase != GONE and not uploads and not self._can_act(state, writer):
                    state = state.with_writer(at, Writer(writer.name, GONE))
                    for place, disk in enumerate(state.disks):
                        state = state.with_disk(place, disk.with_heard(at, NOT_HEARD))
        if self._named:
            return state
        return state._replace(disks=tuple(sorted(state.disks)))

    def _can_act(self, state: State, writer: Writer) -> bool:
        """Is there a logstore that takes anything from it?"""
        term = self._terms[writer.name]
        above = term + (Rule.PROMISE_ABOVE in self._broken)
        return any(
            disk.presence != LOST
            and (disk.promised == writer.name or above > self._terms.get(disk.promised, 0))
            for disk in state.disks
        )
