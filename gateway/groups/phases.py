"""How long the two halves of a rebalance last.

First a group waits for members to join (`JoinPhase`), then for those of the new generation to come
for their assignment (`SyncPhase`). Both end early when nobody is missing any more, which the group
sees; here is what happens when somebody is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.groups.timers import RenewableTimer


class JoinPhase:
    """Until when joins are waited for; `time_is_up` is called then.

    An empty group gathers its first members: for a short delay, again as long whenever somebody
    came meanwhile, and never for longer than the rebalance timeout in all.
    """

    def __init__(self, delay_ms: int, time_is_up: Callable[[], None]) -> None:
        self._delay_ms = delay_ms
        self._time_is_up = time_is_up
        self._timer = RenewableTimer(self._expired)
        # Time left for extensions of the delay; None when nothing is gathered.
        self._left_ms: int | None = None
        self._somebody_came = False

    @property
    def is_gathering(self) -> bool:
        """Whether more is waited for though all members that are known have joined."""
        return self._left_ms is not None

    def gather(self, timeout_ms: int) -> None:
        """The first join of an empty group."""
        delay_ms = min(self._delay_ms, timeout_ms)
        if delay_ms > 0:
            self._left_ms = timeout_ms - delay_ms
            self._somebody_came = False
        self._timer.renew(delay_ms or timeout_ms)

    def wait(self, timeout_ms: int) -> None:
        """For the members that there are to rejoin."""
        self._timer.renew(timeout_ms)

    def somebody_comes(self) -> None:
        self._somebody_came = True

    def end(self) -> None:
        self._timer.cancel()
        self._left_ms = None

    def _expired(self) -> None:
        if self._left_ms and self._somebody_came:
            delay_ms = min(self._delay_ms, self._left_ms)
            self._left_ms -= delay_ms
            self._somebody_came = False
            self._timer.renew(delay_ms)
            return
        self._left_ms = None
        self._time_is_up()


class SyncPhase:
    """Who of a generation has not come for its assignment yet; `time_is_up` is called if somebody
    does not in time.
    """

    def __init__(self, time_is_up: Callable[[], None]) -> None:
        self._time_is_up = time_is_up
        self._timer = RenewableTimer(self._expired)
        self._missing_ids: set[str] = set()

    def begin(self, member_ids: Iterable[str], timeout_ms: int) -> None:
        self._missing_ids = set(member_ids)
        self._timer.renew(timeout_ms)

    def came(self, member_id: str) -> None:
        """It has, or it is no member any more."""
        self._missing_ids.discard(member_id)
        if not self._missing_ids:
            self._timer.cancel()

    def is_missing(self, member_id: str) -> bool:
        return member_id in self._missing_ids

    def end(self) -> None:
        self._missing_ids.clear()
        self._timer.cancel()

    def _expired(self) -> None:
        if self._missing_ids:
            self._time_is_up()
