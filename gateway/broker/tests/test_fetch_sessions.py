"""Sessions as they are kept: what is told, whose slot goes to whom, how many bytes."""

import asyncio

import pytest

from gateway.broker.errors import BrokerError
from gateway.broker.fetch_sessions import (
    EPOCH_MAX,
    KEPT_S,
    PARTS_MAX_COUNT,
    SESSION_BYTES,
    FetchSessions,
    Part,
    Session,
    size_of,
)
from gateway.tests.harness import CountingRng, virtual
from protocol import ErrorCode
from protocol.messages.fetch import FetchPartition


def _parts(count: int, topic: str = "t") -> list[tuple[Part, FetchPartition]]:
    return [((topic, n), FetchPartition(partition=n)) for n in range(count)]


def _sessions(count_max: int = 10, bytes_max: int = 1 << 30) -> FetchSessions:
    return FetchSessions(count_max, bytes_max, CountingRng())


def _opened(sessions: FetchSessions, count: int = 1) -> Session:
    session = sessions.open(_parts(count), by_id=False)
    assert session is not None
    return session


def test_what_is_known_already_is_no_news() -> None:
    session = Session(1, 0.0, by_id=False)
    session.update(_parts(1), ())
    part = ("t", 0)
    table = [
        ((5, 0, False), True),
        ((5, 0, False), False),
        ((6, 0, False), True),
        ((6, 2, False), True),
        ((6, 2, False), False),
        ((6, 2, True), True),
        ((6, 2, True), True),
        ((6, 2, False), True),  # it has recovered
        ((6, 2, False), False),
    ]
    for (mark, start, has_failed), is_news in table:
        assert session.told(part, mark, start, has_failed=has_failed) is is_news
    session.update([(part, FetchPartition(partition=0, fetch_offset=6))], ())
    assert not session.told(part, 6, 2, has_failed=False)  # only the request is new
    assert [asked.fetch_offset for _, asked in session.parts()] == [6]


@virtual
async def test_each_epoch_is_answered_once() -> None:
    sessions = _sessions()
    session = _opened(sessions)
    for epoch in (1, 2, 3):
        assert sessions.go_on(session.id, epoch, (), (), by_id=False) is session
        for wrong in (epoch, epoch + 2, -5):
            with pytest.raises(BrokerError) as refused:
                sessions.go_on(session.id, wrong, (), (), by_id=False)
            assert refused.value.code == ErrorCode.INVALID_FETCH_SESSION_EPOCH
    session.epoch = EPOCH_MAX
    assert sessions.go_on(session.id, EPOCH_MAX, (), (), by_id=False) is session
    assert session.epoch == 1  # 0 would open another
    with pytest.raises(BrokerError) as refused:
        sessions.go_on(session.id, 1, (), (), by_id=True)
    assert refused.value.code == ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR
    sessions.close(session.id)
    with pytest.raises(BrokerError) as refused:
        sessions.go_on(session.id, 1, (), (), by_id=False)
    assert refused.value.code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    assert (len(sessions), sessions.used_bytes) == (0, 0)


@virtual
async def test_partitions_come_and_go_and_the_last_one_ends_it() -> None:
    sessions = _sessions()
    session = _opened(sessions, 3)
    size = size_of(("t", 0))
    sessions.go_on(session.id, 1, _parts(5), [("t", 0), ("u", 9)], by_id=False)
    assert [number for (_, number), _ in session.parts()] == [1, 2, 3, 4]
    assert sessions.used_bytes == SESSION_BYTES + 4 * size
    gone = [("t", n) for n in range(5)]
    assert sessions.go_on(session.id, 2, (), gone, by_id=False) is None
    assert (len(sessions), sessions.used_bytes) == (0, 0)


@virtual
async def test_a_slot_goes_to_others_from_who_is_idle_or_small() -> None:
    sessions = _sessions(count_max=2)
    idle, busy = _opened(sessions, 5), _opened(sessions, 2)
    assert sessions.open(_parts(9), by_id=False) is None  # both have had no time yet
    await asyncio.sleep(KEPT_S + 1)
    sessions.go_on(busy.id, 1, (), (), by_id=False)
    third = _opened(sessions, 1)
    assert {*sessions._by_id} == {busy.id, third.id}
    assert idle.id not in sessions._by_id
    sessions.go_on(third.id, 1, (), (), by_id=False)
    assert sessions.open(_parts(1), by_id=False) is None  # no larger than the least
    assert sessions.open(_parts(2), by_id=False) is None  # that one has had no time yet
    await asyncio.sleep(KEPT_S / 2)
    for session in (busy, third):
        sessions.go_on(session.id, 2, (), (), by_id=False)
    await asyncio.sleep(KEPT_S / 2 + 1)
    larger = _opened(sessions, 2)
    assert {*sessions._by_id} == {busy.id, larger.id}


@virtual
async def test_all_together_have_so_many_bytes() -> None:
    size = size_of(("t", 0))
    sessions = _sessions(bytes_max=5 * size + 2 * SESSION_BYTES)
    first = _opened(sessions, 3)
    assert sessions.open(_parts(3), by_id=False) is None
    second = _opened(sessions, 2)
    assert sessions.used_bytes == 5 * size + 2 * SESSION_BYTES
    with pytest.raises(BrokerError) as refused:
        sessions.go_on(second.id, 1, _parts(3), (), by_id=False)
    assert refused.value.code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    assert sessions.used_bytes == 3 * size + SESSION_BYTES
    sessions.close(first.id)
    assert sessions.used_bytes == 0
    assert _sessions().open(_parts(PARTS_MAX_COUNT + 1), by_id=False) is None
    empty = _sessions().open([], by_id=False)  # as in Kafka
    assert empty is not None and len(empty) == 0


@virtual
async def test_idle_sessions_make_room_for_large_ones() -> None:
    size = size_of(("t", 0))
    sessions = _sessions(bytes_max=5 * (size + SESSION_BYTES))
    for _ in range(5):
        _opened(sessions)
    await asyncio.sleep(KEPT_S + 1)
    _opened(sessions, 4)
    assert len(sessions) < 5
    assert sessions.used_bytes <= 5 * (size + SESSION_BYTES)
