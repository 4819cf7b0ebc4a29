"""Random lives of one group: clients come, go, die and return, the store stalls, the node restarts.

Whatever happens: the generation never goes back, a generation has one leader, what was acknowledged
stays, the snapshot is what the journal holds, and everyone who waits is answered.
"""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.groups.coordinator import GROUP_BYTES
from gateway.groups.members import Identity
from gateway.groups.states import State
from gateway.groups.tests.harness import (
    EPOCH_MS,
    GROUP,
    Client,
    CountingRng,
    FakeJournal,
    make,
    settle,
)
from protocol.error_codes import ErrorCode as E
from wal_core import Unavailable
from wal_core.testing.sim_loop import SimLoop

SESSION_MS, REBALANCE_MS, DELAY_MS = 10_000, 30_000, 100
WHO = st.integers(0, 3)
KINDS = ((None, 3), (None, 9), ("i1", 9), ("i2", 5))  # (instance id, JoinGroup version)
PROTOCOLS = ((("range", b"R"),), (("range", b"R2"), ("sticky", b"S")))


class GroupLife(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = SimLoop()
        self.journal = FakeJournal()
        self.rng = CountingRng()
        self.errors: list[object] = []
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context))
        self.tasks: dict[int, asyncio.Task] = {}
        self.all_tasks: list[asyncio.Task] = []
        self.leaders: dict[int, str] = {}
        self.generation = 0
        self.next_offset = 0
        self.acked_offset = -1

    def do(self, work):
        async def run():
            result = work()
            await settle()
            return result

        return self.loop.run_until_complete(run())

    def start_coordinator(self) -> None:
        self.coordinator = make(
            self.journal,
            start=False,
            rng=self.rng,
            initial_rebalance_delay_ms=DELAY_MS,
            session_timeout_min_ms=1_000,
        )
        for key, value in self.journal.compacted().items():
            self.coordinator.replay(key, value, EPOCH_MS)
        self.coordinator.start()
        self.group_object = None

    @initialize()
    def begin(self) -> None:
        self.do(self.start_coordinator)
        self.clients = [self.client(instance, version) for instance, version in KINDS]

    def client(self, instance: str | None, version: int) -> Client:
        return Client(
            self.coordinator,
            instance=instance,
            version=version,
            session_ms=SESSION_MS,
            rebalance_ms=REBALANCE_MS,
        )

    def begin_task(self, who: int, coroutine) -> None:
        self.tasks[who] = task = self.loop.create_task(coroutine)
        self.all_tasks.append(task)

    def busy(self, who: int) -> bool:
        return who in self.tasks and not self.tasks[who].done()

    async def joining(self, client: Client) -> E:
        result = await client.join()
        if result.error in (E.UNKNOWN_MEMBER_ID, E.FENCED_INSTANCE_ID):
            client.member_id, client.joined = "", None
        if result.error is E.NONE and result.members and not result.skip_assignment:
            known = self.leaders.setdefault(result.generation, client.member_id)
            assert known == client.member_id, "two leaders in one generation"
        return result.error

    async def entering(self, client: Client) -> None:
        if await self.joining(client) is E.NONE and client.joined is not None:
            await client.sync()

    # ---- what clients do

    @rule(who=WHO, protocols=st.sampled_from(PROTOCOLS))
    def join(self, who, protocols) -> None:
        client = self.clients[who]
        if self.busy(who):
            return
        client.protocols = protocols
        if client.member_id and client.heartbeat() is not E.NONE and client.joined is None:
            client.member_id = ""

        self.do(lambda: self.begin_task(who, self.joining(client)))

    @rule(who=WHO)
    def sync(self, who) -> None:
        client = self.clients[who]
        if client.joined is not None and not self.busy(who):
            self.do(lambda: self.begin_task(who, client.sync()))

    @rule(who=WHO)
    def heartbeat(self, who) -> None:
        client = self.clients[who]
        if client.joined is None:
            return
        code = self.do(client.heartbeat)
        if code in (E.UNKNOWN_MEMBER_ID, E.FENCED_INSTANCE_ID):
            client.member_id, client.joined = "", None

    @rule(who=WHO)
    def leave(self, who) -> None:
        client = self.clients[who]
        if client.member_id:
            self.do(client.leave)

    @rule(who=WHO)
    def cut_off(self, who) -> None:
        """The connection goes away while something waits."""
        if self.busy(who):
            self.do(self.tasks[who].cancel)

    @rule(who=WHO)
    def forget_all(self, who) -> None:
        """The process dies and another takes its place."""
        self.cut_off(who)
        self.clients[who] = self.client(*KINDS[who])

    @rule(who=WHO)
    def commit(self, who) -> None:
        client = self.clients[who]
        offset = self.next_offset
        self.next_offset += 1

        async def committing():
            if await client.commit(offset) is E.NONE:
                self.acked_offset = max(self.acked_offset, offset)

        self.do(lambda: self.all_tasks.append(self.loop.create_task(committing())))

    @rule(who_all=st.sets(WHO, min_size=1), ticks=st.integers(1, 30))
    def behave(self, who_all, ticks) -> None:
        """Some clients do as they should: heartbeat, and rejoin when they are told to."""
        for _ in range(ticks):
            for who in who_all:
                client = self.clients[who]
                if self.busy(who):
                    continue
                if client.joined is None or self.do(client.heartbeat) is not E.NONE:
                    if client.joined is None:
                        client.member_id = ""
                    self.do(lambda w=who, c=client: self.begin_task(w, self.entering(c)))
            self.wait(0.2)

    # ---- what the world does

    @rule(seconds=st.sampled_from((0.05, 1, 4, 11, 31)))
    def wait(self, seconds) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @rule()
    def store_stalls(self) -> None:
        self.journal.hold = True

    @rule()
    def store_goes_on(self) -> None:
        self.journal.hold = False
        self.do(self.journal.release)

    @rule(fails=st.booleans())
    def store_fails(self, fails) -> None:
        self.journal.failure = Unavailable("away") if fails else None

    @rule()
    def restart(self) -> None:
        self.do(lambda: [task.cancel() for task in self.all_tasks])
        # Of what was under way some became durable; timers of the old process run into the void.
        log = list(self.journal.log)
        self.journal = FakeJournal()
        self.journal.log = log
        self.do(self.start_coordinator)
        for client in self.clients:
            client.coordinator = self.coordinator
        # Generations that were never journaled may be given again.
        self.leaders.clear()
        self.generation = 0

    # ---- what always holds

    @invariant()
    def nothing_failed_unseen(self) -> None:
        assert self.errors == []
        for task in self.all_tasks:
            if task.done() and not task.cancelled():
                task.result()
        self.all_tasks = [task for task in self.all_tasks if not task.done()]

    @invariant()
    def the_snapshot_is_what_the_journal_holds(self) -> None:
        if hasattr(self, "coordinator"):
            assert dict(self.coordinator.snapshot()) == self.journal.compacted()

    @invariant()
    def acknowledged_commits_are_seen(self) -> None:
        if hasattr(self, "coordinator") and self.acked_offset >= 0:
            (found,) = self.coordinator.fetch(GROUP, [("t", 0)])[1].values()
            assert self.acked_offset <= found.offset < self.next_offset

    @invariant()
    def the_group_is_consistent(self) -> None:
        group = self.coordinator._groups.get(GROUP) if hasattr(self, "coordinator") else None
        if group is None:
            return
        if group is not self.group_object:
            self.group_object, self.generation = group, 0
            self.leaders.clear()
        assert group.generation >= self.generation
        self.generation = group.generation
        members = list(group.members)
        held_bytes = sum(member.held_bytes for member in members)
        held_bytes += GROUP_BYTES + len(GROUP)
        assert self.coordinator.budget.used_bytes == held_bytes
        assert (group.members.leader_id is None) == (not members)
        assert group.members.leader_id is None or group.members.leader_id in group.members
        statics = {m.group_instance_id: m.member_id for m in members if m.is_static}
        assert group.members.static_ids == statics
        if any(m.awaits_sync for m in members):
            assert group.state is State.COMPLETING_REBALANCE
        if any(m.awaits_join for m in members):
            # A static member that came back waits for the journal in a stable group.
            assert group.state in (State.PREPARING_REBALANCE, State.STABLE)
        if group.state is State.EMPTY:
            assert not members
        for member in members:
            assert member.timer is not None and member.timer._handle is not None

    def teardown(self) -> None:
        if not hasattr(self, "coordinator"):
            return
        self.journal.failure = None
        self.store_goes_on()
        # Everybody falls silent: all who wait are answered, and nobody is left.
        self.wait(2 * (SESSION_MS + REBALANCE_MS) / 1_000 + 300)
        assert all(task.done() for task in self.all_tasks)
        self.nothing_failed_unseen()
        group = self.coordinator._groups.get(GROUP)
        assert group is None or group.state is State.EMPTY
        assert self.coordinator.leave(GROUP, [Identity("nobody")])[1] == [E.UNKNOWN_MEMBER_ID]
        self.loop.run_until_complete(self.coordinator.close())
        self.loop.close()


TestGroupLife = GroupLife.TestCase
TestGroupLife.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
