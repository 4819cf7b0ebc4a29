"""A coordination store in etcd, over gRPC with the messages of `wire.py`; extra `[etcd]`.

Reads and keep-alives are repeated at another member within their time, changes never: whoever asked
for them knows whether they may be.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import grpc.aio

from gateway.cluster.coordination import wire
from gateway.cluster.coordination.base import (
    CALL_S_MAX,
    Change,
    Compacted,
    Delete,
    Done,
    KeyValue,
    LeaseLost,
    Put,
    Snapshot,
    StoreAway,
    Unchanged,
    Watch,
)
from gateway.cluster.coordination.etcd_link import EtcdLink, MemberLost, Stream
from gateway.cluster.coordination.etcd_settings import EtcdSettings

PAGE_COUNT = 1000
WATCH_QUIET_S_MAX = 30.0
"""A watch that brings nothing for so long asks whether it is still there. Larger: a connection that
died in silence is noticed later, if nothing else is called; smaller: more small messages."""
CAUGHT_UP_S = 1.0
"""By then a new watch is no longer among those that etcd lets catch up, ten times a second."""
_COMPARE_EQUAL, _TARGET_MOD = 0, 2
_DELETED = 1


class EtcdStore:
    """See the module; make it on the loop that uses it."""

    def __init__(self, settings: EtcdSettings, *, call_s_max: float = CALL_S_MAX) -> None:
        self._call_s_max = call_s_max
        self._link = EtcdLink(settings, call_s_max)

    async def read(self, prefix: str) -> Snapshot:
        start, end = prefix.encode(), wire.prefix_end(prefix.encode())
        revision, store_id, keys = 0, 0, list[KeyValue]()
        while True:
            request = wire.message((1, start), (2, end), (3, PAGE_COUNT), (4, revision))
            try:
                answer = await self._link.ask("KV/Range", request, repeat=True)
            except Compacted as error:
                raise StoreAway("what was being read is forgotten; read it again") from error
            if not revision:
                head = wire.header(answer)
                revision, store_id = head.revision, head.cluster_id
            keys += [_key_value(kv) for kv in answer.each(2)]
            if not answer.number(3):
                return Snapshot(store_id, revision, tuple(keys))
            start = keys[-1].key.encode() + b"\0"

    async def transact(self, conditions: Sequence[Unchanged], then: Sequence[Put | Delete]) -> Done:
        compares = [
            wire.message((1, _COMPARE_EQUAL), (2, _TARGET_MOD), (3, condition.key.encode()))
            + wire.varint(6 << 3)
            + wire.varint(condition.changed_revision)
            for condition in conditions
        ]
        request = wire.joined(1, compares) + wire.joined(2, map(_operation, then))
        answer = await self._link.ask("KV/Txn", request, repeat=False)
        return Done(bool(answer.number(2)), wire.header(answer).revision)

    async def watch(self, prefix: str, after_revision: int) -> Watch:
        await self._check_remembered(prefix, after_revision)
        start = prefix.encode()
        create = wire.message((1, start), (2, wire.prefix_end(start)), (3, after_revision + 1))
        loop = asyncio.get_running_loop()
        async with self._link.open_stream("Watch/Watch", wire.part(1, create)) as call:
            incoming = _Incoming(call)
            check_at_s = loop.time() + CAUGHT_UP_S
            try:
                while True:
                    is_checked = check_at_s == math.inf
                    wait_s = WATCH_QUIET_S_MAX if is_checked else check_at_s - loop.time()
                    data = await incoming.next(wait_s)
                    if loop.time() >= check_at_s:
                        check_at_s = math.inf
                        await self._check_remembered(prefix, after_revision)
                    elif data is None:
                        data = await self._asked(call, incoming)
                    for changes in _changes(data, after_revision):
                        yield changes
            finally:
                incoming.close()

    async def _check_remembered(self, prefix: str, after_revision: int) -> None:
        """Raises Compacted where the store has forgotten what came after a revision, or where that
        is ahead of it. Agreed with the leader: a member that lags behind has caught up by then.

        A watch alone would not tell everything: from a revision ahead it waits, and older releases
        of etcd leave out a deletion at the very revision up to which they have forgotten, also if
        they forget it while a new watch has not caught up yet.
        """
        start = prefix.encode()
        end = wire.prefix_end(start)
        request = wire.message((1, start), (2, end), (3, 1), (4, after_revision), (8, 1))
        await self._link.ask("KV/Range", request, repeat=True)

    async def _asked(self, call: Stream, incoming: _Incoming) -> bytes:
        """After a long silence: a watch must answer when it is asked for its progress."""
        try:
            async with asyncio.timeout(self._call_s_max):
                await call.write(wire.part(3, b""))
        except TimeoutError:
            raise MemberLost("the watch takes nothing more") from None
        data = await incoming.next(self._call_s_max)
        if data is None:
            raise MemberLost("the watch is silent")
        return data

    async def grant(self, ttl_s: int) -> int:
        # A lease that nobody hears of runs out by itself.
        answer = await self._link.ask("Lease/LeaseGrant", wire.message((1, ttl_s)), repeat=True)
        return answer.number(2)

    async def keep_alive(self, lease: int) -> None:
        answer = await self._link.ask_stream("Lease/LeaseKeepAlive", wire.message((1, lease)))
        if answer.number(3) <= 0:
            raise LeaseLost(f"lease {lease} is over; register again")

    async def revoke(self, lease: int) -> None:
        try:
            await self._link.ask("Lease/LeaseRevoke", wire.message((1, lease)), repeat=True)
        except LeaseLost:
            pass

    async def compact(self, revision: int) -> None:
        """Let the store forget what was before; etcd's own settings do it in the long run."""
        await self._link.ask("KV/Compact", wire.message((1, revision), (2, 1)), repeat=False)

    async def close(self) -> None:
        await self._link.close()


class _Incoming:
    """What a watch brings; a wait that is over loses nothing."""

    def __init__(self, call: Stream) -> None:
        self._call = call
        self._reading: asyncio.Task[bytes] | None = None

    async def next(self, wait_s: float) -> bytes | None:
        """None if nothing has come in that time. Raises StoreAway."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._call.read())
        done, _ = await asyncio.wait({self._reading}, timeout=max(wait_s, 0))
        if not done:
            return None
        reading, self._reading = self._reading, None
        if reading.cancelled():
            raise StoreAway("the watch was given up")
        got = reading.result()
        if got is grpc.aio.EOF:
            raise StoreAway("the store has ended the watch")
        return bytes(got)

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()


def _changes(data: bytes | None, after_revision: int) -> list[tuple[Change, ...]]:
    """What a message of a watch says. Raises Compacted, StoreAway."""
    answer = wire.Fields(data or b"")
    if answer.number(5):
        raise Compacted(f"revision {after_revision} is forgotten; read everything again")
    if answer.number(4):
        raise StoreAway(f"watch ended: {answer.blob(6).decode(errors='replace')}")
    return _by_revision(answer.each(11))


def _operation(operation: Put | Delete) -> bytes:
    key = operation.key.encode()
    if isinstance(operation, Put):
        return wire.part(2, wire.message((1, key), (2, operation.value), (3, operation.lease)))
    return wire.part(3, wire.message((1, key)))


def _key_value(data: bytes) -> KeyValue:
    kv = wire.Fields(data)
    return KeyValue(kv.blob(1).decode(), kv.blob(5), kv.number(2), kv.number(3), kv.number(6))


def _by_revision(events: Sequence[bytes]) -> list[tuple[Change, ...]]:
    groups: dict[int, list[Change]] = {}
    for data in events:
        event = wire.Fields(data)
        kv = wire.Fields(event.blob(2))
        revision = kv.number(3)
        value = None if event.number(1) == _DELETED else kv.blob(5)
        groups.setdefault(revision, []).append(Change(kv.blob(1).decode(), value, revision))
    return [tuple(changes) for changes in groups.values()]
