"""The steps of whoever opens a log, up to owning it. Named as in recovery.py."""

from __future__ import annotations

from collections.abc import Iterator

from wal_core.testing.log_model.checks import check_opened
from wal_core.testing.log_model.rules import Bounds, Rule
from wal_core.testing.log_model.values import (
    DATA,
    FENCE,
    Block,
    Flight,
    Objects,
    Phase,
    State,
    Step,
    Writer,
    block_at,
    dense_blocks,
    list_segments,
    newest_manifest,
    read_footer,
)


class Gone(Exception):
    """What is read does not fit together."""


class Opening:
    """_read_manifest -> _segments -> _restore -> _recover_segment -> _fence, then again the
    manifest and the segments. What is read once is kept, however old it is when it is used."""

    def __init__(self, bounds: Bounds, broken: frozenset[Rule]) -> None:
        self._broken = broken
        self._first_phase = Phase.MANIFEST if bounds.commits_max else Phase.SEGMENTS
        self._check_phase = Phase.CHECK if bounds.commits_max else Phase.OPEN
        if Rule.CHECK_AFTER_FENCE in broken:
            self._check_phase = Phase.HISTORY

    def begin(self, name: str) -> Writer:
        return Writer(name, self._first_phase)

    def steps(self, state: State, at: int, objects: Objects) -> Iterator[Step]:
        writer = state.writers[at]
        try:
            if writer.phase == Phase.FENCE:
                yield from self._fence(state, at, objects)
            elif writer.phase < Phase.OPEN:
                step = _READS[writer.phase]
                after = step(self, writer, objects)
                opened = state.with_writer(at, after)
                if after.flights:
                    opened = opened.sending(after.flights[0].key, after.flights[0].block)
                if after.opened:
                    opened = check_opened(opened, at)
                yield f"{writer.name}.{step.__name__}", opened
        except Gone as reason:
            yield self._start_over(state, at, objects, str(reason))

    def _start_over(self, state: State, at: int, objects: Objects, reason: str) -> Step:
        """What does not fit together was compacted meanwhile, or else it is damage."""
        writer = state.writers[at]
        label = f"{writer.name} starts over: {reason}"
        moved = newest_manifest(objects)[1].live_from > writer.live_from
        if not moved or Rule.GONE_IS_NO_DAMAGE in self._broken:
            return label, state._replace(wrong=f"Corrupt, {writer.name} says: {reason}")
        return label, state.with_writer(at, self.begin(writer.name))

    # -- reading ---------------------------------------------------------------------------

    def _read_manifest(self, writer: Writer, objects: Objects) -> Writer:
        _, manifest = newest_manifest(objects)
        return writer._replace(phase=Phase.SEGMENTS, live_from=manifest.live_from)

    def _segments(self, writer: Writer, objects: Objects) -> Writer:
        names = list_segments(objects, writer.live_from)
        return writer._replace(phase=Phase.RESTORE, names=names)

    def _restore(self, writer: Writer, objects: Objects) -> Writer:
        """Start from the newest footer; behind it there may be one unfinished segment."""
        names = list(writer.names)
        footer = read_footer(objects, names[-1]) if names else None
        segment = names[-1] + 1 if names else 0
        if names and footer is None:
            segment = names.pop()
            footer = read_footer(objects, names[-1]) if names else None
        if footer is None and (names or writer.live_from):
            raise Gone("no footer to start from")
        return writer._replace(
            phase=Phase.RECOVER,
            names=(),
            segment=segment,
            state=footer.entries if footer else (),
            term=footer.term if footer else 0,
        )

    def _recover_segment(self, writer: Writer, objects: Objects) -> Writer:
        for block in dense_blocks(objects, writer.segment):
            writer = self._take(writer, block)
            if block.kind != DATA:
                return self._ended(writer)
        if Rule.FENCE_AT_FIRST_GAP in self._broken:
            behind = max(
                (k[2] + 1 for k in objects if k[:2] == ("logs", writer.segment)), default=0
            )
            return self._with_fence(writer._replace(block_count=behind))
        return self._with_fence(writer)

    def _take(self, writer: Writer, block: Block) -> Writer:
        """Replay a data block, or end the segment with the footer found."""
        term = max(writer.term, block.term)
        if block.kind == DATA:
            if block.base != len(writer.state):
                raise Gone(f"{block.entries[0]} follows {len(writer.state)} entries")
            state = writer.state + block.entries
            return writer._replace(block_count=writer.block_count + 1, state=state, term=term)
        if block.base != writer.block_count:
            raise Gone("the footer counts other blocks than there are")
        if block.entries != writer.state and Rule.FOOTER_AGREES not in self._broken:
            raise Gone(f"a footer with other entries than {writer.state}")
        return writer._replace(segment=writer.segment + 1, block_count=0, term=term)

    def _ended(self, writer: Writer) -> Writer:
        if Rule.OWN_FENCE in self._broken:
            return self._owning(writer._replace(term=writer.term + 1))
        return writer._replace(phase=Phase.RECOVER, flights=())

    # -- fencing ---------------------------------------------------------------------------

    def _with_fence(self, writer: Writer) -> Writer:
        """Send our footer to the first free slot."""
        term = writer.term + (Rule.HIGHER_TERM not in self._broken)
        footer = Block(FENCE, writer.name, term, writer.block_count, writer.state)
        key = ("logs", writer.segment, writer.block_count)
        return writer._replace(phase=Phase.FENCE, flights=(Flight(key, footer),))

    def _fence(self, state: State, at: int, objects: Objects) -> Iterator[Step]:
        """The answer: ours, or another block is there, which counts."""
        writer = state.writers[at]
        flight = writer.flights[0]
        label = f"{writer.name}._fence {flight.key[1]}/{flight.key[2]}"
        found = block_at(objects, flight.key[1], flight.key[2])
        if flight.created or found == flight.block:
            term = flight.block.term
            owning = self._owning(writer._replace(segment=writer.segment + 1, term=term))
            after = state.with_writer(at, owning)
            yield f"{label}: created", check_opened(after, at) if owning.opened else after
        elif found is not None:
            if found.kind == DATA and Rule.REPLAY_WHO_WON in self._broken:
                writer = self._with_fence(writer._replace(block_count=writer.block_count + 1))
            else:
                writer = self._take(writer, found)
                writer = self._with_fence(writer) if found.kind == DATA else self._ended(writer)
            after = state.with_writer(at, writer)
            if writer.flights:
                after = after.sending(writer.flights[0].key, writer.flights[0].block)
            yield f"{label}: {found.entries if found.kind == DATA else found.kind} is there", after

    def _owning(self, writer: Writer) -> Writer:
        """A fence of our own is there: `segment` is now the next one, where we shall write."""
        return writer._replace(phase=self._check_phase, block_count=0, flights=())

    def _check_fence(self, writer: Writer, objects: Objects) -> Writer:
        """Facts checked here never become untrue again, so that no clock is needed."""
        _, manifest = newest_manifest(objects)
        if manifest.live_from >= writer.segment:
            return self.begin(writer.name)
        return writer._replace(phase=Phase.HISTORY, live_from=manifest.live_from)

    def _read_history(self, writer: Writer, objects: Objects) -> Writer:
        """The segments that readers will look into, behind the manifest read last."""
        names = tuple(n for n in list_segments(objects, writer.live_from) if n < writer.segment)
        whole = names == tuple(range(writer.live_from, writer.segment))
        if not whole and Rule.HISTORY_WITHOUT_GAP not in self._broken:
            return writer._replace(phase=Phase.CHECK)
        return writer._replace(phase=Phase.OPEN, names=names)


_READS = {
    Phase.MANIFEST: Opening._read_manifest,
    Phase.SEGMENTS: Opening._segments,
    Phase.RESTORE: Opening._restore,
    Phase.RECOVER: Opening._recover_segment,
    Phase.CHECK: Opening._check_fence,
    Phase.HISTORY: Opening._read_history,
}
