"""The one error of this room: what a client is told."""

from __future__ import annotations

from protocol import ErrorCode


class BrokerError(Exception):
    """A request that cannot be served; `code` and the message are what the client is told."""

    def __init__(self, code: ErrorCode, message: str = "") -> None:
        super().__init__(message or code.message)
        self.code = code
