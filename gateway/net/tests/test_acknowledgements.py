"""All requests of a block are told in one go, each once, whatever becomes of the block."""

import asyncio

from gateway.net.acknowledgements import TOLD_AT_ONCE_COUNT, Acknowledgements
from gateway.tests.virtual import virtual
from wal_core import Unavailable

Told = list[tuple[str, object]]


class Request:
    def __init__(self, name: str) -> None:
        self.name = name
        self.is_waiting = True


class Asker:
    """Writes down what it is told, and when it goes on."""

    def __init__(self, told: Told) -> None:
        self.told = told

    def acknowledged(self, request: Request, error: BaseException | None) -> None:
        request.is_waiting = False
        self.told.append((request.name, error))

    def go_on(self) -> None:
        self.told.append(("go on", None))


def _block() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


@virtual
async def test_each_asker_goes_on_once_it_was_told_of_all_of_its_requests() -> None:
    acknowledgements: Acknowledgements[Request] = Acknowledgements()
    told: Told = []
    one, other, block = Asker(told), Asker(told), _block()
    for asker, name in ((one, "a"), (other, "b"), (one, "c")):
        acknowledgements.wait(block, asker, Request(name), 9)
    assert (acknowledgements.waiting_count, acknowledgements.pending()) == (3, [block])
    block.set_result(None)
    assert not told
    await asyncio.sleep(0)
    assert [name for name, _ in told] == ["a", "b", "c", "go on", "go on"]
    assert (acknowledgements.waiting_count, acknowledgements.pending()) == (0, [])


@virtual
async def test_a_block_that_fails_tells_why() -> None:
    acknowledgements: Acknowledgements[Request] = Acknowledgements()
    told: Told = []
    failed, cancelled = _block(), _block()
    acknowledgements.wait(failed, Asker(told), Request("a"), 9)
    acknowledgements.wait(cancelled, Asker(told), Request("b"), 9)
    error = Unavailable("no")
    failed.set_exception(error)
    cancelled.cancel()
    await asyncio.sleep(0)
    assert told[0] == ("a", error)
    assert isinstance(told[2][1], TimeoutError)


@virtual
async def test_each_waits_for_its_own_time_and_is_told_no_second_time() -> None:
    acknowledgements: Acknowledgements[Request] = Acknowledgements()
    told: Told = []
    block = _block()
    for name, timeout_s in (("slow", 9), ("quick", 1), ("quicker", 0.5), ("given up", 0.2)):
        request = Request(name)
        acknowledgements.wait(block, Asker(told), request, timeout_s)
    request.is_waiting = False
    await asyncio.sleep(0.4)
    assert not told
    await asyncio.sleep(1)
    assert [name for name, _ in told] == ["quicker", "go on", "quick", "go on"]
    assert all(isinstance(error, TimeoutError) for name, error in told if name != "go on")
    assert acknowledgements.waiting_count == 1
    block.set_result(None)
    await asyncio.sleep(0)
    assert told[4:] == [("slow", None), ("go on", None)]


@virtual
async def test_a_crowd_is_told_in_several_turns() -> None:
    acknowledgements: Acknowledgements[Request] = Acknowledgements()
    told: Told = []
    asker, block = Asker(told), _block()
    for number in range(2 * TOLD_AT_ONCE_COUNT + 1):
        acknowledgements.wait(block, asker, Request(str(number)), 9)
    block.set_result(None)
    seen = []
    while acknowledgements.pending():
        await asyncio.sleep(0)
        seen.append(len(told))
    assert seen == [TOLD_AT_ONCE_COUNT + 1, 2 * TOLD_AT_ONCE_COUNT + 2, 2 * TOLD_AT_ONCE_COUNT + 4]
