import asyncio
from collections import deque
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.net.buffers import (
    BLOCK_BYTES_MIN,
    CALLED_AT_ONCE_COUNT,
    BlockPool,
    ByteBudget,
)
from gateway.tests.harness import virtual

KIB = 1024


# --- BlockPool -----------------------------------------------------------------------------------


def test_a_block_is_large_enough_and_a_power_of_two() -> None:
    pool = BlockPool(1 << 30)
    for size in (1, BLOCK_BYTES_MIN, BLOCK_BYTES_MIN + 1, 3_000_000):
        block = pool.take(size)
        assert len(block) >= size
        assert len(block) & (len(block) - 1) == 0


def test_a_block_comes_back_once_nobody_looks_at_it() -> None:
    pool = BlockPool(1 << 30)
    block = pool.take(200 * KIB)
    first_id = id(block)
    frame = memoryview(block)[:100]
    records = frame[10:20]
    del block
    other = pool.take(200 * KIB)
    assert id(other) != first_id
    other_view = memoryview(other)
    del frame
    assert id(pool.take(200 * KIB)) != first_id  # a view of a view keeps it
    del records
    assert any(id(pool.take(200 * KIB)) == first_id for _ in range(3))
    del other_view


def test_what_is_kept_is_bounded() -> None:
    pool = BlockPool(4 * BLOCK_BYTES_MIN)
    views = [memoryview(pool.take(1)) for _ in range(20)]
    assert pool._kept_bytes == 4 * BLOCK_BYTES_MIN
    del views


def test_what_nobody_needs_any_more_is_given_back() -> None:
    """Not at once: what was handed out since the last look may be wanted again."""
    pool = BlockPool(64 * BLOCK_BYTES_MIN)
    views = [memoryview(pool.take(1)) for _ in range(4)]
    large = memoryview(pool.take(8 * BLOCK_BYTES_MIN))
    assert not pool.trim()  # all are looked at
    del views, large
    again = pool.take(1)
    del again
    assert pool.trim()
    assert pool._kept_bytes == BLOCK_BYTES_MIN
    assert not pool.trim()
    assert pool._kept_bytes == 0


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 600 * KIB), st.booleans()), max_size=60))
def test_a_block_in_use_is_never_handed_out(steps: list[tuple[int, bool]]) -> None:
    pool = BlockPool(8 * BLOCK_BYTES_MIN)
    in_use: deque[tuple[int, memoryview]] = deque()
    for number, (size, release) in enumerate(steps):
        block = pool.take(size)
        block[0] = block[size - 1] = number % 256
        in_use.append((number % 256, memoryview(block)[:size]))
        del block
        if release:
            in_use.popleft()
        for mark, view in in_use:
            assert view[0] == view[-1] == mark


# --- ByteBudget ----------------------------------------------------------------------------------


def test_what_has_arrived_has_arrived() -> None:
    budget = ByteBudget(100)
    budget.take(100)
    assert not budget.is_exceeded
    budget.take(1_000)
    assert budget.is_exceeded
    budget.give_back(1_000)
    assert not budget.is_exceeded
    budget.give_back(100)
    assert budget.used_bytes == 0


def test_those_who_wait_are_called_in_order_each_once() -> None:
    budget = ByteBudget(10)
    budget.take(20)
    budget.may_finish("somebody")  # who waits is not called for its sake
    called: list[str] = []

    def first() -> None:
        called.append("first")
        budget.take(6)

    def second() -> None:
        called.append("second")
        budget.take(6)

    def third() -> None:
        called.append("third")

    for callback in (first, second, third):
        budget.call_when_free(callback)
    budget.give_back(5)
    assert called == []
    budget.give_back(13)  # leaves 2: room for two times 6 would be 14
    assert called == ["first", "second"]
    budget.forget(third)
    budget.forget(third)
    budget.give_back(6)
    assert called == ["first", "second"]
    assert not budget._waiting


def test_one_at_a_time_may_bring_the_rest_of_its_frame() -> None:
    budget = ByteBudget(10)
    budget.take(20)
    assert budget.may_finish("a")
    assert budget.may_finish("a")
    assert not budget.may_finish("b")
    called: list[str] = []

    def asks(name: str) -> None:
        called.append(name)
        if not budget.may_finish(name):
            budget.call_when_free(lambda: asks(name))

    budget.call_when_free(lambda: asks("b"))
    budget.call_when_free(lambda: asks("c"))
    budget.has_finished("c")  # not its turn: nothing happens
    assert called == []
    budget.has_finished("a")
    assert called == ["b"]  # and c still waits, behind it
    budget.hand_over("c", "not c's turn")
    budget.hand_over("b", "b's request")
    assert not budget.may_finish("b")  # its next frame is another matter
    assert called == ["b"]
    budget.has_finished("b")
    assert called == ["b"]
    budget.has_finished("b's request")
    assert called == ["b", "c"]


def test_whoever_cannot_use_the_turn_does_not_stop_the_line() -> None:
    budget = ByteBudget(10)
    budget.take(20)
    budget.may_finish("a")
    called: list[str] = []

    def between_frames() -> None:
        called.append("between frames")
        budget.call_when_free(between_frames)

    def inside_a_frame() -> None:
        called.append("inside a frame")
        assert budget.may_finish("inside a frame")

    budget.call_when_free(between_frames)
    budget.call_when_free(inside_a_frame)
    budget.has_finished("a")
    assert called == ["between frames", "inside a frame"]
    budget.give_back(15)
    assert called[2:] == ["between frames"]


@virtual
async def test_a_crowd_is_called_some_in_each_turn_of_the_loop() -> None:
    budget = ByteBudget(10)
    budget.take(20)
    budget.may_finish("somebody")
    called: list[int] = []
    for number in range(3 * CALLED_AT_ONCE_COUNT):
        budget.call_when_free(partial(called.append, number))
    budget.give_back(20)
    assert called == [*range(CALLED_AT_ONCE_COUNT)]
    await asyncio.sleep(0)
    assert called == [*range(2 * CALLED_AT_ONCE_COUNT)]
    budget.take(20)  # somebody else was quicker
    await asyncio.sleep(0)
    assert len(called) == 2 * CALLED_AT_ONCE_COUNT
    budget.give_back(20)
    assert called == [*range(3 * CALLED_AT_ONCE_COUNT)]
    assert not budget._waiting


@virtual
async def test_those_who_ask_again_are_not_called_before_there_is_room_again() -> None:
    budget = ByteBudget(10)
    budget.take(20)
    budget.may_finish("somebody")
    called: list[int] = []

    def asks(number: int) -> None:
        called.append(number)
        budget.call_when_free(partial(asks, number))

    for number in range(CALLED_AT_ONCE_COUNT + 5):
        asks(number)
    called.clear()
    budget.give_back(20)
    for _ in range(10):
        await asyncio.sleep(0)
    assert called == [*range(CALLED_AT_ONCE_COUNT + 5)]
