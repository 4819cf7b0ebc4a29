"""A proxy between clients and a gateway whose connections can be cut, slowed down and stalled."""

import asyncio
import enum
from collections import Counter

from compat_tests.proxies.looping import Listener
from compat_tests.support.deadline import seeded

_READ_BYTES = 1 << 16
_SLICES_PER_S = 20


class Way(enum.Enum):
    """A direction through the proxy."""

    THERE = enum.auto()
    BACK = enum.auto()


class _Pair:
    """A client's connection and the one to the gateway that belongs to it."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.writers = writers
        self.cut_inside = False

    def abort(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class TcpProxy:
    """Use as a context manager. `port` stays the same whatever `target_port` becomes."""

    def __init__(self, target_port: int = 0, *, seed: int = 0) -> None:
        self.target_port = target_port
        """Where new connections go."""
        self.bytes_per_s: float | None = None
        """Of each connection and direction; None: as fast as it goes."""
        self.latency_s = 0.0
        self.events: Counter[str] = Counter()
        self._pairs: set[_Pair] = set()
        self._random = seeded(seed)
        self._listener = Listener(self._serve)
        self._refuses = False
        self._flowing = {way: asyncio.Event() for way in Way}
        for flowing in self._flowing.values():
            flowing.set()
        self.port = self._listener.port

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> "TcpProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._listener.close()

    def cut(self, share: float = 1.0, *, inside: bool = False) -> None:
        """Abort some connections: now, or `inside` the next bytes, half of which arrive."""

        def act() -> None:
            for pair in self._pairs:
                if self._random.random() < share:
                    self.events["cut"] += 1
                    if inside:
                        pair.cut_inside = True
                    else:
                        pair.abort()

        self._listener.tell(act)

    def refuse(self) -> None:
        """Connections are aborted, those that are there and all that come."""
        self.events["refuse"] += 1
        self._refuses = True
        self.cut()

    def stall(self, *ways: Way) -> None:
        """Nothing goes through any more, those ways or both; connections stay open. What was sent
        meanwhile arrives afterwards, whoever still waits for it."""
        self.events["stall"] += 1
        for way in ways or Way:
            self._listener.tell(self._flowing[way].clear)

    def slow(self, bytes_per_s: float, latency_s: float = 0.0) -> None:
        self.events["slow"] += 1
        self.bytes_per_s, self.latency_s = bytes_per_s, latency_s

    def flow(self) -> None:
        """The end of a stall."""
        for flowing in self._flowing.values():
            self._listener.tell(flowing.set)

    def heal(self) -> None:
        self.bytes_per_s, self.latency_s = None, 0.0
        self._refuses = False
        self.flow()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        await self._flowing[Way.THERE].wait()
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        pair = _Pair(writer, far_writer)
        self._pairs.add(pair)
        pumps = [
            asyncio.ensure_future(self._pump(pair, Way.THERE, reader, far_writer)),
            asyncio.ensure_future(self._pump(pair, Way.BACK, far_reader, writer)),
        ]
        try:
            # One end closed is both closed: Kafka's clients close no half.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._pairs.discard(pair)
            pair.abort()  # before anything is waited for: the proxy may be closing, too
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self,
        pair: _Pair,
        way: Way,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        while data := await reader.read(_READ_BYTES):
            await self._flowing[way].wait()
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            if pair.cut_inside:
                writer.write(data[: len(data) // 2])
                await writer.drain()
                return
            await self._send(writer, data)
        await writer.drain()

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        at = 0
        while at < len(data):
            rate = self.bytes_per_s
            size = len(data) if rate is None else max(1, int(rate / _SLICES_PER_S))
            writer.write(data[at : at + size])
            await writer.drain()
            at += size
            if rate is not None:
                await asyncio.sleep(1 / _SLICES_PER_S)
