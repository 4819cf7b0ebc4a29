"""How segments come to the bucket, the pointer passes them, and logstores forget them."""

from __future__ import annotations

from collections.abc import Iterator

from wal_core.testing.quorum_model.checks import show
from wal_core.testing.quorum_model.rules import Rule
from wal_core.testing.quorum_model.values import (
    NO_FINAL,
    Entries,
    Final,
    Manifest,
    State,
    Step,
    Writer,
)


class Uploading:
    """By whoever owns the log or believes so: everything it tells the bucket stays true. An object
    is created, never written over: when it was sent does not matter, only what is there when it
    arrives."""

    def __init__(self, terms: dict[str, int], broken: frozenset[Rule]) -> None:
        self._terms = terms
        self._broken = broken

    def steps(self, state: State, at: int) -> Iterator[Step]:
        """Of the first segment that the bucket has no footer of."""
        writer = state.writers[at]
        without = [number for number, had in enumerate(state.bucket) if had.footer == NO_FINAL]
        number = without[0] if without else len(state.bucket)
        blocks, final = self._known(writer, number)
        yield from self._objects(state, at, number, blocks)
        had = state.uploaded(number)
        whole = self._position(state, at, number) >= final.end
        if final != NO_FINAL and (whole or Rule.POINTER_WHEN_UPLOADED in self._broken):
            after = state.with_uploaded(number, had._replace(footer=final._replace(term=0)))
            yield f"{writer.name} uploads the footer of segment {number}", after
        yield from self._moves(state, at)

    def _known(self, writer: Writer, number: int) -> tuple[Entries, Final]:
        """What is confirmed of a segment, and its final when that is chosen."""
        if number == writer.segment and not writer.proposing:
            early = Rule.UPLOAD_CONFIRMED in self._broken
            return writer.sent[: None if early else writer.confirmed], NO_FINAL
        for proposal in writer.proposals:
            if proposal.segment == number:
                current = proposal is writer.proposals[-1] and writer.proposing
                chosen = not current or Rule.FOOTER_WHEN_CHOSEN in self._broken
                return proposal.blocks, proposal.final if chosen else NO_FINAL
        return (), NO_FINAL

    def _position(self, state: State, at: int, number: int) -> int:
        """How much of the segment is uploaded, in the eyes of a writer."""
        segment, end = state.writers[at].uploaded
        return max(len(state.uploaded(number).blocks), end if segment == number else 0)

    def _objects(self, state: State, at: int, number: int, blocks: Entries) -> Iterator[Step]:
        """One object behind those that are there, with any number of blocks."""
        writer, had = state.writers[at], state.uploaded(number)
        position = self._position(state, at, number)
        for end in range(position + 1, len(blocks) + 1):
            content = blocks[position:end]
            objects = (*had.objects, (position, content))
            after = state.with_uploaded(number, had._replace(objects=objects))
            after = show(after, ("",) * int(content[0][1:]) + content, "the bucket")
            yield f"{writer.name} uploads {content} of segment {number}", after
            if had.objects and Rule.UPLOAD_COMPARE in self._broken:
                label = f"{writer.name} takes {blocks[:end]} of segment {number} for uploaded"
                skipped = writer._replace(uploaded=(number, end))
                yield label, state.with_writer(at, skipped)

    def _moves(self, state: State, at: int) -> Iterator[Step]:
        """The manifest with the pointer behind the next segment."""
        writer, (pointer, ensemble, term) = state.writers[at], state.manifest
        footer = state.uploaded(pointer).footer
        if term != self._terms[writer.name] or footer == NO_FINAL:
            return
        if Rule.POINTER_NAMES_ENSEMBLE not in self._broken:
            ensemble = footer.ensemble
        moved = state._replace(manifest=Manifest(pointer + 1, ensemble, term))
        yield f"{writer.name} moves the pointer behind segment {pointer}", moved

    def trims(self, state: State) -> Iterator[Step]:
        """Any logstore, at any time."""
        count = state.manifest.pointer
        if Rule.TRIM_BEHIND_POINTER in self._broken:
            count = sum(had.footer != NO_FINAL for had in state.bucket)
        for place, disk in enumerate(state.disks):
            trimmed = disk.without_segments(count)
            if trimmed != disk:
                yield (
                    f"{disk.name or place} forgets {count} segments",
                    state.with_disk(place, trimmed),
                )
