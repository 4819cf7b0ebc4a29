"""A partition's offsets, epochs and maxima over a log that is held still."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.broker.journal_records import StreamOpened
from gateway.broker.log_state import SavedStream
from gateway.broker.metadata_records import TopicCreated, consecutive
from gateway.broker.partition import LARGE_BATCH_BYTES, Partition
from gateway.broker.stream_state import StreamState
from gateway.broker.topic_configs import TopicDefaults
from gateway.broker.topics import Topic
from gateway.tests.harness import batch_of, virtual
from protocol import ErrorCode, read_header
from wal_core import Changes, Entry, Fenced, KnownCrc
from wal_core.format.block import crc32c
from wal_core.stores.room import Room


class FakeLog:
    """One stream; `confirm` makes what was appended durable."""

    def __init__(self, term: int = 5) -> None:
        self.term = term
        self.start = self.end = self.confirmed = 0
        self.room = Room()
        self.futures: list[asyncio.Future[None]] = []
        self.crcs: list[KnownCrc | None] = []

    def append(
        self, stream_id: int, base: int, count: int, ts: int, payload: Any, crc: KnownCrc | None
    ) -> Any:
        assert base == self.end
        if crc is not None:
            assert crc32c(payload[crc.start :]) == crc.crc
            assert crc.start < 61
        self.crcs.append(crc)
        self.end += count
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]

    def confirm(self) -> None:
        self.confirmed = self.end
        for future in self.futures:
            if not future.done():
                future.set_result(None)

    def start_offset(self, stream_id: int) -> int:
        return self.start

    def truncate(self, stream_id: int, offset: int) -> None:
        self.start = max(self.start, offset)

    def end_offset(self, stream_id: int) -> int:
        return self.end

    def confirmed_offset(self, stream_id: int) -> int:
        return self.confirmed


class FakeOwner:
    """An owned log with one stream."""

    is_serving = True
    is_shared = False

    def __init__(self, log: FakeLog) -> None:
        self.log = log
        self.state = StreamState(3, Changes())

    def stream(self, stream_id: int) -> StreamState:
        assert stream_id == 3
        return self.state

    def open_stream(self, opened: StreamOpened) -> None:
        self.state.open(opened)


def _partition(log: FakeLog | None = None) -> tuple[Partition, FakeLog]:
    log = log or FakeLog()
    record = TopicCreated(name="t", topic_id=b"i" * 16, placements=consecutive(0, 3, 1))
    topic = Topic(record, TopicDefaults(1_000))
    owner = FakeOwner(log)
    assert topic.partitions[0].attach(owner)  # type: ignore[arg-type]
    topic.partitions[0].begin()
    return topic.partitions[0], log


def _restored(log: FakeLog) -> Partition:
    """Known from the catalog, when it began is not."""
    partition, _ = _partition(log)
    partition._born_term = 0
    return partition


def _remembered(partition: Partition) -> tuple[SavedStream, dict[int, Any]]:
    states = partition.producers
    saved = SavedStream(list(partition.epochs), partition.deleted_below)
    return saved, {pid: states.save(pid, 0) for pid in states.ids()}


def _append(partition: Partition, *times: int, **fields: Any) -> Any:
    batch = memoryview(batch_of(*[b"x"] * len(times), times=times, **fields))
    return partition.append(batch, read_header(batch), 0, 0)


@virtual
async def test_offsets_are_assigned_at_once_and_seen_when_durable() -> None:
    partition, log = _partition()
    assert [_append(partition, 1, 2).base_offset for _ in range(3)] == [0, 2, 4]
    assert (partition.log_start_offset, partition.high_watermark) == (0, 0)
    log.confirm()
    assert partition.high_watermark == 6


@pytest.mark.parametrize("stamps", [False, True])
@virtual
async def test_a_large_batch_brings_along_what_it_was_verified_by(stamps: bool) -> None:
    partition, log = _partition()
    if stamps:
        configs = {"message.timestamp.type": "LogAppendTime"}
        partition.topic.configure(replace(partition.topic.record, configs=configs))
    for size in (10, LARGE_BATCH_BYTES):
        batch = memoryview(batch_of(b"x" * size, times=(5,)))
        appended = partition.append(batch, read_header(batch), 1_000, 0)
        assert appended.log_append_time_ms == (1_000 if stamps else -1)
    assert [crc is not None for crc in log.crcs] == [False, True]


@virtual
async def test_replay_rebuilds_what_appending_built() -> None:
    log = FakeLog(term=5)
    partition, _ = _partition(log)
    replayed = _partition()[0]
    entries = []
    for term, times in ((5, (10, 30)), (5, (20,)), (8, (25,)), (9, (40, 35))):
        log.term = term
        batch = memoryview(
            batch_of(
                *[b"x"] * len(times),
                times=times,
                producer_id=1,
                producer_epoch=0,
                base_sequence=log.end,
            )
        )
        base = partition.append(batch, read_header(batch), 0, 0).base_offset
        entries.append(Entry(3, base, len(times), len(times), max(times), batch))
    log.confirm()
    for entry in entries:
        replayed._state.apply(entry, 0)
    assert _remembered(replayed) == _remembered(partition)
    loaded = _partition()[0]
    saved, producers = _remembered(partition)
    loaded._state.load(*saved)
    loaded.producers.load(producers)
    assert _remembered(loaded) == _remembered(partition)
    assert partition.epochs == [(0, 0), (3, 3), (4, 4)]


@virtual
async def test_epochs_and_where_they_end() -> None:
    partition, log = _partition(FakeLog(term=5))
    _append(partition, 1, 1, 1)
    log.term = 8
    _append(partition, 1, 1)
    log.confirm()
    log.term = 10
    table = {0: (0, 3), 1: (0, 3), 2: (0, 3), 3: (3, 5), 4: (3, 5), 5: (5, 5)}
    assert {e: partition.end_offset_for_epoch(e) for e in table} == table
    for unknown in (-1, 6, 2**31 - 1):
        assert partition.end_offset_for_epoch(unknown) == (-1, -1)
    assert [partition.epoch_of(o) for o in range(6)] == [0, 0, 0, 3, 3, 5]
    assert partition.epoch_error(-1) is ErrorCode.NONE
    assert partition.epoch_error(5) is ErrorCode.NONE
    assert partition.epoch_error(4) is ErrorCode.FENCED_LEADER_EPOCH
    assert partition.epoch_error(6) is ErrorCode.UNKNOWN_LEADER_EPOCH


@virtual
async def test_epochs_count_from_the_beginning_of_the_partition() -> None:
    partition, log = _partition(FakeLog(term=5))
    assert partition.leader_epoch == 0
    _append(partition, 1)
    assert partition.leader_epoch == 0
    log.term = 12
    assert partition.leader_epoch == 7


@virtual
async def test_no_two_owners_of_a_partition_have_the_same_epoch() -> None:
    """Neither before its first record nor behind it, whoever writes that."""
    first, _ = _partition(FakeLog(term=5))
    second, third = _restored(FakeLog(term=6)), _restored(FakeLog(term=7))
    for written in (False, True):
        if written:
            _append(third, 1)
        assert first.leader_epoch < second.leader_epoch < third.leader_epoch


@virtual
async def test_epochs_go_on_where_nodes_share_the_log_and_where_they_do_not_any_more() -> None:
    """Among nodes an epoch is the term, which all of them know; it goes back for nobody."""
    partition, log = _partition(FakeLog(term=5))
    _append(partition, 1)
    log.term = 7
    _append(partition, 1)
    told = [partition.leader_epoch]
    for term, is_shared in ((8, True), (9, True), (10, False), (11, False)):
        log.term = term
        owner = FakeOwner(log)
        owner.state, owner.is_shared = partition._state, is_shared
        assert partition.attach(owner)
        assert not is_shared or partition.leader_epoch == term
        told.append(partition.leader_epoch)
        _append(partition, 1)
    assert told == sorted({*told})


@virtual
async def test_epochs_of_what_is_deleted_are_forgotten_up_to_the_start() -> None:
    partition, log = _partition(FakeLog(term=5))
    for term in (5, 8, 9):
        log.term = term
        _append(partition, 1, 1, 1)
    log.confirm()
    log.term = 10
    for start, epochs in (
        (0, [(0, 0), (3, 3), (4, 6)]),
        (2, [(0, 2), (3, 3), (4, 6)]),
        (3, [(3, 3), (4, 6)]),
        (1, [(3, 3), (4, 6)]),  # it never goes back
        (9, [(4, 9)]),
    ):
        partition.start_at(start)
        assert partition.epochs == epochs
    assert partition.end_offset_for_epoch(0) == (0, 9)
    assert partition.end_offset_for_epoch(4) == (4, 9)
    _append(partition, 1)
    log.confirm()
    assert partition.epochs == [(5, 9)]  # nothing of 4 is left
    assert partition.end_offset_for_epoch(4) == (4, 9)
    assert partition.epoch_of(9) == 5


@virtual
async def test_a_repeat_of_what_was_deleted_is_still_a_repeat() -> None:
    partition, log = _partition()
    sent = {"producer_id": 1, "producer_epoch": 0, "base_sequence": 0}
    _append(partition, 1, **sent)
    log.confirm()
    partition.start_at(1)
    assert _append(partition, 1, **sent).base_offset == 0
    assert log.end == 1


@virtual
async def test_a_repeat_shares_the_fate_of_the_original() -> None:
    partition, log = _partition()
    sent = {"producer_id": 1, "producer_epoch": 0, "base_sequence": 0}
    first = _append(partition, 1, **sent)
    again = _append(partition, 1, **sent)
    assert again.base_offset == first.base_offset
    assert again.confirmation is first.confirmation
    assert log.end == 1
    log.confirm()
    assert _append(partition, 1, **sent).confirmation is None
    second = _append(partition, 1, **sent | {"base_sequence": 1})
    second.confirmation.set_exception(Fenced("a newer writer"))
    with pytest.raises(Fenced):
        _append(partition, 1, **sent | {"base_sequence": 1})
