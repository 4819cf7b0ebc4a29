from collections import deque
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from gateway.net.request_line import HELD_BYTES_MAX, READS_AT_ONCE_MAX_COUNT, Place, RequestLine

REPLY = (b"reply",)


def _line(requests_max_count: int = 100, bytes_max: int = 1_000) -> RequestLine[Place]:
    return RequestLine(requests_max_count, bytes_max)


def _added(line: RequestLine[Place], *places: Place) -> list[Place]:
    for place in places:
        line.add(place)
    return list(places)


def _other(size_bytes: int = 10) -> Place:
    return Place(size_bytes)


def _read(size_bytes: int = 10) -> Place:
    return Place(size_bytes, is_pipelined=True, reads_data=True)


def _data(size_bytes: int = 10) -> Place:
    return Place(size_bytes, is_pipelined=True, brings_data=True)


def _all(next_one: Callable[[], Place | None]) -> list[Place]:
    return list(iter(next_one, None))


# --- start -----------------------------------------------------------------------------------


def test_requests_start_in_the_order_of_their_coming() -> None:
    line = _line()
    places = _added(line, _data(), _data(), _read(), _data())
    assert _all(line.next_to_start) == places
    assert all(place.has_started for place in places)


def test_one_that_is_not_pipelined_holds_back_what_follows() -> None:
    line = _line()
    first, barrier, behind = _added(line, _data(), _other(), _data())
    assert _all(line.next_to_start) == [first, barrier]
    line.done(first, REPLY, 5)
    assert line.next_to_start() is None
    line.done(barrier, REPLY, 5)
    assert line.next_to_start() is behind


def test_few_that_read_run_beside_each_other_and_what_is_behind_them_waits() -> None:
    line = _line()
    places = _added(line, *(_read() for _ in range(READS_AT_ONCE_MAX_COUNT + 1)), _data())
    assert _all(line.next_to_start) == places[:READS_AT_ONCE_MAX_COUNT]
    line.done(places[1], REPLY, 5)  # it has its reply, which has not left
    assert line.next_to_start() is None
    line.done(places[0], REPLY, 5)
    assert line.next_to_start() is None
    assert line.next_to_leave() is places[0]
    assert _all(line.next_to_start) == places[READS_AT_ONCE_MAX_COUNT:]


def test_nothing_starts_while_much_is_held_behind_an_earlier_one() -> None:
    line = _line()
    slow, fast, behind = _added(line, _data(), _data(), _data())
    assert [line.next_to_start(), line.next_to_start()] == [slow, fast]
    line.done(fast, REPLY, HELD_BYTES_MAX)
    assert (line.held_bytes, line.next_to_start()) == (HELD_BYTES_MAX, None)
    line.done(slow, REPLY, HELD_BYTES_MAX)  # the head is not held: it can leave
    assert _all(line.next_to_leave) == [slow, fast]
    assert (line.held_bytes, line.next_to_start()) == (0, behind)


# --- leave -----------------------------------------------------------------------------------


def test_replies_leave_in_order_whichever_is_done_first() -> None:
    line = _line()
    first, second, third = _added(line, _data(), _data(), _data())
    _all(line.next_to_start)
    line.done(second, REPLY, 5)
    assert line.next_to_leave() is None
    line.done(first, (), 0)  # nothing to send, but its turn
    assert _all(line.next_to_leave) == [first, second]
    line.done(third, REPLY, 5)
    assert _all(line.next_to_leave) == [third]
    assert not line


def test_a_line_is_full_by_number_by_bytes_and_once_it_ends() -> None:
    line = _line(requests_max_count=2, bytes_max=100)
    first, second = _other(10), _other(90)
    _added(line, first)
    assert not line.is_full
    _added(line, second)
    assert line.is_full
    line.done(first, REPLY, 5)
    assert [line.release(first), line.release(first)] == [10, 0]  # once
    line.next_to_leave()
    assert not line.is_full
    line.finish()
    assert line.is_full


def test_memory_is_given_back_by_what_is_done_though_its_reply_waits() -> None:
    line = _line(bytes_max=100)
    _, second = _added(line, _data(10), _data(95))
    _all(line.next_to_start)
    line.done(second, REPLY, 5)
    line.release(second)
    assert (line.buffered_bytes, line.is_full) == (10, False)


# --- the end ---------------------------------------------------------------------------------


def test_one_that_ends_the_line_takes_what_has_not_started_with_it() -> None:
    line = _line()
    before, ends, running, waiting = _added(line, _data(), _data(), _other(), _data())
    assert _all(line.next_to_start) == [before, ends, running]
    line.done(ends, REPLY, 5, "a failed produce of acks 0")
    assert line.is_ending and line.next_to_start() is None
    assert (ends.reply, ends.close_reason) == ((), "a failed produce of acks 0")
    line.done(before, REPLY, 5)
    assert _all(line.next_to_leave) == [before, ends]
    line.done(running, REPLY, 5)
    assert _all(line.next_to_leave) == [running, waiting]
    assert waiting.reply == ()


def test_what_makes_no_sense_ends_the_line_behind_what_came_before_it() -> None:
    line = _line()
    (before,) = _added(line, _other())
    last = _other(3)
    line.add_last(last, "no header")
    assert (line.buffered_bytes, line.is_ending) == (13, True)
    assert _all(line.next_to_start) == [before]
    line.done(before, REPLY, 5)
    assert _all(line.next_to_leave) == [before, last]
    assert (before.close_reason, last.close_reason) == (None, "no header")


def test_what_brings_data_is_carried_out_for_a_client_that_has_gone() -> None:
    line = _line()
    parked, waiting, data = _added(line, _other(), _other(), _data())
    _all(line.next_to_start)
    assert line.sever() == [parked]
    line.done(parked, (), 0)  # its task is cancelled; the barrier is gone with it
    assert _all(line.next_to_start) == [data]
    line.done(parked, REPLY, 5, "given up")  # the end of that task: the first word counts
    assert not line.is_ending
    assert _all(line.next_to_leave) == [parked, waiting]
    line.done(data, REPLY, 2 * HELD_BYTES_MAX)
    assert (data.reply, line.held_bytes) == ((), 0)
    assert _all(line.next_to_leave) == [data]


def test_replies_that_never_leave_are_not_held() -> None:
    line = _line()
    slow, fast, behind = _added(line, _data(), _data(), _data())
    assert [line.next_to_start(), line.next_to_start()] == [slow, fast]
    line.done(fast, REPLY, HELD_BYTES_MAX)
    assert line.sever() == [slow]
    assert (line.held_bytes, line.next_to_start()) == (0, behind)


def test_who_gives_up_answers_only_what_is_done() -> None:
    line = _line()
    done, running, waiting = _added(line, _data(), _other(), _data())
    _all(line.next_to_start)
    line.done(done, REPLY, 5)
    assert line.give_up("the gateway stops") == [running]
    line.done(running, REPLY, 5)  # too late
    assert _all(line.next_to_leave) == [done, running, waiting]
    assert [p.close_reason for p in (done, running, waiting)] == [
        None,
        "the gateway stops",
        "the gateway stops",
    ]


# --- whatever happens ------------------------------------------------------------------------

_PLACES = st.tuples(st.sampled_from((_other, _read, _data)), st.integers(0, 400))
_EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), _PLACES),
        st.tuples(st.just("add"), _PLACES),
        st.tuples(st.just("start"), st.none()),
        st.tuples(st.just("start"), st.none()),
        st.tuples(st.just("done"), st.tuples(st.integers(0, 20), st.integers(0, HELD_BYTES_MAX))),
        st.tuples(st.just("leave"), st.none()),
        st.tuples(st.just("sever"), st.none()),
    ),
    min_size=20,
    max_size=60,
)


@given(_EVENTS)
def test_any_course_of_events_keeps_the_rules(events: list) -> None:
    """Order of starts and of replies, one barrier, few reads, and counters that are sums."""
    line = _line(requests_max_count=8)
    came: list[Place] = []
    started: list[Place] = []
    running: list[Place] = []
    in_line: deque[Place] = deque()
    severed = False
    for event, detail in events:
        if event == "add":
            kind, size_bytes = detail
            if not severed:
                came += _added(line, kind(size_bytes))
                in_line.append(came[-1])
        elif event == "start":
            place = line.next_to_start()
            if place is not None:
                assert all(p.is_pipelined for p in running)
                started.append(place)
                running.append(place)
        elif event == "done" and running:
            number, size_bytes = detail
            place = running.pop(number % len(running))
            line.done(place, REPLY, size_bytes)
            line.release(place)
        elif event == "leave":
            place = line.next_to_leave()
            if place is not None:
                line.release(place)
                assert place is in_line.popleft()
                assert place not in running
        elif event == "sever":
            assert line.sever() == running_in_order(in_line, running)
            severed = True
        assert len(line) == len(in_line)
        assert started == [p for p in came if p.has_started]  # in the order of their coming
        assert sum(p.reads_data and p.has_started for p in in_line) <= READS_AT_ONCE_MAX_COUNT
        assert line.buffered_bytes == sum(p.size_bytes for p in in_line)
        assert line.held_bytes == sum(p.held_bytes for p in in_line)
        assert line.is_full == (len(in_line) >= 8 or line.buffered_bytes >= 1_000)
    finished(line, in_line, running)


def running_in_order(in_line: deque[Place], running: list[Place]) -> list[Place]:
    return [place for place in in_line if place in running]


def finished(line: RequestLine[Place], in_line: deque[Place], running: list[Place]) -> None:
    """Nothing is stuck: with everything done, everything leaves."""
    while line:
        for place in (*running, *_all(line.next_to_start)):
            line.done(place, REPLY, 5)
            line.release(place)
        running = []
        left = _all(line.next_to_leave)
        assert left
        for place in left:
            line.release(place)
            assert place is in_line.popleft()
    assert (line.buffered_bytes, line.held_bytes) == (0, 0)
