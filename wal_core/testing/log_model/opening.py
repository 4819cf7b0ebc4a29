"""The steps of whoever opens a log, up to owning it. Named as in recovery.py."""

from __future__ import annotations

from collections.abc import Iterator

from wal_core.testing.log_model.checks import check_opened
from wal_core.testing.log_model.rules import Bounds, Rule
from wal_core.testing.log_model.values import (
    DATA,
    FENCE,
    NO_MANIFEST,
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
    """_read_manifest -> _segments -> _restore -> _recover_segment -> _fence -> _look at both again,
    as _own_the_past does -> _follow -> _commit a manifest of its own term. What is read
    once is kept, however old it is when it is used."""

    def __init__(self, bounds: Bounds, broken: frozenset[Rule]) -> None:
        self._broken = broken
        self._first_phase = Phase.MANIFEST if bounds.commits_max else Phase.SEGMENTS
        looks = bounds.commits_max and Rule.LOOK_AGAIN not in broken
        self._after_fence = Phase.LOOK if looks else Phase.OPEN

    def begin(self, name: str) -> Writer:
        return Writer(name, self._first_phase)

    def steps(self, state: State, at: int, objects: Objects) -> Iterator[Step]:
        writer = state.writers[at]
        try:
            if writer.phase == Phase.FENCE:
                yield from self._fence(state, at, objects)
            elif writer.phase == Phase.LOOK:
                for name, after in self._look(writer, objects):
                    looked = state.with_writer(at, after)
                    if after.phase == Phase.COMMIT:
                        looked = looked.sending(("manifests", after.number, 0), after.manifest)
                    yield f"{writer.name}.{name}", looked
            elif writer.phase == Phase.COMMIT:
                yield from self._commit(state, at, objects)
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
            yield self._gone(state, at, objects, str(reason))

    def _gone(self, state: State, at: int, objects: Objects, reason: str) -> Step:
        """What does not fit together was compacted meanwhile, or else it is damage."""
        writer = state.writers[at]
        label = f"{writer.name} is overtaken: {reason}"
        moved = newest_manifest(objects)[1].live_from > writer.live_from
        if not moved or Rule.GONE_IS_NO_DAMAGE in self._broken:
            return label, state._replace(wrong=f"Corrupt, {writer.name} says: {reason}")
        return label, state.with_writer(at, _overtaken(writer))

    # -- reading ---------------------------------------------------------------------------

    def _read_manifest(self, writer: Writer, objects: Objects) -> Writer:
        _, manifest = newest_manifest(objects)
        return writer._replace(
            phase=Phase.SEGMENTS, live_from=manifest.live_from, term=manifest.term
        )

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
            first=writer.names[0] if writer.names else 0,
            segment=segment,
            state=footer.entries if footer else (),
            term=max(writer.term, footer.term if footer else 0),
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
        return writer._replace(phase=self._after_fence, block_count=0, flights=())

    # -- owning the past -------------------------------------------------------------------

    def _look(self, writer: Writer, objects: Objects) -> Iterator[tuple[str, Writer]]:
        """Two looks, in any order, at facts that never become untrue again: so no clock is needed.
        Then send the manifest of our own term."""
        if not writer.looked:
            later = list_segments(objects, writer.segment)
            looked = _overtaken(writer) if later else writer._replace(looked=True)
            yield "_look_at_segments", self._follow(looked)
        if writer.number < 0:
            number, newest = newest_manifest(objects)
            passed = newest.live_from >= writer.segment or newest.term >= writer.term
            if passed:
                yield "_look_at_manifest", _overtaken(writer)
            else:
                read = writer._replace(number=number, manifest=newest)
                yield "_look_at_manifest", self._follow(read)

    def _follow(self, writer: Writer) -> Writer:
        """Both looks done: take over what the newest manifest says, and what was found behind."""
        if writer.phase != Phase.LOOK or not writer.looked or writer.number < 0:
            return writer
        newest = writer.manifest
        names = tuple(range(writer.first, writer.segment))
        live_from = writer.live_from
        if Rule.FOLLOW_NEWEST not in self._broken:
            live_from = newest.live_from
            names = tuple(name for name in names if name >= live_from)
            if names[:1] != (live_from,):
                raise Gone("segments behind the sealed ones are missing")
        return writer._replace(
            phase=Phase.COMMIT,
            live_from=live_from,
            names=names,
            looked=False,
            number=writer.number + 1,
            manifest=newest._replace(nonce=0, term=writer.term),
        )

    def _commit(self, state: State, at: int, objects: Objects) -> Iterator[Step]:
        """The answer: ours and the newest, or somebody who compacts came first: look again."""
        writer = state.writers[at]
        found = objects.get(("manifests", writer.number, 0))
        label = f"{writer.name}._commit {writer.number}"
        if found is None and newest_manifest(objects)[0] < writer.number:
            return  # on its way
        if found != writer.manifest or newest_manifest(objects)[0] > writer.number:
            again = writer._replace(phase=Phase.LOOK, number=-1, manifest=NO_MANIFEST)
            yield f"{label}: came second", state.with_writer(at, again)
        else:
            owner = writer._replace(phase=Phase.OPEN, number=-1, manifest=NO_MANIFEST)
            opened = state.with_writer(at, owner)
            yield f"{label}: created", check_opened(opened, at)


def _overtaken(writer: Writer) -> Writer:
    """For good: who tries again is another writer."""
    return Writer(writer.name, Phase.OVERTAKEN)


_READS = {
    Phase.MANIFEST: Opening._read_manifest,
    Phase.SEGMENTS: Opening._segments,
    Phase.RESTORE: Opening._restore,
    Phase.RECOVER: Opening._recover_segment,
}
