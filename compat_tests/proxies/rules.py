"""What a proxy before a store is told to do, to which request, and how often."""

import asyncio
import enum
import re
import threading
from dataclasses import dataclass, field

from compat_tests.proxies.http_wire import Request


class Fault(enum.Enum):
    """What happens to one request. DONE: it reaches the store, whatever the sender hears."""

    LATENCY = enum.auto()  # it waits, then goes its way
    RESET = enum.auto()  # the connection is cut, nothing done
    LOST_REPLY = enum.auto()  # done, then the connection is cut
    ERROR_500 = enum.auto()
    SLOW_DOWN = enum.auto()  # 503
    CONFLICT = enum.auto()  # 409, nothing stored
    DONE_THEN_500 = enum.auto()
    HANG = enum.auto()  # nothing done, no answer
    DONE_THEN_HANG = enum.auto()
    TRUNCATED = enum.auto()  # half of the response's body, then the connection is cut
    # Done twice, the second answer is given: a conditional PUT hears 412 of its own success, as
    # from a balancer that tries again by itself.
    REPEATED = enum.auto()


DONE = frozenset(
    {
        Fault.LOST_REPLY,
        Fault.DONE_THEN_500,
        Fault.DONE_THEN_HANG,
        Fault.TRUNCATED,
        Fault.REPEATED,
    }
)


@dataclass
class Rule:
    """A fault for the requests that match. Of several, latencies add up; else the first counts."""

    fault: Fault
    method: str = ""  # PUT, GET, HEAD, DELETE, LIST; empty: any
    key: str = ""  # a regular expression, found anywhere in the key
    share: float = 1.0  # of the matching requests, drawn from the proxy's seed
    times: int | None = None  # so many at most
    delay_s: tuple[float, float] = (0.0, 0.0)  # LATENCY: drawn evenly between the two

    def matches(self, request: Request) -> bool:
        return self.method in ("", request.method) and bool(re.search(self.key, request.key))


@dataclass
class Hold:
    """Stops one request before or after its effect, until the test says how it goes on.

    A request held before its effect reaches the store when released, whether or not its sender
    still waits: a packet that was long on the way.
    """

    method: str
    key: str
    after_effect: bool
    skip_count: int = 0  # matching requests that pass before it
    request: Request | None = None
    _reached: threading.Event = field(default_factory=threading.Event)
    _done: threading.Event = field(default_factory=threading.Event)
    _go_on: "asyncio.Future[bool] | None" = None

    def matches(self, request: Request) -> bool:
        rule = Rule(Fault.HANG, self.method, self.key)
        if self.request is not None or not rule.matches(request):
            return False
        self.skip_count -= 1
        return self.skip_count < 0

    @property
    def reached(self) -> bool:
        return self._reached.is_set()

    def wait_reached(self, timeout_s: float = 30.0) -> None:
        """Returns when the request is held."""
        if not self._reached.wait(timeout_s):
            raise AssertionError(f"no {self.method} of {self.key} came in {timeout_s} s")

    def release(self, timeout_s: float = 30.0) -> None:
        """It goes on; returns when it had its effect and its answer is on the way."""
        self._decide(True, timeout_s)

    def drop(self, timeout_s: float = 30.0) -> None:
        """Held before the effect: it never has one. After it: the answer is lost."""
        self._decide(False, timeout_s)

    def _decide(self, goes_on: bool, timeout_s: float) -> None:
        assert self._go_on is not None, "nothing is held yet"
        future = self._go_on

        def decide() -> None:
            if not future.done():
                future.set_result(goes_on)

        future.get_loop().call_soon_threadsafe(decide)
        assert self._done.wait(timeout_s), f"{self.request} did not end in {timeout_s} s"

    # The proxy's side

    async def stand(self) -> bool:
        """Waits for the test; returns whether the request goes on."""
        self._go_on = asyncio.get_running_loop().create_future()
        self._reached.set()
        return await self._go_on

    def ended(self) -> None:
        self._done.set()
