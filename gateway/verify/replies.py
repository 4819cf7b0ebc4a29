"""Whether replies left each connection in the order of its requests.

Only operations whose invoke line names a `connection` count: one request each, answered on it.
"""

from collections import deque

from gateway.verify.lines import Process
from gateway.verify.model import History, Op


class Replies:
    """Follows what waits on each connection; tells the history about replies that overtook."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._waiting: dict[Process, deque[Op]] = {}
        self._connection_of: dict[int, Process] = {}  # of what waits, by line of invocation

    def asked(self, connection: Process, op: Op) -> None:
        """A request went out."""
        self._history.replies_count += 1
        self._connection_of[op.line] = connection
        self._waiting.setdefault(connection, deque()).append(op)

    def ended(self, op: Op) -> None:
        """An operation ended; without a reply (info) it just waits no longer."""
        connection = self._connection_of.pop(op.line, None)
        if connection is None:
            return
        waiting = self._waiting[connection]
        while waiting and waiting[0].line not in self._connection_of:
            waiting.popleft()
        if waiting and waiting[0].line < op.line and op.outcome != "info":
            self._history.overtaken.append((op, waiting[0]))
