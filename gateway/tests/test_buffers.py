from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.buffers import BLOCK_BYTES_MIN, BlockPool, ByteBudget

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


@settings(max_examples=60, deadline=None)
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


def test_one_request_always_fits_and_what_has_arrived_has_arrived() -> None:
    budget = ByteBudget(100)
    assert budget.admit(1_000)
    assert not budget.admit(1)
    budget.take(5)
    assert budget.is_exceeded
    budget.give_back(1_000)
    assert not budget.is_exceeded
    assert budget.admit(95)
    assert not budget.admit(1)
    budget.give_back(100)
    assert budget.used_bytes == 0


def test_those_who_wait_are_called_in_order_each_once() -> None:
    budget = ByteBudget(10)
    budget.take(20)
    called: list[str] = []

    def first() -> None:
        called.append("first")
        assert budget.admit(6)

    def second() -> None:
        called.append("second")
        if not budget.admit(6):
            budget.call_when_free(second)

    def third() -> None:
        called.append("third")

    for callback in (first, second, third):
        budget.call_when_free(callback)
    budget.give_back(5)
    assert called == []
    budget.give_back(13)
    assert called == ["first", "second"]  # what second waits for, third must not take
    budget.forget(third)
    budget.forget(third)
    budget.give_back(6)
    assert called == ["first", "second", "second"]
    assert budget.used_bytes == 8
    assert not budget._waiting


def test_whoever_asks_later_waits_behind_one_that_needs_much() -> None:
    """Or large requests starve while small ones come and go."""
    budget = ByteBudget(100)
    admitted: list[int] = []

    def ask(size: int) -> None:
        if budget.admit(size):
            admitted.append(size)
        else:
            budget.call_when_free(lambda: ask(size))

    for _ in range(3):
        ask(30)
    ask(80)
    for _ in range(3):
        budget.give_back(30)
        ask(30)
    assert admitted == [30, 30, 30, 80]
    budget.give_back(80)
    assert admitted == [30, 30, 30, 80, 30, 30, 30]
    budget.give_back(90)
    assert budget.used_bytes == 0
