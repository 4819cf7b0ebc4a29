"""A proxy between a gateway and an S3 server that loses, delays, repeats and refuses.

It forwards whole requests over HTTP/1.1 on loopback. What it does to them comes from `rules`,
which may be exchanged at any time, from holds that stop one request for as long as a test likes,
and from `down`, an outage of everything. Chance comes from the seed.
"""

import asyncio
import enum
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

from compat_tests.proxies.http_wire import Message, Request, error_response, read_message
from compat_tests.proxies.looping import Listener
from compat_tests.proxies.rules import DONE, Fault, Hold, Rule
from compat_tests.support.deadline import seeded

_ERRORS = {
    Fault.ERROR_500: (500, "InternalError"),
    Fault.DONE_THEN_500: (500, "InternalError"),
    Fault.SLOW_DOWN: (503, "SlowDown"),
    Fault.CONFLICT: (409, "ConditionalRequestConflict"),
}


class Outage(enum.Enum):
    """How a store is away."""

    NONE = enum.auto()
    REFUSED = enum.auto()  # connections are cut, new ones too
    SILENT = enum.auto()  # nothing is answered, nothing is done
    BUSY = enum.auto()  # 503 to everything


class Cut(Exception):
    """The connection ends here."""


class S3Proxy:
    """Use as a context manager; `endpoint` is what the gateway is told."""

    def __init__(self, target: str, *, seed: int = 0) -> None:
        parts = urlsplit(target)
        self._target = parts.hostname or "", parts.port or 80
        self._random = seeded(seed)
        self._writers: set[asyncio.StreamWriter] = set()
        self._holds: list[Hold] = []
        self._down = Outage.NONE
        self.rules: list[Rule] = []
        self.faults: Counter[str] = Counter()
        """Names of what was done to requests, and how often."""
        self.requests_count = 0
        self.on_created: Callable[[str], None] | None = None
        """Told each key that the store has created, whatever its creator hears of it."""
        self._listener = Listener(self._serve)
        self.endpoint = f"http://127.0.0.1:{self._listener.port}"

    def __enter__(self) -> "S3Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._listener.close()

    def hold(
        self, method: str, key: str, *, after_effect: bool = False, skip_count: int = 0
    ) -> Hold:
        """Stop the next request that matches, behind `skip_count` others."""
        hold = Hold(method, key, after_effect, skip_count)
        self._holds.append(hold)
        return hold

    def forget_holds(self) -> None:
        """Those that no request has met yet."""
        self._holds = [hold for hold in self._holds if hold.reached]

    @property
    def down(self) -> Outage:
        return self._down

    @down.setter
    def down(self, outage: Outage) -> None:
        self._down = outage
        if outage is not Outage.NONE:
            self.faults[f"OUTAGE_{outage.name}"] += 1
        if outage is not Outage.SILENT:
            # Whoever was left without an answer never gets one.
            self.cut()

    def cut(self) -> None:
        """Abort every connection."""
        self._listener.tell(lambda: [writer.transport.abort() for writer in self._writers])

    def heal(self) -> None:
        """No rule, no outage. Holds stay with their tests."""
        self.rules = []
        self.down = Outage.NONE

    # One connection

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while self._down is not Outage.REFUSED:
                message = await read_message(reader)
                if message is None:
                    return
                self.requests_count += 1
                writer.write(await self._answer(message, reader))
                await writer.drain()
        except Cut as cut:
            if cut.args:
                writer.write(cut.args[0])
                await writer.drain()
                await asyncio.sleep(0.01)  # an abort takes back what the system has not sent yet
        finally:
            self._writers.discard(writer)

    async def _answer(self, message: Message, reader: asyncio.StreamReader) -> bytes:
        """What to write back; raises Cut, maybe with some last bytes."""
        request = Request.of(message)
        if self._down is Outage.SILENT:
            await self._hang(reader)
        if self._down is Outage.BUSY:
            return error_response(503, "SlowDown")
        for hold in self._holds:
            if hold.matches(request):
                return await self._held(hold, request, message)
        fault = await self._arrive(request)
        if fault is None:
            return _joined(await self._forward(message))
        self.faults[fault.name] += 1
        response = await self._forward(message) if fault in DONE else Message(b"", b"")
        if fault in (Fault.HANG, Fault.DONE_THEN_HANG):
            await self._hang(reader)
        if fault in (Fault.RESET, Fault.LOST_REPLY):
            raise Cut
        if fault is Fault.TRUNCATED:
            raise Cut(response.head + response.body[: len(response.body) // 2])
        if fault is Fault.REPEATED:
            return _joined(await self._forward(message))
        return error_response(*_ERRORS[fault])

    async def _held(self, hold: Hold, request: Request, message: Message) -> bytes:
        hold.request = request
        try:
            if not hold.after_effect and not await hold.stand():
                raise Cut
            response = await self._forward(message)
            if hold.after_effect and not await hold.stand():
                raise Cut
            return _joined(response)
        finally:
            hold.ended()

    async def _arrive(self, request: Request) -> Fault | None:
        """Draw what happens to this request, and wait as long as it is on the way."""
        delay_s = 0.0
        drawn = None
        for rule in list(self.rules):
            if rule.times == 0 or not rule.matches(request) or self._random.random() >= rule.share:
                continue
            if rule.times is not None:
                rule.times -= 1
            if rule.fault is not Fault.LATENCY:
                drawn = rule.fault
                break
            self.faults[rule.fault.name] += 1
            delay_s += self._random.uniform(*rule.delay_s)
        if delay_s:
            await asyncio.sleep(delay_s)
        return drawn

    async def _forward(self, message: Message) -> Message:
        """A connection of its own each time: none can be stale. Goes on if the sender goes."""
        reader, writer = await asyncio.open_connection(*self._target, limit=1 << 20)
        try:
            writer.write(message.head + message.body)
            await writer.drain()
            method = message.first_line.partition(" ")[0]
            response = await read_message(reader, answers=method)
        finally:
            writer.transport.abort()
        if response is None:
            raise Cut
        if method == "PUT" and response.status == 200 and self.on_created is not None:
            self.on_created(Request.of(message).key)
        return response

    async def _hang(self, reader: asyncio.StreamReader) -> None:
        """Until the sender has had enough; it sends nothing more on this connection."""
        await reader.read(1)
        raise Cut


def _joined(message: Message) -> bytes:
    return message.head + message.body
