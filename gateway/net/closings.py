"""Telling people of connections that were closed: once an address and a while.

Who speaks TLS to a plain listener, or asks for what is not served, comes again at once, some ten
times a second. What is left out of the warnings is counted, and there at level debug.
"""

from __future__ import annotations

import asyncio
import logging

from gateway.observe.logger import log_event

logger = logging.getLogger(__name__)

QUIET_S = 60.0  # after a warning about an address
ADDRESSES_MAX_COUNT = 1_000  # so many are remembered; beyond that the one told longest ago goes


class Closings:
    """What was told of which address."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[float, int]] = {}  # when, and how many came since

    def tell(self, address: str, reason: str) -> None:
        """A connection of that address is closed, by us."""
        now_s = asyncio.get_running_loop().time()
        told_s, quiet_count = self._told.get(address, (-QUIET_S, 0))
        if now_s - told_s < QUIET_S:
            self._told[address] = told_s, quiet_count + 1
            log_event(logger, logging.DEBUG, "connection closed", client=address, reason=reason)
            return
        self._told.pop(address, None)  # to its end: the dict is in the order of telling
        self._told[address] = now_s, 0
        if len(self._told) > ADDRESSES_MAX_COUNT:
            del self._told[next(iter(self._told))]
        log_event(
            logger,
            logging.WARNING,
            "connection closed",
            client=address,
            reason=reason,
            more_since=quiet_count,
        )
