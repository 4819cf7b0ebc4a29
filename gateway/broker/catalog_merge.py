"""Letting what is known of the catalog become what the catalog says, and nothing more.

Topics and partitions keep being the same objects, whatever they were learnt from: requests wait on
them, and logs know them. What the catalog does not have is let go of: whoever wrote it was fenced
before it was durable. A topic is never missing while another one takes its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gateway.broker import state_keys as keys_of
from gateway.broker.catalog_state import CatalogState
from gateway.broker.state_keys import KeyKind
from gateway.broker.topics import Topic
from gateway.fairness.slices import Slices
from wal_core import Corrupt


class Merged(NamedTuple):
    """What came of it: topics that are new or have more partitions, and topics that are gone."""

    shown: list[Topic]
    gone: list[Topic]


async def merge(
    known: CatalogState, source: CatalogState, changed: Iterable[bytes] | None = None
) -> Merged:
    """Let `known` say what `source` says, of what has changed since the last time or of everything.

    Nobody else changes either meanwhile. Raises Corrupt if it is another cluster's catalog. One
    that is empty says nothing: who has nothing of it waits.
    """
    before, cluster_id = known.topics.cluster_id, source.topics.cluster_id
    if before and cluster_id and before != cluster_id:
        raise Corrupt(f"the catalog is that of cluster {cluster_id}, not of {before}")
    if not cluster_id:
        return Merged([], [])
    is_whole = changed is None
    keys = dict.fromkeys([*source.keys(), *known.keys()] if changed is None else changed)
    merging = _Merging(known, source, is_whole)
    slices = Slices()
    for key in sorted(keys, key=merging.turn):
        if slices.is_over:
            await slices.pause()
        merging.take(key)
    return Merged(list(merging.shown.values()), merging.gone)


class _Merging:
    def __init__(self, known: CatalogState, source: CatalogState, is_whole: bool) -> None:
        self._known = known
        self._source = source
        self._is_whole = is_whole
        self.shown: dict[bytes, Topic] = {}
        self.gone: list[Topic] = []

    def turn(self, key: bytes) -> int:
        """What is there first, then what is gone, then whose streams may be dropped for it."""
        kind = keys_of.kind_of(key)
        if kind is KeyKind.TOPIC:
            return int(self._source.topics.with_id(key[1:]) is None)
        return 2 if kind is KeyKind.TOMBSTONE else 0

    def take(self, key: bytes) -> None:
        kind = keys_of.kind_of(key)
        if kind is KeyKind.TOPIC:
            self._take_topic(key)
            return
        value = self._source.value(key)
        if value is None and kind not in (KeyKind.CONFIGS, KeyKind.TOMBSTONE):
            return  # these never go
        if not self._is_whole or value != self._known.value(key):
            self._known.restore(key, value)

    def _take_topic(self, key: bytes) -> None:
        known, source = self._known.topics, self._source.topics.with_id(key[1:])
        before = known.with_id(key[1:])
        if source is None:
            if (gone := known.forget(key[1:])) is not None:
                self.gone.append(gone)
            return
        if before is not None and before.record == source.record and before.is_proven:
            return
        namesake = known.named(source.name)
        if namesake is not None and namesake.id != source.id:
            self.gone.append(namesake)
        if before is not None and not _goes_on(before, source):
            # Partitions that it never got: theirs may be others' places now.
            known.forget(before.id)
            self.gone.append(before)
            before = None
        count = 0 if before is None else len(before.placed)
        self._known.take(source.record)
        topic = known.with_id(source.id)
        assert topic is not None
        topic.proven()
        if len(topic.placed) > count:
            self.shown[topic.id] = topic


def _goes_on(before: Topic, source: Topic) -> bool:
    places = before.record.placements
    return source.record.placements[: len(places)] == places
