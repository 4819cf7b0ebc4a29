"""The steps of whoever opens a log, up to owning it."""

from __future__ import annotations

from collections.abc import Iterator

from wal_core.testing.quorum_model.checks import check_opened, read_bucket
from wal_core.testing.quorum_model.ensembles import Ensembles
from wal_core.testing.quorum_model.logstore import Logstore
from wal_core.testing.quorum_model.recovery import decide, promises_min
from wal_core.testing.quorum_model.rules import Rule
from wal_core.testing.quorum_model.values import (
    FENCED,
    NO_FINAL,
    NOTHING,
    OPEN,
    OPENING,
    Final,
    Proposal,
    State,
    Step,
    Writer,
)


class Opening:
    """_promise to two or more, then segment by segment _decide its end, propose it as a final, and
    go on behind it when it is chosen, until that is a fence of one's own."""

    def __init__(
        self, terms: dict[str, int], broken: frozenset[Rule], logstore: Logstore, change: Ensembles
    ) -> None:
        self._terms = terms
        self._broken = broken
        self._logstore = logstore
        self._change = change

    def begin(self, state: State, at: int) -> Iterator[Step]:
        """Read the newest manifest, and from the bucket what lies before its pointer."""
        writer = state.writers[at]
        pointer, ensemble, _ = state.manifest
        began = writer._replace(
            phase=OPENING,
            segment=pointer,
            ensemble=ensemble,
            entries=read_bucket(state.bucket, pointer),
            pointer=pointer,
        )
        yield f"{writer.name} reads the manifest", state.with_writer(at, began)

    def ask(self, state: State, at: int, place: int) -> State | None:
        """The tail alone, without a promise: nobody should."""
        disk = state.disks[place]
        heard = disk.heard[at]
        if heard.promised or heard.told or Rule.PROMISE_TELLS not in self._broken:
            return None
        told = heard._replace(told=disk.segments or (NOTHING,))
        return state.with_disk(place, disk.with_heard(at, told))

    def promise(self, state: State, at: int, place: int) -> State | None:
        """Also for a laggard of a log that is open: with the promise it may take its blocks."""
        writer, disk = state.writers[at], state.disks[place]
        if disk.heard[at].promised:
            return None
        after = self._logstore.promise(disk, writer.name)
        if after is None:
            return None
        heard = after.heard[at]._replace(promised=True)
        if writer.phase == OPENING:
            heard = heard._replace(told=heard.told or disk.segments)
        return state.with_disk(place, after.with_heard(at, heard))

    def decide(self, state: State, at: int) -> Iterator[Step]:
        """The end of the segment, from whatever replies there are by now."""
        writer = state.writers[at]
        members = [disk for disk in state.disks if writer.ensemble in disk.ensembles]
        replies = [disk.heard[at].told for disk in members if disk.heard[at].promised]
        if len(replies) < promises_min(self._broken):
            return
        number = writer.segment
        found = decide([t[number] if number < len(t) else NOTHING for t in replies], self._broken)
        if found is None:
            return
        seen, end, blocks = found
        term = self._terms[writer.name]
        if seen != NO_FINAL:
            proposal = Proposal(number, writer.ensemble, seen._replace(term=term), blocks)
            after = _proposing(state, at, proposal)
            if Rule.CHOOSE_AGAIN in self._broken:
                after = self.chosen(after, at)
            yield f"{writer.name} sees the final of {seen.by}, {len(blocks)} blocks", after
            return
        for ensemble, words, changed in self._change.choices(state, at):
            final = Final(term, end, writer.name, ensemble)
            after = _proposing(changed, at, Proposal(number, writer.ensemble, final, blocks))
            if Rule.END_IS_FINAL in self._broken:
                after = self.chosen(after, at)
                after = after.with_writer(at, after.writers[at]._replace(proposals=()))
            yield f"{writer.name} decides on {blocks}, {words}", after

    def chosen(self, state: State, at: int) -> State:
        """The segment has ended: on to the next, as its owner if the final is one's own."""
        writer = state.writers[at]
        segment, ensemble, final, blocks = writer.proposals[-1]
        own = final.by == writer.name or Rule.OWN_FENCE in self._broken
        if Rule.FINAL_NAMES_NEXT not in self._broken or final.by == writer.name:
            ensemble = final.ensemble
        after = state.with_writer(
            at,
            writer._replace(
                phase=FENCED if own else writer.phase,
                segment=segment + 1,
                ensemble=ensemble,
                entries=writer.entries + blocks,
                proposing=False,
            ),
        )
        for place, disk in enumerate(after.disks):
            heard = disk.heard[at]
            later = () if own else heard.told[segment + 1 :]
            told = (*[NOTHING] * (segment + 1), *later) if later else ()
            heard = heard._replace(told=told, accepted=False)
            after = after.with_disk(place, disk.with_heard(at, heard))
        return self._serve(after, at) if own and Rule.MANIFEST_LAST in self._broken else after

    def commit(self, state: State, at: int) -> Iterator[Step]:
        """A manifest of one's own term behind the newest, unless that has a higher one: to read
        the newest and to create the one behind it are two steps, which count if nobody came
        between; so they are one here."""
        writer = state.writers[at]
        term, newest = self._terms[writer.name], state.manifest
        moved = newest.pointer != writer.pointer and Rule.BEGIN_AGAIN not in self._broken
        if newest.term < term and not moved:
            committed = state._replace(manifest=newest._replace(term=term))
            yield f"{writer.name} commits its manifest", self._serve(committed, at)

    def _serve(self, state: State, at: int) -> State:
        opened = state.writers[at]._replace(phase=OPEN)
        return check_opened(state.with_writer(at, opened), at)


def _proposing(state: State, at: int, proposal: Proposal) -> State:
    writer: Writer = state.writers[at]
    proposals = (*writer.proposals, proposal)
    return state.with_writer(at, writer._replace(proposals=proposals, proposing=True))
