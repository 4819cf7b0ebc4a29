"""Which requests wait for which block to be durable: all of a block are told in one go.

A produce that is appended at once needs no task to wait in: what is left to do is to send its
answer. A block may hold those of a thousand connections, and many of one connection: so each
connection is told of all of its own before it sends them together.
"""

from __future__ import annotations

import asyncio
from typing import Generic, Protocol, TypeVar

from gateway.broker.waiting import failure

TOLD_AT_ONCE_COUNT = 200
"""Some milliseconds of the loop; the rest in its next turn."""


class Waiting(Protocol):
    """A request."""

    @property
    def is_waiting(self) -> bool:
        """False: it is not to be told any more."""
        ...


R = TypeVar("R", bound=Waiting)
R_contra = TypeVar("R_contra", bound=Waiting, contravariant=True)


class Asker(Protocol[R_contra]):
    """Whose request it is: a connection."""

    def acknowledged(self, request: R_contra, error: BaseException | None) -> None:
        """None: what it brought is durable. It does not wait any more."""

    def go_on(self) -> None:
        """That was all of its requests, for now."""


class _Block(Generic[R]):
    """Those who wait for one, in the order of their coming."""

    __slots__ = ("due_s", "ones", "timer")

    def __init__(self) -> None:
        self.ones: list[tuple[float, Asker[R], R]] = []  # and until when each of them waits
        self.due_s = float("inf")
        self.timer: asyncio.TimerHandle | None = None


class Acknowledgements(Generic[R]):
    """Of the whole process. Every block is settled in the end, so nobody is kept here for ever."""

    def __init__(self) -> None:
        self._blocks: dict[asyncio.Future[None], _Block[R]] = {}

    def pending(self) -> list[asyncio.Future[None]]:
        """What is waited for."""
        return list(self._blocks)

    @property
    def waiting_count(self) -> int:
        return sum(
            request.is_waiting for block in self._blocks.values() for _, _, request in block.ones
        )

    def wait(
        self, confirmation: asyncio.Future[None], asker: Asker[R], request: R, timeout_s: float
    ) -> None:
        """Tell `asker` once `confirmation` is settled, or the time is up."""
        block = self._blocks.get(confirmation)
        if block is None:
            block = self._blocks[confirmation] = _Block()
            confirmation.add_done_callback(self._settled)
        due_s = confirmation.get_loop().time() + timeout_s
        block.ones.append((due_s, asker, request))
        if due_s < block.due_s:
            self._look(block, due_s)

    def _settled(self, confirmation: asyncio.Future[None]) -> None:
        block = self._blocks[confirmation]
        if block.timer is not None:
            block.timer.cancel()
        self._tell(confirmation, block, 0)

    def _tell(self, confirmation: asyncio.Future[None], block: _Block[R], at: int) -> None:
        error = failure(confirmation)
        end = at + TOLD_AT_ONCE_COUNT
        askers: dict[Asker[R], None] = {}
        for _, asker, request in block.ones[at:end]:
            if request.is_waiting:
                askers[asker] = None
                asker.acknowledged(request, error)
        if end < len(block.ones):
            asyncio.get_running_loop().call_soon(self._tell, confirmation, block, end)
        else:
            del self._blocks[confirmation]
        for asker in askers:
            asker.go_on()

    def _look(self, block: _Block[R], due_s: float) -> None:
        if block.timer is not None:
            block.timer.cancel()
        block.due_s = due_s
        block.timer = asyncio.get_running_loop().call_at(due_s, self._late, block)

    def _late(self, block: _Block[R]) -> None:
        block.timer = None
        now_s = asyncio.get_running_loop().time()
        block.ones = [one for one in block.ones if one[2].is_waiting]
        for due_s, asker, request in block.ones:
            if due_s <= now_s:
                error = TimeoutError("not durable within the request's timeout; it may become so")
                asker.acknowledged(request, error)
                asker.go_on()
        left_s = [due_s for due_s, _, request in block.ones if request.is_waiting]
        block.due_s = float("inf")
        if left_s:
            self._look(block, min(left_s))
