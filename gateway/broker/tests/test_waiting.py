import asyncio
from typing import Any

import pytest

from gateway.broker.waiting import Waiter, wait_confirmed
from gateway.tests.harness import loop_ms, virtual


class Spot:
    """As much of a partition as a waiter knows."""

    def __init__(self) -> None:
        self.waiters: dict[Waiter, None] = {}


@virtual
async def test_a_waiter_is_woken_or_runs_out_of_time() -> None:
    spots: list[Any] = [Spot(), Spot()]
    with Waiter(spots) as waiter:
        assert all(list(s.waiters) == [waiter] for s in spots)
        asyncio.get_running_loop().call_later(0.2, waiter.wake)
        assert await waiter.wait(1)
        assert loop_ms() == pytest.approx(200)
        assert not await waiter.wait(0.3)
        assert loop_ms() == pytest.approx(500)
        waiter.wake()
        waiter.wake()
        assert await waiter.wait(1)  # by an event before the call
        assert loop_ms() == pytest.approx(500)
    assert not any(s.waiters for s in spots)


@virtual
async def test_a_cancelled_waiter_leaves_no_timer() -> None:
    spot: Any = Spot()

    async def park() -> None:
        with Waiter([spot]) as waiter:
            await waiter.wait(1_000)

    task = asyncio.ensure_future(park())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not spot.waiters


def _futures(count: int) -> list[asyncio.Future[None]]:
    loop = asyncio.get_running_loop()
    return [loop.create_future() for _ in range(count)]


@virtual
async def test_confirmations_are_waited_for_all_together() -> None:
    futures = _futures(3)
    for n, future in enumerate(futures):
        asyncio.get_running_loop().call_later(0.1 * n, future.set_result, None)
    await wait_confirmed(futures, 9)
    assert loop_ms() == pytest.approx(200)
    await wait_confirmed(futures, 9)
    await wait_confirmed((), 9)
    assert loop_ms() == pytest.approx(200)


@virtual
async def test_time_up_and_failure_are_for_the_caller_to_see() -> None:
    stuck, failed = _futures(2)
    failed.set_exception(OSError())
    await wait_confirmed((stuck, failed), 0.5)
    assert loop_ms() == pytest.approx(500)
    assert not stuck.done()
    assert isinstance(failed.exception(), OSError)


@virtual
async def test_a_cancelled_wait_cancels_no_confirmation_and_leaves_no_callback() -> None:
    """The block is shared by others."""
    (shared,) = _futures(1)
    waits = [asyncio.ensure_future(wait_confirmed((shared,), 100)) for _ in range(3)]
    await asyncio.sleep(0)
    waits[0].cancel()
    await asyncio.sleep(0.001)
    assert not shared.cancelled()
    shared.set_result(None)
    await asyncio.gather(*waits[1:])
    assert waits[0].cancelled()
    (other,) = _futures(1)
    await wait_confirmed((other,), 0.01)
    assert not other._callbacks  # type: ignore[attr-defined]
