"""What the model of the log is made of: the store, the messages to it, and who sends them.

The store maps keys to objects that never change. A PUT is a message: once sent it may arrive at any
time, never, or again after its object was deleted; its effect and its answer are two steps. Whoever
sent it repeats it until it knows the outcome, so a lost answer is a repetition that finds the slot
taken and reads it back. Between any two steps anybody may pause, or stop for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias

Key: TypeAlias = tuple[str, int, int]
"""("logs", segment, block), ("manifests", number, 0) or ("sealed", number, nonce)."""

Entries: TypeAlias = tuple[str, ...]
"""An entry is its writer and offset, "a0"; with "!" it also moves the log's start to itself."""

DATA, COMPLETE, FENCE = "data", "complete", "fence"


class Block(NamedTuple):
    """What fills a slot. A footer's entries are the checkpoint and the ends of the streams in one:
    everything in the log up to the end of its segment."""

    kind: str
    writer: str
    term: int
    base: int  # offset of a data block's one entry; of a footer: the number of data blocks
    entries: Entries


class Manifest(NamedTuple):
    """Which sealed segments stand for everything before segment `live_from`, and what is garbage:
    keys of sealed segments, ("logs", segment, 0), and ("fence", segment, 0) for its fence slot."""

    nonce: int  # of a compactor's attempt; 0 for an opener
    term: int  # of the opener; a compactor passes on what it read
    commits_count: int  # of compactors so far
    live_from: int
    sealed: tuple[Key, ...]
    garbage: tuple[Key, ...]


class Sealed(NamedTuple):
    entries: Entries


Object: TypeAlias = Block | Manifest | Sealed
Objects: TypeAlias = Mapping[Key, Object]

NO_MANIFEST = Manifest(0, 0, 0, 0, (), ())


class Flight(NamedTuple):
    """A block whose writer does not know the outcome yet, or knows and waits for earlier ones."""

    key: Key
    block: Block
    created: bool = False  # an answer saying so is on its way
    durable: bool = False  # the sender knows


class Phase:
    """Where a writer is. Opening goes through all of them in this order, or is overtaken."""

    OVERTAKEN = -1
    MANIFEST, SEGMENTS, RESTORE, RECOVER, FENCE, LOOK, COMMIT, OPEN, STOPPED = range(9)


class Writer(NamedTuple):
    name: str
    phase: int
    live_from: int = 0  # of the manifest that was read
    names: tuple[int, ...] = ()  # segments listed; in the end those it takes for its history
    first: int = 0  # of them
    segment: int = 0  # being replayed or written
    block_count: int = 0  # of it, replayed or confirmed
    state: Entries = ()  # replayed and confirmed
    term: int = 0  # the highest seen, from the fence on our own
    flights: tuple[Flight, ...] = ()  # in slot order
    looked: bool = False  # behind the fence, and there is no later segment
    number: int = -1  # of the manifest read there; then of the one it commits
    manifest: Manifest = NO_MANIFEST  # the same

    @property
    def opened(self) -> bool:
        return self.phase >= Phase.OPEN


class Compactor(NamedTuple):
    """Compaction and garbage collection, for logs with and without a writer."""

    name: str
    nonce: int  # of the next attempt
    phase: str = "idle"  # -> "planning" -> "committing" -> "idle", or "lost" -> "idle"
    number: int = 0  # of the manifest that was read
    manifest: Manifest = NO_MANIFEST  # that manifest; from "committing" on the one to commit
    output: Key | None = None
    created: bool = False  # an answer saying so is on its way


class Collector(NamedTuple):
    """A deleter that may pause between listing manifests, reading one, and deleting."""

    name: str
    number: int = 0  # of the manifest that was the newest when they were listed
    garbage: tuple[Key, ...] = ()


class State(NamedTuple):
    """One state of everything. The last row is memory of the checks, nobody in the model reads it
    but `gone` and the counts, which bound the run."""

    store: tuple[tuple[Key, Object], ...]
    sent: tuple[tuple[Key, Object], ...]
    writers: tuple[Writer, ...]
    compactors: tuple[Compactor, ...]
    collectors: tuple[Collector, ...] = ()
    appended_count: int = 0
    truncations_count: int = 0
    late_count: int = 0  # messages that arrived where something had been deleted
    crashes_count: int = 0
    gone: tuple[Key, ...] = ()  # deleted
    acks: Entries = ()  # by offset; "" where none was given
    stragglers: tuple[Key, ...] = ()
    wrong: str = ""

    def with_writer(self, at: int, writer: Writer) -> State:
        return self._replace(writers=(*self.writers[:at], writer, *self.writers[at + 1 :]))

    def with_compactor(self, at: int, compactor: Compactor) -> State:
        others = self.compactors
        return self._replace(compactors=(*others[:at], compactor, *others[at + 1 :]))

    def with_collector(self, at: int, collector: Collector) -> State:
        others = self.collectors
        return self._replace(collectors=(*others[:at], collector, *others[at + 1 :]))

    def sending(self, key: Key, item: Object) -> State:
        return self._replace(sent=tuple(sorted({*self.sent, (key, item)})))


Step: TypeAlias = tuple[str, State]
"""What a trace calls it, and the state after."""


# -- looking at the store --------------------------------------------------------------------------


def newest_manifest(objects: Objects) -> tuple[int, Manifest]:
    """The highest number counts; 0 when there is none."""
    number = max((key[1] for key in objects if key[0] == "manifests"), default=0)
    found = objects.get(("manifests", number, 0), NO_MANIFEST)
    assert isinstance(found, Manifest)
    return number, found


def list_segments(objects: Objects, live_from: int) -> tuple[int, ...]:
    return tuple(sorted({k[1] for k in objects if k[0] == "logs" and k[1] >= live_from}))


def block_at(objects: Objects, segment: int, block: int) -> Block | None:
    found = objects.get(("logs", segment, block))
    assert found is None or isinstance(found, Block)
    return found


def read_footer(objects: Objects, segment: int) -> Block | None:
    """Backwards from the last object, as the store does."""
    for key in sorted((k for k in objects if k[:2] == ("logs", segment)), reverse=True):
        block = objects[key]
        if isinstance(block, Block) and block.kind != DATA:
            return block
    return None


def dense_blocks(objects: Objects, segment: int) -> Iterator[Block]:
    """From slot 0 to the first free one, or to the footer."""
    at = 0
    while (block := block_at(objects, segment, at)) is not None:
        yield block
        if block.kind != DATA:
            return
        at += 1


def offset_of(entry: str) -> int:
    return int(entry[1])


def start_of(entries: Entries) -> int:
    """The log's start: the last entry that moved it."""
    return max((offset_of(entry) for entry in entries if entry.endswith("!")), default=0)
