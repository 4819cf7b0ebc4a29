"""How long something takes of the loop's time, while it runs, not while it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Timed(Generic[T]):
    """Await it in place of `work`; `spent_s` then says what all its steps took."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work
        self.spent_s = 0.0

    def __await__(self) -> Generator[Any, Any, T]:
        now_s = asyncio.get_running_loop().time
        steps = self._work.__await__()
        step, given = steps.send, None
        try:
            while True:
                began_s = now_s()
                try:
                    waited_for = step(given)
                except StopIteration as end:
                    result: T = end.value
                    return result
                finally:
                    self.spent_s += now_s() - began_s
                try:
                    step, given = steps.send, (yield waited_for)
                except GeneratorExit:
                    raise
                except BaseException as error:
                    step, given = steps.throw, error
        finally:
            steps.close()
