"""The catalog, log 0 and nothing else: the cluster's id, which topics there are and where their
partitions lie, and tombstones of those that are gone.

A topic exists from the moment its record is durable here; the logs that it lies on hear of it with
the first record of each partition (`StreamOpened`), so a crash in between leaves nothing behind. A
topic is gone from the moment its tombstone is durable here; then the owners of its logs drop its
streams, and the tombstone stays until all have written that down. Its own end costs no write: it
is written down with whatever the catalog is told next.
"""

from __future__ import annotations

import asyncio
import base64
from functools import partial
from typing import TYPE_CHECKING

from gateway.broker.catalog_follower import CatalogFollower
from gateway.broker.catalog_merge import Merged, merge
from gateway.broker.catalog_state import CatalogState
from gateway.broker.metadata_records import (
    ClusterCreated,
    MetadataRecord,
    TopicDeleted,
    TopicForgotten,
    encode_metadata,
)
from gateway.broker.stored_configs import StoredConfigs
from gateway.broker.topics import METADATA_STREAM_ID, TopicRegistry
from gateway.broker.waiting import confirmed_in_time, failure
from wal_core import Log, Unavailable, WalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gateway.broker.salvage import StateSalvage
    from wal_core import Changes, Clock, Entry, LogConfig, Rng, SegmentStore


class _Opened:
    """The state of the catalog's log: what is known, or, while that may not change, another one
    until all of it is there."""

    def __init__(self, known: CatalogState) -> None:
        self._known = known
        known.changes.clear()  # the log takes them from now on, and has not written anything
        topics = TopicRegistry(message_bytes_max=0, changes=known.changes)
        self._state = CatalogState(topics) if known.topics.cluster_id else known

    async def is_all(self) -> Merged:
        """From now on what is known is the log's state."""
        merged = Merged([], [])
        if self._state is not self._known:
            merged = await merge(self._known, self._state)
            self._state = self._known
        return merged

    @property
    def changes(self) -> Changes:
        """See LogState."""
        return self._known.changes

    def restore(self, key: bytes, value: bytes | bytearray | memoryview | None) -> None:
        """See LogState."""
        self._state.restore(key, value)

    def restored(self) -> None:
        """See LogState."""

    def apply(self, entry: Entry) -> None:
        """See LogState."""
        self._state.apply(entry)

    def values(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        """See LogState."""
        return self._state.values(keys)

    def confirmed(self, ends: Mapping[int, int]) -> None:
        """See LogState."""

    def salvage(self) -> StateSalvage:
        """See LogState."""
        return self._state.salvage()


class Catalog:
    """Log 0 as this node has it: its owner's, or a follower's. `open`, then all else, then
    `close`; or `follow`, and `open` and `close` when this node gets it and loses it."""

    def __init__(self, message_bytes_max: int, clock: Clock, rng: Rng) -> None:
        self.topics = TopicRegistry(message_bytes_max)
        self.configs = StoredConfigs(self.topics.changes)
        self._state = CatalogState(self.topics, self.configs)
        self._clock = clock
        self._rng = rng
        self._log: Log | None = None
        self._follower: CatalogFollower | None = None
        self.is_shared = False  # whether nodes share it, so that others may write it
        self._merged: Callable[[Merged], None] = lambda merged: None
        self.when_durable: Callable[[int], None] | None = None
        """Told after each write that others can read by now, with the number of its entries."""
        # By tombstone, the logs that have written down that nothing is left; and those of which
        # that is true everywhere.
        self._served: dict[bytes, set[int]] = {}
        self._finished: dict[bytes, None] = {}
        self._next_served: asyncio.Future[None] | None = None

    def follow(
        self, store: SegmentStore, config: LogConfig, merged: Callable[[Merged], None]
    ) -> None:
        """Know what another node writes, whenever the catalog is not open here; `merged` is told
        what came of it."""
        self.is_shared = True
        self._merged = merged
        self._follower = CatalogFollower(self._state, store, config, self._rng, merged)
        self._follower.start()

    async def unfollow(self) -> None:
        """What is known stays."""
        follower, self._follower = self._follower, None
        if follower is not None:
            await follower.stop()

    def wake(self) -> None:
        """The node that writes it may have written something."""
        if self._follower is not None:
            self._follower.wake()

    async def look(self, timeout_s: float) -> None:
        """Until everything is known that was durable before the call: at once for who writes it.
        Raises WalError, TimeoutError."""
        if self._follower is not None and not self.is_open:
            await self._follower.look(timeout_s)

    async def prove(self, timeout_s: float) -> None:
        """The same for who gives something up for what the catalog says: its owner asks the store
        whether another one has it. Raises WalError, Fenced too, and TimeoutError."""
        if self._follower is None:
            return  # a gateway by itself, which ends when another takes its catalog
        if self.is_open:
            async with asyncio.timeout(timeout_s):
                await self.log.check_owner()
        else:
            await self._follower.look(timeout_s)

    async def search(self, timeout_s: float) -> None:
        """The same for who has not found something, maybe after some time."""
        if self._follower is not None and not self.is_open:
            await self._follower.search(timeout_s)

    @property
    def read_ago_s(self) -> float:
        """How old it may be what is known here; 0 at who writes it."""
        return 0.0 if self._follower is None or self.is_open else self._follower.read_ago_s

    def missed(self) -> None:
        """Somebody has not found something that may have been written since, and does not wait."""
        if self._follower is not None and not self.is_open:
            self._follower.missed()

    async def open(self, store: SegmentStore, config: LogConfig) -> None:
        """Recover it. What is known already changes once all has been read."""
        if self._follower is not None:
            await self._follower.stop()
        opened = _Opened(self._state)
        try:
            log = await Log.open(store, opened, config, clock=self._clock, rng=self._rng)
            try:
                merged = await opened.is_all()
            except BaseException:
                await log.close()
                raise
        except BaseException:
            self._follow_again()
            raise
        self._log = log
        self._served.clear()
        self._finished.clear()
        self._merged(merged)

    def _follow_again(self) -> None:
        if self._follower is not None and not self._follower.is_running:
            self._follower.start()

    async def be_somebody(self, timeout_s: float) -> None:
        """A new cluster gets its id. Raises the log's error, or TimeoutError."""
        if not self.topics.cluster_id:
            name = base64.urlsafe_b64encode(self._rng.random_bytes(16)).decode().rstrip("=")
            try:
                await confirmed_in_time(self.write(ClusterCreated(cluster_id=name)), timeout_s)
            except (WalError, TimeoutError):
                self.topics.apply(ClusterCreated(cluster_id=""))  # it may be another that counts
                raise

    @property
    def is_open(self) -> bool:
        """Whether this process is the one that writes it."""
        return self._log is not None

    @property
    def is_ours(self) -> bool:
        """Whether this node writes it, as far as it knows: is the controller."""
        return self.is_open and not (self.is_shared and self.log.failed.done())

    @property
    def log(self) -> Log:
        assert self._log is not None, "the catalog is not open"
        return self._log

    def write(self, record: MetadataRecord) -> asyncio.Future[None]:
        """Append a change and apply it. Raises NoRoom where deletions alone are still written."""
        if not self.is_open:
            raise Unavailable("another node writes the catalog")
        if not isinstance(record, TopicDeleted):
            self.log.room.admit_change()
        for topic_id in tuple(self._finished):
            self._append(TopicForgotten(topic_id=topic_id))
            del self._finished[topic_id]
        return self._append(record)

    def tombstone_served(self, topic_id: bytes, log_id: int) -> None:
        """That log has written down that it has nothing of the topic any more."""
        log_ids = self.topics.tombstones.get(topic_id)
        if log_ids is None:
            return
        served = self._served.setdefault(topic_id, set())
        served.add(log_id)
        if self._next_served is not None:
            self._next_served.set_result(None)
            self._next_served = None
        if served.issuperset(log_ids):
            del self._served[topic_id]
            self._finished[topic_id] = None

    def left_of(self, name: str) -> list[int]:
        """The logs that may still have something of a topic of that name that is gone, or of one
        whose name is not known, which may be that one."""
        last = self.topics.gone.last(name)
        topic_ids = [*self.topics.nameless, *(() if last is None else (last.topic_id,))]
        return [
            log
            for topic_id in topic_ids
            if topic_id not in self._finished
            for log in self.topics.tombstones.get(topic_id, ())
            if log not in self._served.get(topic_id, ())
        ]

    async def next_served(self) -> None:
        """Return when a log has written down that nothing of some topic is left there."""
        if self._next_served is None:
            self._next_served = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._next_served)

    def unserved(self) -> dict[bytes, list[int]]:
        """Tombstones, and the logs that have not written down yet that nothing is left there."""
        return {
            topic_id: [log for log in log_ids if log not in self._served.get(topic_id, ())]
            for topic_id, log_ids in self.topics.tombstones.items()
            if topic_id not in self._finished
        }

    def served(self) -> Iterator[tuple[bytes, int]]:
        """Tombstones, and of the logs that they name those of which it is known here that nothing
        is left there."""
        for topic_id, log_ids in self.topics.tombstones.items():
            known = log_ids if topic_id in self._finished else self._served.get(topic_id, ())
            yield from ((topic_id, log_id) for log_id in log_ids if log_id in known)

    def look_again_at(self, log_id: int) -> None:
        """Another node had the log meanwhile, which may have known less: what was known of it does
        not count."""
        for topic_id in tuple(self._finished):
            if log_id in (log_ids := self.topics.tombstones.get(topic_id, ())):
                del self._finished[topic_id]
                self._served[topic_id] = set(log_ids)
        for served in self._served.values():
            served.discard(log_id)

    def _append(self, record: MetadataRecord) -> asyncio.Future[None]:
        log = self.log
        offset = log.end_offset(METADATA_STREAM_ID)
        payload = encode_metadata(record)
        confirmation = log.append(METADATA_STREAM_ID, offset, 1, self._clock.now_ms(), payload)
        self._state.take(record)
        if self.when_durable is not None:
            confirmation.add_done_callback(partial(self._durable, offset + 1))
        return confirmation

    def _durable(self, end: int, done: asyncio.Future[None]) -> None:
        if self.when_durable is not None and failure(done) is None:
            self.when_durable(end)

    async def close(self) -> None:
        """Confirm what is pending and release the log; it may be opened again, and who follows it
        does so from now on."""
        if self._log is None:
            return
        try:
            await self._log.close()
        finally:
            self._log = None
            self._follow_again()
