"""A node among others: registers, follows who is there, opens and hands over logs by the plan.

Every step starts from what is seen now and may be tried again, so that a lost reply, a store that
went back or a node that died in between need nothing of their own:

- a log that is open here and not written down as ours is written down; one that is written down as
  ours and not open here is written down as ended;
- a log without a living owner is claimed by whom the plan gives it to, opened (which fences whoever
  has it), and then written down;
- a log that the plan gives to another is released, and written down as released to that one.

Nobody claims anything without a good lease and a view of the store. After each beginning of a view
holders write down what they hold at once, and for one lease in which no node comes or goes nobody
claims logs that others may still hold. Nothing that safety rests on is here: who opens a log
without need costs a take-over, no record.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from functools import partial
from typing import NamedTuple, Protocol, TypeAlias

import msgspec

from gateway.cluster.allotment import Allotment, KnownLogs
from gateway.cluster.coordination.base import (
    Change,
    Compacted,
    CoordinationError,
    CoordinationStore,
    Delete,
    Put,
    Refused,
    Unchanged,
)
from gateway.cluster.coordination.records import (
    FAILED,
    FENCED,
    RELEASED,
    ClaimRecord,
    MoveOrder,
    NodeRecord,
    OwnerRecord,
    Record,
    encode,
    key_of,
    taken,
)
from gateway.cluster.coordination.sight import Course
from gateway.cluster.many_nodes import ManyNodes, address_of
from gateway.cluster.ownership import MoveRules, Plan, Standing
from gateway.cluster.registration import Registration
from gateway.cluster.roster import Roster
from gateway.cluster.settling import Settling
from gateway.cluster.unable import Unable
from gateway.observe.logger import log_event
from wal_core import Clock, Fenced, Resigned, SystemClock, WalError

logger = logging.getLogger(__name__)

AGAIN_S = 0.5  # after the coordination store was lost
RETRY_S_MIN, RETRY_S_MAX = 0.2, 10.0  # of what failed for one log
OPEN_S_MAX = 120.0


Step: TypeAlias = Callable[[], Awaitable[None]]
"""Something to be done for one log."""


class OwnLogs(KnownLogs, Protocol):
    """The logs of this node, to be opened and released."""

    async def open(self, log_id: int) -> int:
        """Fence whoever has it, recover, serve; the term. Raises WalError."""
        ...

    async def release(self, log_id: int) -> None:
        """Take nothing more, confirm what was taken, let the next one in."""
        ...

    async def check(self, log_id: int) -> None:
        """See whether another has taken it; if so, it is lost."""
        ...


class MemberSettings(NamedTuple):
    """`settle_s`: for how long nobody claims what others may hold, after a view has begun."""

    root: str
    ttl_s: int
    settle_s: float
    rules: MoveRules = MoveRules()
    clock: Clock = SystemClock()


class Member:
    """`start`; `lost` for each log that had to step down; `leave`, `stop`. `view` is what requests
    ask."""

    def __init__(
        self, store: CoordinationStore, settings: MemberSettings, me: NodeRecord, own: OwnLogs
    ) -> None:
        self._store = store
        self._settings = settings
        self._own = own
        self._roster = Roster(settings.root)
        self._registration = Registration(
            store, settings.root, me, settings.ttl_s, renewed=self._registered
        )
        self.view = ManyNodes(address_of(me), me.incarnation, self._roster, own.term_of)
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Holds Refused once another process has taken this node's id."""
        self._incarnation = me.incarnation
        self._is_seeing = False
        self._settling = Settling(settings.settle_s)
        self._unable = Unable(self._tell_unable)
        self._allotment = Allotment(
            me.node_id,
            self._roster,
            own,
            self._settling,
            rules=settings.rules,
            ttl_s=settings.ttl_s,
        )
        self._doubted: set[int] = set()
        """Logs that may have been taken while nobody saw us."""
        self._ends: dict[int, str] = {}
        """How logs that are not open any more ended, where that was no release."""
        self._woken = asyncio.Event()
        self._moved = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._retries: dict[int, tuple[float, float]] = {}  # not before, and the next pause

    @property
    def node_id(self) -> int:
        return self._registration.record.node_id

    def nodes(self) -> Collection[NodeRecord]:
        """All that are registered, as far as is known."""
        return self._roster.nodes.values()

    @property
    def logs_count(self) -> int:
        """The most data logs that anybody alive was told of: all have to know the same ones."""
        return max((node.logs_count for node in self.nodes()), default=0)

    @property
    def has_lease(self) -> bool:
        """Whether nobody else may take what this node has, nor can have while it had none."""
        return self._registration.lease is not None and self._doubted.isdisjoint(self._held())

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        steps = (self._registration.run(), self._follow(), self._act())
        self._tasks = [loop.create_task(step, name="cluster member") for step in steps]

    async def stop(self) -> None:
        """Nothing is opened or handed over any more; the others see at once that we are gone."""
        tasks = [*self._tasks, *self._busy.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._tasks = []
        await self._registration.end()

    async def leave(self, timeout_s: float) -> None:
        """Hand over what is here, as far as there is anybody, and the time."""
        record = msgspec.structs.replace(
            self._registration.record, standing=Standing.DRAINING.value
        )
        try:
            async with asyncio.timeout(timeout_s):
                await self._registration.change(record)
                # A log that is being released is not served any more, and nobody knows it yet.
                while self._busy or (self._held() and self._takers()):
                    self._moved.clear()
                    await self._moved.wait()
        except (TimeoutError, CoordinationError) as error:
            reason = str(error) or "the time is over"
            log_event(logger, logging.WARNING, "logs not handed over", reason=reason)

    def _held(self) -> list[int]:
        return [log for log in self._allotment.logs() if self._own.term_of(log) is not None]

    def _takers(self) -> bool:
        nodes = self._roster.nodes.values()
        open_to = (n for n in nodes if self._roster.standing(n) is Standing.OPEN)
        return self._is_seeing and any(node.node_id != self.node_id for node in open_to)

    def lost(self, log_id: int, error: BaseException) -> None:
        """A log was let go of because it had to be."""
        self._doubted.discard(log_id)
        if isinstance(error, Resigned):
            self._ends[log_id] = RELEASED  # nobody else has it: it may be claimed at once
        else:
            self._ends[log_id] = FENCED if isinstance(error, Fenced) else FAILED
            by = self._roster.taker(log_id, self.node_id)
            log_event(logger, logging.WARNING, "log taken", log=log_id, by=by, reason=error)
        self._wake()

    def _wake(self) -> None:
        self._woken.set()
        self._moved.set()

    # -- seeing ----------------------------------------------------------------------------

    def _registered(self) -> None:
        """Whoever was away for a lease may have been replaced."""
        self._doubted.update(self._held())
        self._wake()

    async def _follow(self) -> None:
        was_told: CoordinationError | None = None
        while True:
            try:
                await self._see()
            except Compacted:
                continue
            except CoordinationError as error:
                if was_told is None or self._is_seeing:
                    log_event(logger, logging.WARNING, "coordination store away", reason=error)
                was_told = error
            finally:
                self._is_seeing = False
            await asyncio.sleep(AGAIN_S)

    async def _see(self) -> None:
        loop = asyncio.get_running_loop()
        snapshot = await self._store.read(self._settings.root)
        course = self._roster.take_all(snapshot, loop.time())
        if course is not Course.ON:
            log_event(
                logger,
                logging.WARNING,
                "coordination store is not what it was",
                reason=course.value,
            )
            self._registration.forgotten()
        self._settling.begin(loop.time())
        my_key = key_of(self._settings.root, self._registration.record)
        if not self._roster.revision(my_key):
            self._registration.gone(snapshot.revision)
        self._registration.hurry()
        self._is_seeing = True
        self._saw()
        watch = self._store.watch(self._settings.root, snapshot.revision)
        async with aclosing(watch) as changes:
            async for some in changes:
                before = self._roster.nodes.keys() | set()
                self._roster.take(some, loop.time())
                if self._roster.nodes.keys() != before:
                    self._settling.disturb(loop.time())
                for change in some:
                    if change.value is None and change.key == my_key:
                        self._registration.gone(change.revision)
                self._saw()

    def _saw(self) -> None:
        me = self._roster.nodes.get(self.node_id)
        if me is not None and me.incarnation != self._incarnation:
            self._saw_another(me)
        self._wake()
        self.view.changed()

    def _saw_another(self, me: NodeRecord) -> None:
        """Somebody is, or was, registered as this node."""
        registration, key = self._registration, key_of(self._settings.root, me)
        if not 0 < registration.revision < self._roster.revision(key):
            return  # ours takes its place
        if 0 < me.started_ms < registration.record.started_ms:
            # A copy of the store of before we came, which is not always told apart from what was
            # there since.
            registration.gone(self._roster.revision(key))
        elif not self.failed.done():
            self.failed.set_exception(
                Refused(
                    f"another process, advertised as {me.host}:{me.port}, has registered as "
                    f"node {me.node_id}: give each node a --node-id of its own"
                )
            )
            self.failed.exception()  # seen: not everybody waits

    async def end(self, node: NodeRecord) -> None:
        """Take a node's record away, as its lease would: nothing runs there any more. Not if it has
        registered since. Raises CoordinationError."""
        key = key_of(self._settings.root, node)
        if self._roster.nodes.get(node.node_id) == node:
            seen = Unchanged(key, self._roster.revision(key))
            await self._store.transact([seen], [Delete(key)])

    # -- acting ----------------------------------------------------------------------------

    async def _act(self) -> None:
        settings = self._settings
        while True:
            self._woken.clear()
            if self._is_seeing and self._registration.lease and not self.failed.done():
                self._look()
            try:
                async with asyncio.timeout(min(settings.ttl_s / 4, settings.settle_s)):
                    await self._woken.wait()
            except TimeoutError:
                pass

    def _look(self) -> None:
        """Begin whatever is to be done for each log."""
        now_s = asyncio.get_running_loop().time()
        plan = self._allotment.plan(now_s)
        for log in sorted(self._allotment.logs()):
            if log in self._busy or self._retries.get(log, (-math.inf,))[0] > now_s:
                continue
            is_over = self._unable.is_over(log, now_s)
            forget: Step = partial(self._unable.forget, log)
            step = forget if is_over else self._step(log, plan, now_s)
            if step is not None:
                task = asyncio.get_running_loop().create_task(self._try(log, step), name="a log")
                self._busy[log] = task

    def _step(self, log: int, plan: Plan, now_s: float) -> Step | None:
        term, record = self._own.term_of(log), self._roster.owners.get(log)
        is_mine = record is not None and record.incarnation == self._incarnation
        mine = record if is_mine else None
        if term is not None:
            if log in self._doubted or term < self._roster.sight.term_of(log):
                return self._look_at(log, term)
            if mine is None or mine.ended or mine.term != term or log in self._roster.void:
                return partial(self._publish, log, term)
            return self._move(mine, plan, now_s)
        if self._roster.claimer(log) in (None, self.node_id):
            if record is None and self._settling.is_over(now_s):
                # Void here, and whoever has not seen the higher term takes us for the owner. The
                # one of that term has had its time to say so.
                record = self._roster.void.get(log)
            if record and record.incarnation == self._incarnation and record.ended is None:
                return partial(self._write_end, record)
            if self._allotment.may_claim(log, plan, now_s):
                return partial(self._claim, log)
        return None

    def _look_at(self, log: int, term: int) -> Step | None:
        """At what may be another's. That nobody has taken it is no answer while somebody may still
        fence it who began before we were back; who begins later has seen that we are."""
        registered = self._registration
        my_key = key_of(self._settings.root, registered.record)
        has_caught_up = self._roster.revision(my_key) >= registered.revision
        is_claimed = self._roster.claimer(log) not in (None, self.node_id)
        if term >= self._roster.sight.term_of(log) and (is_claimed or not has_caught_up):
            return None
        return partial(self._check, log)

    def _move(self, mine: OwnerRecord, plan: Plan, now_s: float) -> Step | None:
        """Whether to hand over what is written down as ours."""
        log, heir = mine.log, self._roster.heir(mine.log)
        if heir is None and mine.next_node_id is not None:
            return partial(self._publish, log, mine.term)  # it died before it got the log
        order = self._roster.moves.get(log)
        if heir is None and order is not None:
            if order.node_id == self.node_id or order.node_id not in self._roster.nodes:
                return partial(self._put_away, order)
            heir = order.node_id
        if heir is None and log in plan.moves and self._settling.is_over(now_s):
            heir = plan.owners[log]
        return None if heir is None else partial(self._hand_over, mine, heir)

    async def _try(self, log: int, step: Step) -> None:
        loop = asyncio.get_running_loop()
        try:
            await step()
        except (CoordinationError, WalError, TimeoutError) as error:
            pause_s = self._retries.get(log, (0.0, RETRY_S_MIN))[1]
            self._retries[log] = (loop.time() + pause_s, min(2 * pause_s, RETRY_S_MAX))
            loop.call_later(pause_s, self._woken.set)
            log_event(logger, logging.WARNING, "log not moved yet", log=log, reason=error)
        else:
            self._retries.pop(log, None)
        finally:
            del self._busy[log]
            self._wake()

    # -- steps -----------------------------------------------------------------------------

    async def _claim(self, log: int) -> None:
        lease, root = self._registration.lease, self._settings.root
        claim = ClaimRecord(log, self.node_id, self._incarnation)
        if lease is None or not await self._transact(log, claim, lease, seen=self._absent(log)):
            return
        began_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(OPEN_S_MAX):
                term = await self._own.open(log)
        except (WalError, TimeoutError):
            await self._store.transact([], [Delete(key_of(root, claim))])
            await self._unable.failed(log)
            raise
        await self._unable.opened(log)
        self._roster.sight.saw_term(log, term, self._incarnation)
        self._ends.pop(log, None)
        took_ms = round((asyncio.get_running_loop().time() - began_s) * 1_000)
        log_event(logger, logging.INFO, "log opened", log=log, term=term, took_ms=took_ms)
        self.view.changed()
        await self._publish(log, term)

    def _absent(self, log: int) -> list[Unchanged]:
        """That the node which had the log has not come back meanwhile: it would look at its logs
        once, find none of them taken, and believe in its lease from then on."""
        owner = self._roster.owners.get(log)
        if owner is None or owner.node_id == self.node_id:
            return []
        key = key_of(self._settings.root, NodeRecord(owner.node_id, "", "", 0))
        return [Unchanged(key, self._roster.revision(key))]

    async def _tell_unable(self, logs: tuple[int, ...]) -> None:
        record = msgspec.structs.replace(self._registration.record, unable=logs)
        await self._registration.change(record)

    async def _publish(self, log: int, term: int) -> None:
        self._roster.sight.saw_term(log, term, self._incarnation)
        before = self._roster.owners.get(log)
        if before is not None and (before.incarnation, before.term) == (self._incarnation, term):
            owner = msgspec.structs.replace(before, ended=None, next_node_id=None)
        else:
            now_ms = self._settings.clock.now_ms()
            owner = taken(log, self._registration.record, term, before, now_ms)
        await self._transact(log, owner, unclaim=True)

    async def _put_away(self, order: MoveOrder) -> None:
        """It is carried out, or its node is gone."""
        key = key_of(self._settings.root, order)
        await self._store.transact([Unchanged(key, self._roster.revision(key))], [Delete(key)])

    async def _write_end(self, record: OwnerRecord) -> None:
        ended = self._ends.get(record.log, RELEASED)
        await self._transact(record.log, msgspec.structs.replace(record, ended=ended))

    async def _check(self, log: int) -> None:
        with contextlib.suppress(Fenced):  # then it is lost, and in doubt until it is let go of
            await self._own.check(log)
            self._doubted.discard(log)

    async def _hand_over(self, record: OwnerRecord, target: int) -> None:
        """Said first, so that nothing is released that nobody could be told of."""
        log = record.log
        moving = msgspec.structs.replace(record, next_node_id=target)
        if not await self._transact(log, moving):
            return
        began_s = asyncio.get_running_loop().time()
        await self._own.release(log)
        self.view.changed()
        released = msgspec.structs.replace(moving, ended=RELEASED)
        try:
            # Whoever has written there meanwhile has the log.
            await self._transact(log, released)
        except CoordinationError:
            await self._own.open(log)  # if that was heard all the same, its heir fences us
            raise
        took_ms = round((asyncio.get_running_loop().time() - began_s) * 1_000)
        log_event(logger, logging.INFO, "log handed over", log=log, to=target, took_ms=took_ms)

    async def _transact(
        self,
        log: int,
        record: Record,
        lease: int = 0,
        *,
        unclaim: bool = False,
        seen: Sequence[Unchanged] = (),
    ) -> bool:
        """Write, if owner and claim of the log, and what else was seen, are still so; what was
        written is seen at once."""
        root = self._settings.root
        claim_key = key_of(root, ClaimRecord(log, 0, ""))
        owner_key = key_of(root, OwnerRecord(log, 0, "", 0))
        both = (Unchanged(key, self._roster.revision(key)) for key in (claim_key, owner_key))
        seen = [*both, *seen]
        put = Put(key_of(root, record), encode(record), lease)
        claims = [claim_key] if unclaim and self._roster.revision(claim_key) else []
        readings_count = self._roster.readings_count
        done = await self._store.transact(seen, [put, *map(Delete, claims)])
        if done.succeeded:
            written = Change(put.key, put.value, done.revision)
            gone = [Change(key, None, done.revision) for key in claims]
            now_s = asyncio.get_running_loop().time()
            self._roster.wrote([written, *gone], now_s, readings_count=readings_count)
        return done.succeeded
