"""What the store holds for certain, followed block by block, and the promises checked against it.

Follows the log as any reader would: block after block of a segment up to its footer, then the next
segment. What lies behind a gap or a fence does not exist. The promises are checked at the moment a
gateway answers, so that an answer given too early is caught even if nothing crashes.
"""

from __future__ import annotations

import asyncio
import bisect
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.broker.journal_records import JOURNAL_STREAM_ID
from gateway.broker.metadata_records import Placement
from gateway.broker.topics import METADATA_STREAM_ID
from gateway.cluster.view import CATALOG_LOG_ID
from gateway.testing.sim.stored_metadata import StoredMetadata
from gateway.testing.sim.trace import Trace
from protocol import ApiKey, ErrorCode
from wal_core import CHECKPOINT_STREAM_ID
from wal_core.format.block import Block, parse_block

if TYPE_CHECKING:
    from gateway.testing.conversation import Asked
    from gateway.testing.sim.node import Node


class OffsetOf:
    """The timestamps of ListOffsets that name a place."""

    LATEST = -1
    EARLIEST = -2


LATE_S = 0.05  # a reply is made at the moment of the confirmation, but for reads from storage
_BLOCK_KEY = re.compile(r"logs/(\d+)/(\d{20})/(\d{10})")


class StoredEntry(NamedTuple):
    """What is remembered of an entry."""

    end_offset: int
    max_timestamp_ms: int
    bytes_count: int


class StoredLog:
    """The end of every stream as the durable blocks have it."""

    def __init__(self, trace: Trace) -> None:
        self.ends: dict[Placement, int] = {}
        self.entries: dict[Placement, list[StoredEntry]] = {}
        self.metadata = StoredMetadata(trace)
        self._trace = trace
        self._blocks: dict[tuple[int, int, int], Block] = {}
        # Per log: segment and slot of the next block that counts.
        self._next: dict[int, tuple[int, int]] = {}

    def object_created(self, key: str, body: bytes) -> None:
        place = _BLOCK_KEY.fullmatch(key)
        if place is not None:
            self.add(int(place[1]), int(place[2]), int(place[3]), parse_block(body))

    def add(self, log_id: int, segment: int, slot: int, block: Block) -> None:
        self._blocks[log_id, segment, slot] = block
        segment, slot = self._next.get(log_id, (0, 0))
        while (found := self._blocks.pop((log_id, segment, slot), None)) is not None:
            if found.is_footer:
                segment, slot = segment + 1, 0
            else:
                self._take(log_id, found)
                slot += 1
        self._next[log_id] = segment, slot

    def _take(self, log_id: int, block: Block) -> None:
        for entry in block.entries():
            place = Placement(log_id, entry.stream_id)
            end = self.ends.get(place, 0)
            if entry.base_offset != end:
                self._trace.violation(
                    "I2 dense offsets",
                    f"{place} ends at {end}, and goes on at {entry.base_offset}",
                )
            self.ends[place] = entry.end_offset
            self.entries.setdefault(place, []).append(
                StoredEntry(entry.end_offset, entry.max_timestamp_ms, len(entry.payload))
            )
            if place == (CATALOG_LOG_ID, METADATA_STREAM_ID):
                self.metadata.take(entry.payload)
            elif entry.stream_id == JOURNAL_STREAM_ID and log_id != CATALOG_LOG_ID:
                self.metadata.take_journal(log_id, entry.payload, self.ends)
            elif entry.stream_id != CHECKPOINT_STREAM_ID:
                self.metadata.check_opened(place)


class Oracle:
    """Checks every answer against the stored log, and against earlier answers."""

    def __init__(self, trace: Trace, stored: StoredLog) -> None:
        self._trace = trace
        self._stored = stored
        # Per place and term: (when, offset) of the answers that stated more than any before.
        self._high_watermarks: _Stated = {}
        self._starts: _Stated = {}

    def answered(self, node: Node, asked: Asked, reply: Any) -> None:
        self._led_elsewhere(node, asked, reply)
        match asked.key:
            case ApiKey.PRODUCE:
                self._produced(node, asked.request, reply)
            case ApiKey.FETCH:
                self._fetched(node, reply, asked.sent_s)
                self._woken(node, asked.request, reply)
            case ApiKey.LIST_OFFSETS:
                self._listed(node, asked.request, asked.sent_s, reply)
            case ApiKey.DELETE_RECORDS:
                self._deleted(node, asked.sent_s, reply)
            case ApiKey.CREATE_TOPICS:
                self._there(node, reply.topics, there=True)
            case ApiKey.CREATE_PARTITIONS:
                self._grown(node, asked.request, reply)
            case ApiKey.METADATA:
                self._told(node, reply)
            case ApiKey.DELETE_TOPICS:
                self._there(node, reply.responses, there=False)

    def _led_elsewhere(self, node: Node, asked: Asked, reply: Any) -> None:
        """Of a data log that another has taken all partitions are led elsewhere; no others are.
        (A node of a cluster may not have the log, or not yet know all of its partitions.)"""
        assert node.gateway is not None
        if node.is_one_of_many:
            return
        for topic, index, code in _answers(asked.key, reply):
            place = _place_of(node, topic, index)
            if place is None:
                continue
            what = f"{node.name} answers {code} for {topic}-{index} on log {place.log_id}"
            told = code == ErrorCode.NOT_LEADER_OR_FOLLOWER
            if told and not node.gateway.broker.logs[place.log_id].log.failed.done():
                self._trace.violation("only what is lost is led elsewhere", what)
            if not told and node.lost.get(place.log_id, asked.sent_s) < asked.sent_s:
                self._trace.violation("what is lost is led elsewhere", what)

    def _produced(self, node: Node, request: Any, reply: Any) -> None:
        counts = {
            (topic.name, data.index): data.records
            for topic in request.topic_data
            for data in topic.partition_data
        }
        for topic in reply.responses:
            for answer in topic.partition_responses:
                if answer.error_code != ErrorCode.NONE:
                    continue
                place = _place_of(node, topic.name, answer.index)
                if place is None:
                    continue
                records = counts[topic.name, answer.index]
                end = answer.base_offset + int.from_bytes(records[57:61], "big")
                if end > self._stored.ends.get(place, 0):
                    self._trace.violation(
                        "I1 acknowledged is durable",
                        f"{node.name} acknowledged {topic.name}-{answer.index} up to {end}, "
                        f"durable up to {self._stored.ends.get(place, 0)}",
                    )

    def _fetched(self, node: Node, reply: Any, sent_s: float) -> None:
        for topic in reply.responses:
            for answer in topic.partitions:
                where = _where(node, topic.topic, answer.partition_index, sent_s)
                if where is None or answer.high_watermark < 0:
                    continue
                mark, start = answer.high_watermark, answer.log_start_offset
                if start > mark:
                    self._trace.violation(
                        "I3", f"{where.name} starts at {start} and ends at {mark}"
                    )
                self._high_watermark(node, where, mark)
                self._log_start(node, where, start)

    def _listed(self, node: Node, request: Any, sent_s: float, reply: Any) -> None:
        kinds = {
            (topic.name, partition.partition_index): partition.timestamp
            for topic in request.topics
            for partition in topic.partitions
        }
        for topic in reply.topics:
            for answer in topic.partitions:
                where = _where(node, topic.name, answer.partition_index, sent_s)
                if where is None or answer.error_code != ErrorCode.NONE:
                    continue
                match kinds[topic.name, answer.partition_index]:
                    case OffsetOf.EARLIEST:
                        self._log_start(node, where, answer.offset)
                    case OffsetOf.LATEST:
                        self._high_watermark(node, where, answer.offset)

    def _deleted(self, node: Node, sent_s: float, reply: Any) -> None:
        for topic in reply.topics:
            for answer in topic.partitions:
                where = _where(node, topic.name, answer.partition_index, sent_s)
                if where is not None and answer.error_code == ErrorCode.NONE:
                    self._log_start(node, where, answer.low_watermark)

    def _there(self, node: Node, answers: Any, *, there: bool) -> None:
        """Nobody else creates or deletes a client's topics meanwhile."""
        for answer in answers:
            if answer.error_code != ErrorCode.NONE:
                continue
            if self._stored.metadata.has_topic(answer.name) != there:
                self._trace.violation(
                    "I1 acknowledged is durable",
                    f"{node.name} has {'created' if there else 'deleted'} {answer.name}, it says",
                )

    def _grown(self, node: Node, request: Any, reply: Any) -> None:
        for topic, answer in zip(request.topics, reply.results, strict=True):
            durable_count = self._stored.metadata.partitions_count(topic.name)
            if answer.error_code == ErrorCode.NONE and topic.count != durable_count:
                self._trace.violation(
                    "I1 acknowledged is durable",
                    f"{node.name} says {topic.name} has {topic.count} partitions, "
                    f"durable are {durable_count}",
                )

    def _told(self, node: Node, reply: Any) -> None:
        """No answer speaks of partitions that a crash may take away."""
        for topic in reply.topics:
            durable_count = self._stored.metadata.partitions_count(topic.name)
            if durable_count and len(topic.partitions) > durable_count:
                self._trace.violation(
                    "I1 served is durable",
                    f"{node.name} tells of {len(topic.partitions)} partitions of {topic.name}, "
                    f"durable are {durable_count}",
                )

    def _high_watermark(self, node: Node, where: _Where, mark: int) -> None:
        _, place, name, _ = where
        if mark > self._stored.ends.get(place, 0):
            self._trace.violation(
                "I1 served is durable",
                f"{node.name} says {name} reaches {mark}, "
                f"durable up to {self._stored.ends.get(place, 0)}",
            )
        self._rises(self._high_watermarks, "high watermark", where, mark)

    def _log_start(self, node: Node, where: _Where, start: int) -> None:
        """What is told to be gone must not come back after a crash."""
        _, place, name, _ = where
        durable = self._stored.metadata.starts.get(place, 0)
        if start > durable:
            self._trace.violation(
                "I1 a deletion is durable before it shows",
                f"{node.name} says {name} starts at {start}, durable is {durable}",
            )
        self._rises(self._starts, "log start", where, start)

    def _woken(self, node: Node, request: Any, reply: Any) -> None:
        """A parked fetch is answered when data come, not when its time is up. (A process that was
        stopped since then has had no chance yet.)"""
        answers = [answer for topic in reply.responses for answer in topic.partitions]
        if any(answer.records or answer.error_code for answer in answers):
            return
        latest_s = asyncio.get_running_loop().time() - LATE_S
        if node.process.running_since_s >= latest_s:
            return
        for topic in request.topics:
            for asked in topic.partitions:
                place = _place_of(node, topic.topic, asked.partition)
                steps = node.confirmed.get(place, []) if place is not None else []
                if any(at_s < latest_s and end > asked.fetch_offset for at_s, end in steps[-3:]):
                    self._trace.violation(
                        "a parked fetch is woken",
                        f"{node.name} has {topic.topic}-{asked.partition} up to {steps[-1][1]} "
                        f"and nothing for a fetch from {asked.fetch_offset}",
                    )

    def _rises(self, stated: _Stated, what: str, where: _Where, value: int) -> None:
        """I3: no owner states less than it or one before it did before it was asked. (An older
        owner may lag behind, and so may an answer behind one to a later question.)
        """
        term, place, name, sent_s = where
        by_term = stated.setdefault(place, {})
        for earlier_term, steps in by_term.items():
            at = bisect.bisect_left(steps, sent_s, key=lambda step: step[0]) - 1
            if earlier_term <= term and at >= 0 and steps[at][1] > value:
                self._trace.violation(
                    "I3 nothing goes back",
                    f"the {what} of {name} is {value} in term {term}, "
                    f"but was {steps[at][1]} in term {earlier_term}",
                )
        steps = by_term.setdefault(term, [])
        if not steps or steps[-1][1] < value:
            steps.append((asyncio.get_running_loop().time(), value))


def _answers(key: ApiKey, reply: Any) -> Iterator[tuple[str, int, int]]:
    """Topic, index and code of each partition, of the requests that go to its leader."""
    match key:
        case ApiKey.PRODUCE:
            for topic in reply.responses:
                for answer in topic.partition_responses:
                    yield topic.name, answer.index, answer.error_code
        case ApiKey.FETCH:
            for topic in reply.responses:
                for answer in topic.partitions:
                    yield topic.topic, answer.partition_index, answer.error_code
        case ApiKey.LIST_OFFSETS | ApiKey.DELETE_RECORDS:
            for topic in reply.topics:
                for answer in topic.partitions:
                    yield topic.name, answer.partition_index, answer.error_code


_Stated = dict[Placement, dict[int, list[tuple[float, int]]]]


class _Where(NamedTuple):
    """Whom an answer is from and which partition it is about."""

    term: int
    place: Placement
    name: str
    sent_s: float  # when it was asked


def _where(node: Node, topic: str, index: int, sent_s: float) -> _Where | None:
    place = _place_of(node, topic, index)
    if place is None or place.log_id not in node.terms:
        return None
    return _Where(node.terms[place.log_id], place, f"{topic}-{index}", sent_s)


def _place_of(node: Node, topic: str, index: int) -> Placement | None:
    assert node.gateway is not None
    partition = node.gateway.broker.partition(topic, index)
    return None if partition is None else Placement(partition.log_id, partition.stream_id)
