"""The steps of a writer that owns, or believes it owns, the log."""

from __future__ import annotations

from collections.abc import Iterator

from wal_core.testing.quorum_model.checks import show
from wal_core.testing.quorum_model.ensembles import Ensembles
from wal_core.testing.quorum_model.rules import ACKS, Bounds, Rule
from wal_core.testing.quorum_model.values import Final, Proposal, State, Step


class Writing:
    """append, confirm when two logstores have it; _roll with a final."""

    def __init__(
        self,
        bounds: Bounds,
        terms: dict[str, int],
        broken: frozenset[Rule],
        change: Ensembles,
    ) -> None:
        self._bounds = bounds
        self._terms = terms
        self._broken = broken
        self._change = change
        self._acks = 1 if Rule.CONFIRM_AT_TWO in broken else ACKS

    def steps(self, state: State, at: int) -> Iterator[Step]:
        writer = state.writers[at]
        if state.appended_count < self._bounds.blocks_max:
            entry = f"{writer.name}{len(writer.entries) + len(writer.sent)}"
            after = state.with_writer(at, writer._replace(sent=(*writer.sent, entry)))
            after = after._replace(appended_count=state.appended_count + 1)
            yield f"{writer.name} appends {entry}", after
        rolls = state.rolls_count < self._bounds.rolls_max
        if rolls and writer.confirmed == len(writer.sent) > 0:
            yield from self._roll(state, at)

    def _roll(self, state: State, at: int) -> Iterator[Step]:
        writer = state.writers[at]
        for ensemble, words, changed in self._change.choices(state, at):
            final = Final(self._terms[writer.name], len(writer.sent), writer.name, ensemble)
            proposal = Proposal(writer.segment, writer.ensemble, final, writer.sent)
            rolling = writer._replace(proposals=(*writer.proposals, proposal), proposing=True)
            after = changed.with_writer(at, rolling)._replace(rolls_count=state.rolls_count + 1)
            if Rule.ROLL_WHEN_CHOSEN in self._broken:
                after = self.rolled(after, at)
            yield f"{writer.name} completes segment {writer.segment}, {words}", after

    def rolled(self, state: State, at: int) -> State:
        """The final is chosen: the next segment begins."""
        writer = state.writers[at]
        final = writer.proposals[-1].final
        after = state.with_writer(
            at,
            writer._replace(
                segment=writer.segment + 1,
                ensemble=final.ensemble,
                entries=writer.entries + writer.sent,
                sent=(),
                confirmed=0,
                proposing=False,
            ),
        )
        for place, disk in enumerate(after.disks):
            heard = disk.heard[at]._replace(end=0, accepted=False)
            after = after.with_disk(place, disk.with_heard(at, heard))
        return after

    def confirm(self, state: State, at: int) -> State:
        """The second highest end of the three: everything before it is acknowledged."""
        writer = state.writers[at]
        members = [disk for disk in state.disks if writer.ensemble in disk.ensembles]
        end = sorted(disk.heard[at].end for disk in members)[-self._acks]
        if end <= writer.confirmed:
            return state
        after = state.with_writer(at, writer._replace(confirmed=end))
        return show(after, writer.entries + writer.sent[:end], writer.name)
