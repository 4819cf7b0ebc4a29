"""Requests, errors, bytes and times of each API, counted as they are answered.

Errors are counted as Kafka does: each code in an answer that is not NONE, at the top or of a
partition, a topic, a group. What a handler raised has become codes by then.

Times are the system's, not the loop's: most requests take less than the millisecond that uvloop's
clock counts in, and nothing is ever decided by them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from time import perf_counter
from types import UnionType
from typing import Any, TypeGuard, get_args, get_origin, get_type_hints

from gateway.api import Api
from protocol import Message, message_classes
from wal_core import DURATION_BOUNDS_S, Histogram

NO_API = -1
"""Stands for what is not served at all."""

_Look = Callable[[Any, list[int]], None]


class ApiCounts:
    """Of one API."""

    __slots__ = ("errors", "look", "reply_bytes", "request_bytes", "seconds")

    def __init__(self, look: _Look | None) -> None:
        self.look = look  # what finds the codes in its responses
        self.request_bytes = 0
        self.reply_bytes = 0
        self.seconds = Histogram(DURATION_BOUNDS_S)  # from the last byte of a request to its reply
        self.errors: dict[int, int] = {}  # by code


class RequestCounts:
    """Of all connections together."""

    def __init__(self) -> None:
        self.by_api: dict[int, ApiCounts] = {}  # those that have been asked for
        self.connections_opened = 0
        self.connections_refused = 0

    def served(
        self, api: Api | None, request_bytes: int, reply_bytes: int, arrived_s: float
    ) -> None:
        """A request is done, however that went."""
        key = NO_API if api is None else api.key
        counts = self.by_api.get(key) or self._new(key)
        counts.request_bytes += request_bytes
        counts.reply_bytes += reply_bytes
        counts.seconds.add(perf_counter() - arrived_s)

    def answered(self, api: Api, response: Message | None) -> None:
        """An answer is about to be encoded; None: nobody is answered (acks=0)."""
        counts = self.by_api.get(api.key) or self._new(api.key)
        if response is None or counts.look is None:
            return
        found: list[int] = []
        counts.look(response, found)
        for code in found:
            counts.errors[code] = counts.errors.get(code, 0) + 1

    def _new(self, key: int) -> ApiCounts:
        look = None if key == NO_API else _look_for_codes(message_classes(key).response)
        counts = self.by_api[key] = ApiCounts(look)
        return counts


def _look_for_codes(kind: type[Message]) -> _Look | None:
    """What finds the codes in a message of this class; None: it has none."""
    looks: list[_Look] = []
    for name, hint in get_type_hints(kind).items():
        if name == "error_code":
            looks.append(_own_code)
        for one in get_args(hint) if get_origin(hint) is UnionType else (hint,):
            is_list = get_origin(one) is list
            inner = get_args(one)[0] if is_list else one
            nested = _look_for_codes(inner) if _is_message(inner) else None
            if nested is not None:
                looks.append((_in_all if is_list else _in_one)(attrgetter(name), nested))
    if len(looks) == 1:
        return looks[0]
    return _by_each(looks) if looks else None


def _is_message(kind: object) -> TypeGuard[type[Message]]:
    return isinstance(kind, type) and issubclass(kind, Message)


def _own_code(message: Any, found: list[int]) -> None:
    if message.error_code:
        found.append(message.error_code)


def _in_all(elements_of: Callable[[Any], Any], look: _Look) -> _Look:
    def look_at_codes(message: Any, found: list[int]) -> None:
        for element in elements_of(message) or ():
            if element.error_code:
                found.append(element.error_code)

    def look_deeper(message: Any, found: list[int]) -> None:
        for element in elements_of(message) or ():
            look(element, found)

    return look_at_codes if look is _own_code else look_deeper  # the same with one call less


def _in_one(element_of: Callable[[Any], Any], look: _Look) -> _Look:
    def look_at_it(message: Any, found: list[int]) -> None:
        element = element_of(message)
        if element is not None:
            look(element, found)

    return look_at_it


def _by_each(looks: Sequence[_Look]) -> _Look:
    def look_by_each(message: Any, found: list[int]) -> None:
        for look in looks:
            look(message, found)

    return look_by_each
