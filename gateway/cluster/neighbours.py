"""Whether the nodes beside this one still run, told by an idle connection to each of them.

A process that is killed says nothing, and its lease lasts for seconds more. The system it ran on
does say something: it closes the connections of the process, and refuses new ones at its address.
So the record of a node is taken away when it has closed a connection of ours and refuses two more
in a row, at the very address that the first one led to, unless the node has registered since.

Silence says nothing: who is slow, stopped or cut off keeps its lease to its end. Nor does being
refused alone, or being closed alone. A node that lives all the same registers again, and looks at
what it holds; that nothing is lost then is what fences are for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import NamedTuple, Protocol

from gateway.cluster.coordination.base import CoordinationError
from gateway.cluster.coordination.records import NodeRecord
from gateway.cluster.ownership import Standing
from gateway.observe.logger import log_event

logger = logging.getLogger(__name__)

WATCHED_COUNT = 3
"""Nodes that a node looks after, those behind it in the order of their ids. More: as many may end
at once and be noticed; each costs everybody a connection."""
REFUSALS_COUNT = 2
AGAIN_S = 0.1
"""Between two tries to connect to a node that closed a connection. Longer: a process that is
started again at once is not taken for gone; shorter: one that is gone is noticed sooner."""
LATER_S = 1.0
"""Until the next try where a node was not reached before, or closes at once."""
CONNECT_S_MAX = 3.0


class Line(Protocol):
    """A connection to a node, on which nothing is said."""

    async def until_closed(self) -> None:
        """Returns once it has ended, whoever ended it."""
        ...

    async def again(self) -> Line:
        """Another one to the same address. Raises OSError."""
        ...

    def close(self) -> None: ...


class Neighbours:
    """`look` at each change of who is there, `stop`."""

    def __init__(
        self,
        node_id: int,
        nodes: Callable[[], Collection[NodeRecord]],
        end: Callable[[NodeRecord], Awaitable[None]],
        connect: Callable[[NodeRecord], Awaitable[Line]],
    ) -> None:
        """`nodes` are those that are registered, `end` takes the record of one away."""
        self._node_id = node_id
        self._nodes = nodes
        self._end = end
        self._connect = connect
        self._tasks: dict[_Start, asyncio.Task[None]] = {}
        self._is_stopped = False

    def look(self) -> None:
        """See who is to be looked after now."""
        if self._is_stopped:
            return
        wanted = [_Start.of(node) for node in self._beside()]
        for start in [start for start in self._tasks if start not in wanted]:
            self._tasks.pop(start).cancel()
        for start in [start for start in wanted if start not in self._tasks]:
            watching = self._watch(start)
            self._tasks[start] = asyncio.get_running_loop().create_task(watching, name="neighbour")

    def _beside(self) -> list[NodeRecord]:
        """Those next to this one, around the ring of all."""
        others = [node for node in self._nodes() if node.node_id != self._node_id]
        others.sort(key=lambda node: (node.node_id < self._node_id, node.node_id))
        return others[:WATCHED_COUNT]

    async def stop(self) -> None:
        self._is_stopped = True
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _watch(self, start: _Start) -> None:
        """Until its record is taken away, by whomever."""
        line: Line | None = None
        refusals_count = 0  # in a row, since that one was closed
        while (node := self._record(start)) is not None:
            pause_s = LATER_S
            try:
                async with asyncio.timeout(CONNECT_S_MAX):
                    line = await (self._connect(node) if line is None else line.again())
            except ConnectionRefusedError:
                if line is not None:
                    pause_s = AGAIN_S
                    refusals_count += 1
            except (OSError, TimeoutError):
                line = None
            else:
                refusals_count = 0
                if await _lasted_s(line) >= LATER_S:
                    continue
            if line is not None and refusals_count >= REFUSALS_COUNT:
                pause_s = LATER_S  # until it is seen that the record is gone
                await self._tell(start)
            await asyncio.sleep(pause_s)

    def _record(self, start: _Start) -> NodeRecord | None:
        for node in self._nodes():
            if _Start.of(node) == start:
                return node
        return None

    async def _tell(self, start: _Start) -> None:
        """Whoever stops in order closes its address first, and hands over what it has."""
        node = self._record(start)
        if node is None or node.standing == Standing.DRAINING.value:
            return
        log_event(
            logger,
            logging.WARNING,
            "node has ended",
            node=node.node_id,
            reason=f"{node.host}:{node.port} has closed its connection and refuses others",
        )
        with contextlib.suppress(CoordinationError):
            await self._end(node)


class _Start(NamedTuple):
    """One start of a process."""

    node_id: int
    incarnation: str
    host: str
    port: int

    @classmethod
    def of(cls, node: NodeRecord) -> _Start:
        return cls(node.node_id, node.incarnation, node.host, node.port)


async def _lasted_s(line: Line) -> float:
    """Returns once it is closed."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    try:
        await line.until_closed()
    finally:
        line.close()
    return loop.time() - began_s


class _TcpLine:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._address = writer.get_extra_info("peername")[:2]

    async def until_closed(self) -> None:
        with contextlib.suppress(OSError):
            await self._reader.read(1)  # nobody is asked anything, so nothing is said

    async def again(self) -> Line:
        return _TcpLine(*await asyncio.open_connection(*self._address))

    def close(self) -> None:
        self._writer.close()


async def connect_tcp(node: NodeRecord) -> Line:
    """To the address that it tells its clients."""
    return _TcpLine(*await asyncio.open_connection(node.host, node.port))
