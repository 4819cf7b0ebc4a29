"""The producer states against a model of Kafka's rules, written down a second time."""

import asyncio
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.broker.producer_state import (
    EXPIRATION_MS,
    KEPT_BATCHES_COUNT,
    SEQUENCE_MAX,
    ProducerMemory,
    ProducerStates,
    SavedProducer,
    SequenceError,
    sequence_after,
)
from protocol import BatchHeader, ErrorCode, Record, build_batch, read_header

OUT_OF_ORDER = ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
OLD_EPOCH = ErrorCode.INVALID_PRODUCER_EPOCH
FULL = ErrorCode.POLICY_VIOLATION


def _header(sequence: int, count: int = 1, *, epoch: int = 0, pid: int = 7) -> BatchHeader:
    batch = build_batch([Record(value=b"")], producer_id=pid, producer_epoch=epoch, base_sequence=0)
    header = read_header(batch)
    header.base_sequence, header.record_count = sequence, count
    header.last_offset_delta = count - 1
    return header


def _saved(states: ProducerStates, now_ms: int) -> dict[int, SavedProducer]:
    saved = {pid: states.save(pid, now_ms) for pid in states.ids()}
    return {pid: row for pid, row in saved.items() if row is not None}


class Partition:
    """Appends as gateway.broker.partition does."""

    def __init__(self, states: ProducerStates | None = None, end: int = 0) -> None:
        self.states = ProducerStates() if states is None else states
        self.end = end

    def append(self, header: BatchHeader, now_ms: int = 0) -> int | ErrorCode:
        try:
            kept = self.states.check(header)
        except SequenceError as error:
            return error.code
        if kept is not None:
            return kept.base_offset
        base = self.end
        self.end += header.record_count
        self.states.record(header, base, now_ms, None)
        return base


def test_sequences_wrap_as_in_the_clients() -> None:
    assert sequence_after(5, 3) == 8
    assert sequence_after(SEQUENCE_MAX, 1) == 0
    assert sequence_after(SEQUENCE_MAX - 1, 3) == 1
    header = _header(SEQUENCE_MAX - 1, 4)
    assert header.last_sequence == sequence_after(header.base_sequence, 3) == 1


def test_each_of_the_last_five_batches_gets_its_original_offset_again() -> None:
    partition = Partition()
    offsets = [partition.append(_header(n * 3, 3)) for n in range(8)]
    assert offsets == [n * 3 for n in range(8)]
    for n in range(8 - KEPT_BATCHES_COUNT, 8):
        assert partition.append(_header(n * 3, 3)) == offsets[n]
    assert partition.append(_header(6, 3)) is OUT_OF_ORDER  # the sixth from the end
    assert partition.append(_header(24, 3)) == 24


def test_a_gap_and_a_part_of_a_known_batch_are_refused() -> None:
    partition = Partition()
    partition.append(_header(0, 3))
    for header in (_header(4), _header(2), _header(0, 2), _header(1, 2), _header(0, 4)):
        assert partition.append(header) is OUT_OF_ORDER
    assert partition.append(_header(3)) == 3


def test_a_producer_nobody_knows_may_start_anywhere() -> None:
    """KIP-360: its state may have expired."""
    partition = Partition()
    assert partition.append(_header(1_000)) == 0
    assert partition.append(_header(1_001)) == 1


def test_a_newer_epoch_starts_at_0_and_an_older_is_refused() -> None:
    partition = Partition()
    partition.append(_header(0, 5, epoch=1))
    assert partition.append(_header(5, epoch=0)) is OLD_EPOCH
    assert partition.append(_header(0, 5, epoch=0)) is OLD_EPOCH
    assert partition.append(_header(5, epoch=2)) is OUT_OF_ORDER
    assert partition.append(_header(0, epoch=2)) == 5
    assert partition.append(_header(5, epoch=1)) is OLD_EPOCH
    assert partition.append(_header(0, epoch=2)) == 5
    assert partition.append(_header(1, epoch=2)) == 6


def test_the_sequence_goes_on_from_0_after_its_maximum() -> None:
    partition = Partition()
    partition.append(_header(SEQUENCE_MAX - 2, 2))
    over = partition.append(_header(SEQUENCE_MAX, 3))
    assert partition.append(_header(2)) == 5
    assert partition.append(_header(SEQUENCE_MAX, 3)) == over


def test_a_repeat_is_recognised_however_many_others_came_between() -> None:
    partition = Partition()
    first = partition.append(_header(0, pid=1))
    other = _header(0)
    for pid in range(2, 20_002):
        other.producer_id = pid
        partition.append(other)
    assert partition.append(_header(0, pid=1)) == first
    assert partition.append(_header(1, pid=1)) == partition.end - 1


def test_time_alone_makes_a_producer_unknown() -> None:
    partition = Partition()
    partition.append(_header(0, pid=1), now_ms=0)
    partition.append(_header(0, pid=2), now_ms=10)
    partition.states.forget(EXPIRATION_MS)
    assert partition.append(_header(9, pid=1)) is OUT_OF_ORDER
    partition.states.forget(EXPIRATION_MS + 1)
    assert partition.append(_header(9, pid=1), now_ms=EXPIRATION_MS + 1) == 2
    assert partition.append(_header(9, pid=2)) is OUT_OF_ORDER


def test_who_is_new_is_refused_when_there_is_no_room_and_who_is_known_goes_on() -> None:
    memory = ProducerMemory(bytes_max=20_000)
    crowded, other = Partition(ProducerStates(memory)), Partition(ProducerStates(memory))
    known = 0
    while crowded.append(_header(0, pid=known)) is not FULL:
        known += 1
    # Nobody fills it up by one partition alone.
    assert memory.used_bytes == pytest.approx(memory.bytes_max / 2, abs=300)
    assert other.append(_header(0, pid=known)) == 0
    assert crowded.append(_header(0, pid=0)) == 0
    for pid in range(known):
        for sequence in range(1, 8):
            assert crowded.append(_header(sequence, pid=pid)) not in (FULL, OUT_OF_ORDER)
    assert memory.used_bytes <= memory.bytes_max
    with pytest.raises(SequenceError, match="producer_state_bytes_max"):
        crowded.states.check(_header(0, pid=known))


def test_what_goes_gives_its_room_back() -> None:
    memory = ProducerMemory(bytes_max=2_000)
    partition, again = Partition(ProducerStates(memory)), Partition(ProducerStates(memory))
    while partition.append(_header(0, pid=partition.end)) is not FULL:
        pass
    saved = _saved(partition.states, 0)
    partition.states.forget(EXPIRATION_MS + 1)
    assert memory.used_bytes == 0
    # What is stored comes back, however small the room has become.
    memory.bytes_max = 1
    again.states.load(saved)
    assert len(again.states) == len(saved)
    assert again.append(_header(0, pid=99)) is FULL
    again.states.clear()
    assert memory.used_bytes == 0


def test_the_memory_counted_is_the_memory_used() -> None:
    memory = ProducerMemory(1 << 40)
    states = ProducerStates(memory)
    header = _header(0)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for header.base_sequence in range(3):
        for header.producer_id in range(10**6, 10**6 + 5_000):
            states.record(header, header.producer_id, 10**12, None)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert 0.5 < used / memory.used_bytes <= 1.1


def test_any_sequence_that_a_header_can_hold_is_remembered() -> None:
    """Also one that no producer should send: it may be stored already, and a start replays it."""
    states = ProducerStates()
    for sequence in (-(2**31), -1, 0, SEQUENCE_MAX):
        states.record(_header(sequence, epoch=-1), 2**62, 2**62, None)
        again = ProducerStates()
        again.load(_saved(states, 2**62))
        assert _saved(again, 2**62) == _saved(states, 2**62)


def test_what_is_durable_is_not_waited_for_and_pins_nothing() -> None:
    async def body() -> None:
        states = ProducerStates()
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[None]] = [loop.create_future() for _ in range(4)]
        for sequence, future in enumerate(futures):
            states.record(_header(sequence), sequence, 0, future)
        futures[0].set_result(None)
        futures[1].set_result(None)
        futures[2].set_exception(KeyError("failed"))
        states.forget(0)
        assert list(states._pending.values()) == futures[2:]
        kept = [states.check(_header(sequence)) for sequence in range(4)]
        assert [k and k.confirmation for k in kept] == [None, None, *futures[2:]]

    asyncio.run(body())


def test_who_changed_and_who_was_forgotten_is_noted() -> None:
    noted: list[int] = []
    partition = Partition(ProducerStates(note=noted.append))
    for pid in (1, 2, 1):
        partition.append(_header(0, pid=pid, epoch=len(noted)), now_ms=len(noted))
    partition.append(_header(0, pid=1, epoch=2))  # a repeat changes nothing
    assert noted == [1, 2, 1]
    partition.states.forget(EXPIRATION_MS + 2)
    assert noted[3:] == [2]
    assert partition.states.ids() == [1]


def test_what_is_saved_comes_back_without_what_expired() -> None:
    partition = Partition()
    partition.append(_header(0, pid=1), now_ms=0)
    partition.append(_header(0, 4, pid=2, epoch=3), now_ms=10)
    partition.append(_header(4, 4, pid=2, epoch=3), now_ms=20)
    saved = _saved(partition.states, EXPIRATION_MS + 1)
    assert [*saved] == [2]
    loaded = ProducerStates()
    loaded.load(saved)
    again = Partition(loaded, partition.end)
    assert again.append(_header(0, 4, pid=2, epoch=3)) == 1
    assert again.append(_header(4, 4, pid=2, epoch=3)) == 5
    assert again.append(_header(9, pid=2, epoch=3)) is OUT_OF_ORDER
    assert again.append(_header(8, pid=2, epoch=3)) == partition.end


def test_a_repeat_waits_for_the_same_confirmation() -> None:
    async def body() -> None:
        states = ProducerStates()
        pending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        states.record(_header(0), 42, 0, pending)
        kept = states.check(_header(0))
        assert kept is not None
        assert (kept.base_offset, kept.confirmation) == (42, pending)

    asyncio.run(body())


class Model:
    """Kafka's ProducerStateManager in its own words: entries keep (epoch, last five ranges)."""

    def __init__(self) -> None:
        self.entries: dict[int, tuple[int, list[tuple[int, int, int]]]] = {}
        self.end = 0

    def append(self, pid: int, epoch: int, first: int, count: int) -> int | ErrorCode:
        last = (first + count - 1) % 2**31
        entry = self.entries.get(pid)
        if entry is not None:
            known_epoch, batches = entry
            if epoch < known_epoch:
                return OLD_EPOCH
            if epoch == known_epoch:
                for low, high, base in batches:
                    if (low, high) == (first, last):
                        return base
                if first != (batches[-1][1] + 1) % 2**31:
                    return OUT_OF_ORDER
            elif first != 0:
                return OUT_OF_ORDER
        else:
            epoch_batches: list[tuple[int, int, int]] = []
            entry = (epoch, epoch_batches)
        kept = entry[1] if entry[0] == epoch else []
        self.entries[pid] = (epoch, [*kept, (first, last, self.end)][-5:])
        self.end += count
        return self.end - count


_STEP = st.tuples(
    st.integers(1, 3),  # producer
    st.integers(0, 2),  # epoch
    st.integers(-7, 3),  # where, relative to the sequence that is due
    st.integers(1, 3),  # records
    st.booleans(),  # restart from a checkpoint before
)


@settings(max_examples=300)
@given(st.sampled_from([0, 5, SEQUENCE_MAX - 6, SEQUENCE_MAX]), st.lists(_STEP, max_size=40))
def test_any_history_ends_as_in_the_model(start: int, steps: list) -> None:
    model, partition = Model(), Partition()
    due: dict[tuple[int, int], int] = {}
    for pid, epoch, shift, records_count, restart in steps:
        count = records_count
        if restart:
            loaded = ProducerStates()
            loaded.load(_saved(partition.states, 0))
            partition = Partition(loaded, partition.end)
        first = (due.get((pid, epoch), start if epoch == 0 else 0) + shift * (shift > 0)) % 2**31
        if shift < 0:  # mostly a repeat of something
            known = model.entries.get(pid)
            if known and len(known[1]) >= -shift:
                low, high, _ = known[1][shift]
                first, count = low, (high - low) % 2**31 + 1
        expected = model.append(pid, epoch, first, count)
        assert partition.append(_header(first, count, epoch=epoch, pid=pid)) == expected
        if not isinstance(expected, ErrorCode):
            batches = model.entries[pid][1]
            due[pid, epoch] = (batches[-1][1] + 1) % 2**31
        assert partition.end == model.end
