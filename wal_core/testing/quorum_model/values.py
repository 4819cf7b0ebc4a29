"""What the model of quorum mode is made of: logstores, and the writers that use them.

No message is kept. Whoever sent something may have sent it long ago and often, so anything that a
writer ever sent may arrive at any time, in any order, again, or never; a logstore's effect and its
reply are one step. A reply that is late or lost adds nothing: it lets a writer do later, or never,
what it may do now, and there is no clock. Between any two steps anybody may pause, or stop for
ever.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

Entries: TypeAlias = tuple[str, ...]
"""An entry is its writer and offset, "a0". Each block has one."""

FIRST_ENSEMBLE = "0"
"""An ensemble is called after the writer that made it; the first one was always there."""


class Final(NamedTuple):
    """The end of a segment, as one logstore has it, or somebody proposes it."""

    term: int = 0  # under which it was taken; 0: there is none
    end: int = 0
    by: str = ""  # whose completion or fence it is
    ensemble: str = ""  # of the next segment


NO_FINAL = Final()


class Segment(NamedTuple):
    """What one logstore has of a segment."""

    blocks: Entries = ()
    final: Final = NO_FINAL


NOTHING = Segment()


class Heard(NamedTuple):
    """What a writer has heard from a logstore."""

    promised: bool = False
    told: tuple[Segment, ...] = ()  # with the promise, while the writer opens the log
    end: int = 0  # of the segment it writes
    accepted: bool = False  # the final it proposes
    joined: bool = False


NOT_HEARD = Heard()

SPARE, HERE, LOST = range(3)


class Disk(NamedTuple):
    """A logstore's disk, and what the writers have heard from it: so disks can be put in any order,
    and states which differ by the order alone are one."""

    name: str
    presence: int  # SPARE: does not know the log. LOST: with all that was on it
    ensembles: str  # which of them name it
    promised: str  # to whom; "" for nobody
    segments: tuple[Segment, ...]  # without the empty ones behind the last
    heard: tuple[Heard, ...]  # by writer

    def without_segments(self, count: int) -> Disk:
        """Trimmed: the first `count` are gone."""
        rest = self.segments[count:]
        return self._replace(segments=(*[NOTHING] * count, *rest) if rest else ())

    def segment(self, number: int) -> Segment:
        return self.segments[number] if number < len(self.segments) else NOTHING

    def with_segment(self, number: int, segment: Segment) -> Disk:
        missing = number - len(self.segments)
        segments = (*self.segments[:number], *[NOTHING] * missing, segment)
        return self._replace(segments=segments + self.segments[number + 1 :])

    def with_heard(self, at: int, heard: Heard) -> Disk:
        return self._replace(heard=(*self.heard[:at], heard, *self.heard[at + 1 :]))


class Proposal(NamedTuple):
    """A final that was sent to an ensemble, with the blocks it ends."""

    segment: int
    ensemble: str
    final: Final
    blocks: Entries


BEGINNING, OPENING, FENCED, OPEN, GONE = range(5)
"""BEGINNING: has read nothing yet. FENCED: its own fence is chosen. GONE: nothing it sent can be
taken any more."""


class Writer(NamedTuple):
    """Somebody who opens the log once, owns it, and may be overtaken without knowing."""

    name: str
    phase: int = OPENING
    segment: int = 0  # being recovered or written
    ensemble: str = FIRST_ENSEMBLE  # of that segment
    entries: Entries = ()  # of all segments before
    sent: Entries = ()  # blocks of the segment it writes
    confirmed: int = 0  # of them
    pointer: int = 0  # of the manifest it began with
    uploaded: tuple[int, int] = (0, 0)  # a segment and how much of it, for who does not look
    proposals: tuple[Proposal, ...] = ()
    proposing: bool = False  # the last of them, and waits


class Uploaded(NamedTuple):
    """What the bucket has of a segment."""

    objects: tuple[tuple[int, Entries], ...] = ()  # from which block on, and the blocks
    footer: Final = NO_FINAL  # without a term: the one that was chosen

    @property
    def blocks(self) -> Entries:
        """All from the first on; "" for those of a gap."""
        blocks: Entries = ()
        for position, content in self.objects:
            blocks += ("",) * (position - len(blocks)) + content
        return blocks


class Manifest(NamedTuple):
    """The newest: segments before the pointer are read from the bucket alone."""

    pointer: int = 0
    ensemble: str = FIRST_ENSEMBLE  # of the segment it points to
    term: int = 0


class State(NamedTuple):
    """One state of everything. Nobody in the model reads the last row: the counts bound the run,
    the rest is memory of the checks."""

    disks: tuple[Disk, ...]
    writers: tuple[Writer, ...]
    manifest: Manifest = Manifest()  # the newest
    bucket: tuple[Uploaded, ...] = ()  # by segment
    appended_count: int = 0
    rolls_count: int = 0
    changes_count: int = 0
    lost_count: int = 0
    visible: Entries = ()  # acknowledged, or served by somebody who opened the log
    wrong: str = ""

    def uploaded(self, number: int) -> Uploaded:
        return self.bucket[number] if number < len(self.bucket) else Uploaded()

    def with_uploaded(self, number: int, uploaded: Uploaded) -> State:
        missing = [Uploaded()] * (number - len(self.bucket))
        bucket = (*self.bucket[:number], *missing, uploaded, *self.bucket[number + 1 :])
        return self._replace(bucket=bucket)

    def with_disk(self, at: int, disk: Disk) -> State:
        return self._replace(disks=(*self.disks[:at], disk, *self.disks[at + 1 :]))

    def with_writer(self, at: int, writer: Writer) -> State:
        return self._replace(writers=(*self.writers[:at], writer, *self.writers[at + 1 :]))


Step: TypeAlias = tuple[str, State]
"""What a trace calls it, and the state after."""
