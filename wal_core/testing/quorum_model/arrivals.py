"""How what the writers have sent reaches the logstores."""

from __future__ import annotations

from collections.abc import Iterator

from wal_core.testing.quorum_model.logstore import Logstore
from wal_core.testing.quorum_model.opening import Opening
from wal_core.testing.quorum_model.recovery import finals_min
from wal_core.testing.quorum_model.rules import Rule
from wal_core.testing.quorum_model.values import OPEN, Proposal, State, Step
from wal_core.testing.quorum_model.writing import Writing


class Arrivals:
    """Blocks, copies of blocks, and finals; those of segments long left, too."""

    def __init__(
        self, opening: Opening, writing: Writing, broken: frozenset[Rule], logstore: Logstore
    ) -> None:
        self._opening = opening
        self._writing = writing
        self._broken = broken
        self._logstore = logstore

    def steps(self, state: State, at: int, place: int) -> Iterator[Step]:
        writer, disk = state.writers[at], state.disks[place]
        if writer.phase == OPEN and writer.ensemble in disk.ensembles and not writer.proposing:
            yield from self._blocks(state, at, place)
        for proposal in writer.proposals:
            if proposal.ensemble in disk.ensembles:
                current = writer.proposing and proposal is writer.proposals[-1]
                yield from self._copies(state, at, place, proposal)
                yield from self._finals(state, at, place, proposal, current=current)

    def _blocks(self, state: State, at: int, place: int) -> Iterator[Step]:
        """Behind what the logstore has; over gaps, too, if it takes that."""
        writer, disk = state.writers[at], state.disks[place]
        had = disk.segment(writer.segment).blocks
        behind = len(writer.sent) if Rule.APPEND_DENSE in self._broken else len(had) + 1
        for number in range(len(had), min(behind, len(writer.sent))):
            block = writer.sent[number]
            taken = self._logstore.append(disk, writer.name, writer.segment, number, block)
            if taken is None:
                continue
            taken = taken.with_heard(at, taken.heard[at]._replace(end=number + 1))
            after = self._writing.confirm(state.with_disk(place, taken), at)
            strangers = [other for other in had if other[:1] not in ("", block[:1])]
            if strangers:
                after = after._replace(wrong=f"I4: {block} and {strangers[0]} in one segment")
            yield f"takes {block} of {writer.name}", after

    def _copies(self, state: State, at: int, place: int, proposal: Proposal) -> Iterator[Step]:
        """Of the blocks that a final ends, the first that is missing."""
        writer, disk = state.writers[at], state.disks[place]
        number = len(disk.segment(proposal.segment).blocks)
        if number < len(proposal.blocks):
            block = proposal.blocks[number]
            taken = self._logstore.append(disk, writer.name, proposal.segment, number, block)
            if taken is not None:
                yield f"takes a copy of {block} from {writer.name}", state.with_disk(place, taken)

    def _finals(
        self, state: State, at: int, place: int, proposal: Proposal, *, current: bool
    ) -> Iterator[Step]:
        writer, disk = state.writers[at], state.disks[place]
        segment, final = proposal.segment, proposal.final
        news = current and not disk.heard[at].accepted
        if disk.segment(segment).final == final and not news:
            return
        taken = self._logstore.accept(disk, writer.name, segment, final)
        if taken is None:
            return
        label = f"takes the final of {writer.name}, {final.end} blocks in segment {segment}"
        if not current:
            yield label, state.with_disk(place, taken)
            return
        taken = taken.with_heard(at, taken.heard[at]._replace(accepted=True))
        after = state.with_disk(place, taken)
        if sum(other.heard[at].accepted for other in after.disks) < finals_min(self._broken):
            yield label, after
            return
        chosen = self._writing.rolled if writer.phase == OPEN else self._opening.chosen
        yield f"{label}: chosen", chosen(after, at)
