"""What each client may use in a second, and what it has used: Kafka's quotas (KIP-13, KIP-124).

A rate is that of the last windows, Kafka's `quota.window.num` of `quota.window.size.seconds` each.
Who is above its limit is slowed down for as long as brings its rate back to it: until then nothing
more of it is read (KIP-219).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

WINDOWS_COUNT = 11
WINDOW_S = 1.0
_MEMORY_S = WINDOWS_COUNT * WINDOW_S

USER, CLIENT_ID, IP = "user", "client-id", "ip"
PRODUCED, CONSUMED, WORKED = "producer_byte_rate", "consumer_byte_rate", "request_percentage"
"""Bytes a second; of the time of the loop, percent."""
ANONYMOUS = "ANONYMOUS"
"""The user that Kafka takes each client for that has not said who it is."""

USAGES_BYTES_MAX = 16 * 1024 * 1024
_ROW_BYTES = 2_048  # about what one takes beside its client id

Entity = tuple[tuple[str, str | None], ...]
"""Whose quota it is: names by their kinds, in the order of these; None: of all that have none."""


class Usage:
    """What one client has used lately."""

    __slots__ = ("_samples", "last_s")

    def __init__(self) -> None:
        self._samples: deque[list[float]] = deque()  # when each window began, and what was used
        self.last_s = 0.0

    def add(self, amount: float, now_s: float) -> None:
        self.last_s = now_s
        samples = self._samples
        while samples and now_s - samples[0][0] >= _MEMORY_S:
            samples.popleft()
        if not samples or now_s - samples[-1][0] >= WINDOW_S:
            samples.append([now_s, 0.0])
        samples[-1][1] += amount

    def excess_s(self, limit: float) -> float:
        """How long nothing may be used until what was is no more than `limit` a second, at the time
        of the last use.

        As in Kafka's Rate the windows count as nearly all there, also while they are not: so what a
        client may use in ten seconds it may use at once.
        """
        elapsed_s = self.last_s - self._samples[0][0]
        missing_count = WINDOWS_COUNT - 1 - int(elapsed_s / WINDOW_S)
        elapsed_s += max(0, missing_count) * WINDOW_S
        used = sum(sample[1] for sample in self._samples)
        return max(0.0, used / limit - elapsed_s)


class Quotas:
    """`change` what is allowed, `charge` what is used. Bounded: who used something longest ago is
    forgotten first, and who used nothing for all windows means nothing any more.
    """

    def __init__(self) -> None:
        self._limits: dict[str, dict[Entity, float]] = {PRODUCED: {}, CONSUMED: {}, WORKED: {}}
        self._usages: dict[tuple[str, str | None], Usage] = {}  # in the order of their last use
        self._usages_bytes = 0
        self.is_any = False
        """Where nothing is limited nothing need be asked."""

    def __len__(self) -> int:
        return len(self._usages)

    def change(self, entity: Entity, values: Mapping[str, float]) -> None:
        """These are all the limits of `entity` now; what is not known here is not looked at."""
        for key, limits in self._limits.items():
            limits.pop(entity, None)
            if key in values:
                limits[entity] = values[key]
        self.is_any = any(self._limits.values())

    def has(self, key: str, client_id: str | None) -> bool:
        """Whether there is such a limit for a client."""
        return self._find(key, client_id or "") is not None

    def bytes_max(self, key: str, client_id: str | None) -> int | None:
        """As much as a client may take at once; None: as it likes."""
        found = self._find(key, client_id or "")
        return None if found is None else max(1, int(found[0] * (WINDOWS_COUNT - 1) * WINDOW_S))

    def charge(self, key: str, client_id: str | None, amount: float, now_s: float) -> float:
        """A client used so much: returns for how many seconds it is to use nothing more."""
        found = self._find(key, client_id or "")
        if found is None:
            return 0.0
        limit, owner = found
        usage = self._used(key, owner, now_s)
        usage.add(amount, now_s)
        return usage.excess_s(limit)

    def _find(self, key: str, client_id: str) -> tuple[float, str | None] | None:
        """A client's limit, and who uses it up: the client, or (None) all of its user together."""
        limits = self._limits[key]
        if limits:
            for entity, owner in _candidates(client_id):
                limit = limits.get(entity)
                if limit is not None:
                    return limit, owner
        return None

    def _used(self, key: str, owner: str | None, now_s: float) -> Usage:
        usages = self._usages
        usage = usages.pop((key, owner), None)
        if usage is None:
            usage = Usage()
            self._usages_bytes += _size(owner)
        usages[key, owner] = usage
        while len(usages) > 1:
            first = next(iter(usages))
            is_idle = now_s - usages[first].last_s >= _MEMORY_S
            if not is_idle and self._usages_bytes <= USAGES_BYTES_MAX:
                break
            del usages[first]
            self._usages_bytes -= _size(first[1])
        return usage


def _candidates(client_id: str) -> Iterator[tuple[Entity, str | None]]:
    """In Kafka's order of precedence (ClientQuotaManager)."""
    for user in (ANONYMOUS, None):
        yield ((CLIENT_ID, client_id), (USER, user)), client_id
        yield ((CLIENT_ID, None), (USER, user)), client_id
        yield ((USER, user),), None
    yield ((CLIENT_ID, client_id),), client_id
    yield ((CLIENT_ID, None),), client_id


def _size(owner: str | None) -> int:
    return _ROW_BYTES + 4 * len(owner or "")
