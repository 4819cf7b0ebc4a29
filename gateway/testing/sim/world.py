"""One simulated world: storage, network, gateways and clients on one loop, from one plan."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from gateway.groups.coordinators import group_hash
from gateway.settings.config import Config
from gateway.settings.log_settings import log_config
from gateway.testing.sim.client import Client, Disconnected
from gateway.testing.sim.consumers import Follower
from gateway.testing.sim.deletions import KEEPS_ALL, Deleter, Permission
from gateway.testing.sim.finale import judge
from gateway.testing.sim.group_admin import GroupAdmin, KnownGroup
from gateway.testing.sim.history import History
from gateway.testing.sim.logstores import QuorumStorage
from gateway.testing.sim.members import Generations, Member
from gateway.testing.sim.network import Network
from gateway.testing.sim.node import ADDRESS, Holder, Node
from gateway.testing.sim.oracle import Oracle, StoredLog
from gateway.testing.sim.plan import Plan
from gateway.testing.sim.producers import Producer
from gateway.testing.sim.short_lived import Known, ShortLived
from gateway.testing.sim.storage import FileStorage, ObjectStorage, Storage
from gateway.testing.sim.taker import Taker
from gateway.testing.sim.trace import Trace
from protocol import ApiKey, ErrorCode
from protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from wal_core import Clock, Log
from wal_core.testing.seeds import Random
from wal_core.testing.sim_bucket import Bucket
from wal_core.testing.sim_disk import Disk
from wal_core.testing.sim_loop import SimLoop
from wal_core.testing.sim_process import Process, current_process

EPOCH_MS = 1_700_000_000_000
SUPERVISOR_S = 0.25
INCOMPLETE_S = 1.0  # so long a gateway serves on that has lost a log to nobody who serves it
PATIENCE_S = 120.0
"""How long the work may take to wind up once nothing goes wrong any more."""
QUIET_S = 1.5  # longer than any message takes that was sent when nothing was slow
PRODUCER_EXPIRATION_MS = 30 * 86_400_000  # whatever clocks do: clients repeat what was stored
DELETED_MEANWHILE = "a finished segment has no footer"
PIECE_BYTES = 400  # of the checkpoint: a few producers or commits, so that there are many
RETENTION_CHECK_MS = 400  # where a topic has a retention
NEWEST_SHARE = 0.8  # of the connections that go to the newest gateway where there are several


def _place(plan: Plan) -> dict[str, Any]:
    """The settings that say where data are."""
    if plan.mode == "quorum":
        return {"data": "s3://simulated/quorum", "mode": "quorum", "etcd": "http://etcd.test:2379"}
    return {"data": "./simulated" if plan.mode == "file" else "memory:"}


class MachineClock:
    """The machine's wall clock: it jumps when a fault says so."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now_ms(self) -> int:
        return EPOCH_MS + round(self._world.loop.time() * 1_000) + self._world.clock_jump_ms


class World:
    """See the module. `run` is the whole of it."""

    is_cluster = False
    patience_s = PATIENCE_S

    def __init__(self, plan: Plan, loop: SimLoop, trace: Trace) -> None:
        self.plan = plan
        self.loop = loop
        self.trace = trace
        self.history = History()
        self.config = Config(
            **_place(plan),
            gather_ms=plan.gather_ms,
            offsets_partitions_count=2,
            logs_count=plan.logs_count,
            producer_id_expiration_ms=PRODUCER_EXPIRATION_MS,
            store_timeout_ms=plan.store_timeout_ms,
            group_session_timeout_min_ms=100,
            drain_ms=1_000,
            disk_reserve_bytes=16 * 1024,
        )
        if plan.retention:
            self.config = dataclasses.replace(
                self.config, retention_check_interval_ms=RETENTION_CHECK_MS
            )
        if plan.mode == "quorum":
            self.config = dataclasses.replace(self.config, upload_after_ms=plan.upload_after_ms)
        self.log_config = dataclasses.replace(
            log_config(self.config),
            segment_blocks_max=plan.segment_blocks_max,
            checkpoint_piece_bytes=PIECE_BYTES,
            block_bytes_max=plan.block_bytes_max,
            tail_bytes_max=plan.tail_bytes_max,
            flushes_in_flight_max_count=plan.flushes_in_flight_max_count,
            retry_max_ms=500,
            close_timeout_ms=1_000,
            seal_segments_min_count=plan.seal_segments_min_count,
            seal_segments_max_count=plan.seal_segments_min_count + 1,
            merge_count=plan.merge_count,
            sealed_block_bytes_max=plan.sealed_block_bytes_max,
            sealed_object_bytes_max=4 * plan.sealed_block_bytes_max,
            seal_buffer_bytes_max=4 * plan.sealed_block_bytes_max,
            reference_bytes_min=plan.reference_bytes_min,
            garbage_grace_ms=plan.garbage_grace_ms,
            dead_check_ms=500,
        )
        stored = StoredLog(trace)
        stored.metadata.deleted = Permission(self, stored).check
        self._bucket_storage: ObjectStorage | None = None
        self._disk_storage: FileStorage | None = None
        if plan.mode == "quorum":
            storage = self._bucket_storage = QuorumStorage(plan, loop, trace, stored)
            storage.later, storage.coordination_id = self.later, self._coordination_id
        elif plan.mode != "file":
            self._bucket_storage = ObjectStorage(plan.seed, trace, stored)
        else:
            self._disk_storage = FileStorage(plan.seed, trace, stored, self._died_in_call)
        self.short_lived: dict[str, Known] = {}
        self.short_groups: dict[str, KnownGroup] = {}
        self.generations = Generations({}, {})
        trace.is_excused = self._is_excused
        self.network = Network(plan.seed)
        self.network.answered = Oracle(trace, stored).answered
        self.network.disorder = lambda what: trace.violation("I6 replies in order", what)
        self.nodes: list[Node] = []
        self.takers: list[Taker] = []
        self.clock_jump_ms = 0
        self._clock_jump_max_ms = 0
        self.restart_after_s = 0.0
        self.power_ends_with: Process | None = None
        self.winding_down = False
        self.is_healed = False
        self._producer_ids: dict[int, str] = {}

    @property
    def storage(self) -> Storage:
        storage = self._bucket_storage or self._disk_storage
        assert storage is not None
        return storage

    @property
    def bucket(self) -> Bucket:
        assert self._bucket_storage is not None, "mode file has no bucket"
        return self._bucket_storage.bucket

    @property
    def disk(self) -> Disk:
        assert self._disk_storage is not None, "mode object has no disk"
        return self._disk_storage.disk

    @property
    def quorum(self) -> QuorumStorage:
        assert isinstance(self._bucket_storage, QuorumStorage), "there are no logstores"
        return self._bucket_storage

    def _coordination_id(self, process: Process) -> int:
        """Of a process that opens logs, where the coordination store is concerned; 0: of nobody who
        could be cut off from it."""
        return next((node.node_id for node in self.nodes if node.process is process), 0)

    def _died_in_call(self, process: Process) -> None:
        for node in self.nodes:
            if node.process is process:
                node.kill("dies in a system call")
        if process is self.power_ends_with:
            self.cut_power()

    def cut_power(self) -> None:
        """For the machine that all gateways share."""
        for node in self.nodes:
            node.kill("has no power")
        self.disk.cut_power()

    # -- what others ask -------------------------------------------------------------------

    @property
    def node_ids(self) -> Sequence[int]:
        """Of all that should be there."""
        return (ADDRESS.node_id,)

    def node_with_id(self, node_id: int) -> Node | None:
        """The one that listens; of a single node nobody asks."""
        return self.newest

    @property
    def newest(self) -> Node | None:
        """The process that was started last, of those that live."""
        alive = [node for node in self.nodes if node.process.alive]
        return alive[-1] if alive else None

    def some_node(self, rng: Random) -> Node | None:
        """Where a client connects to: mostly the newest one, sometimes one that may be fenced."""
        open_ones = [node for node in self.nodes if node.is_listening]
        if not open_ones:
            return None
        if self.is_healed or rng.random() < NEWEST_SHARE:
            return max(open_ones, key=lambda node: sum(node.terms.values()))
        return rng.choice(open_ones)

    @property
    def holders(self) -> list[Holder]:
        """Everybody who ever opened logs."""
        return [*self.nodes, *self.takers]

    def is_owner(self, node: Node, log_id: int | None = None) -> bool:
        """Whether no later one has opened a log of its, or that one."""
        return not any(node.is_behind(other, log_id) for other in self.holders)

    def _is_excused(self, error: str) -> bool:
        """A gateway that was fenced, and does not know it yet, may look for what its successor has
        sealed and deleted.
        """
        process = current_process()
        return error.startswith(DELETED_MEANWHILE) and any(
            node.process is process and not self.is_owner(node) for node in self.nodes
        )

    def owns_groups(self, node: Node, group_id: str) -> bool:
        """Whether no later one has opened the log that the group lies on."""
        assert node.gateway is not None
        log_id = node.gateway.broker.offsets_topic.log_of(group_hash(group_id))
        return log_id is not None and self.is_owner(node, log_id)

    def clock(self) -> Clock:
        return MachineClock(self)

    def client_now_ms(self) -> int:
        return EPOCH_MS + round(self.loop.time() * 1_000)

    @property
    def latest_clock_ms(self) -> int:
        """No gateway's clock was ever ahead of this."""
        return self.client_now_ms() + self._clock_jump_max_ms

    def set_clock(self, by_ms: int) -> None:
        """The wall clock of all gateways jumps."""
        self.clock_jump_ms += by_ms
        self._clock_jump_max_ms = max(self._clock_jump_max_ms, self.clock_jump_ms)

    def later(self, delay_s: float, act: Callable[[], Any]) -> None:
        """Have something happen in the world; a step of no process."""
        self.loop.call_later(delay_s, act, context=contextvars.Context())

    def boot(self) -> None:
        if not self.is_healed or self.newest is None:
            node = Node(self, len(self.nodes) + 1)
            self.nodes.append(node)
            node.boot()

    def take_log(self, log_id: int, for_s: float, *, ends_well: bool) -> None:
        """Another process comes and opens one data log."""
        taker = Taker(self, len(self.takers) + 1, log_id)
        self.takers.append(taker)
        taker.begin(for_s, ends_well=ends_well)

    def producer_id_given(self, name: str, producer_id: int) -> None:
        owner = self._producer_ids.setdefault(producer_id, name)
        if owner != name:
            self.trace.violation(
                "producer ids are unique", f"{producer_id} was given to {owner} and to {name}"
            )

    # -- the run ---------------------------------------------------------------------------

    async def run(self) -> None:
        for fault in self.plan.faults:
            self.later(fault.at_s, self._beginning(fault))
        if self.plan.mode == "quorum":
            self.quorum.boot()
        self.boot()
        supervisor = asyncio.ensure_future(self._supervise())
        try:
            async with asyncio.timeout(self.plan.horizon_s + self.patience_s):
                await self._work()
                await self._quiet()
                await self.settle()
                await judge(self)
        except TimeoutError:
            self.trace.violation(
                "liveness", f"not done {self.patience_s:g} s after the faults ended"
            )
        finally:
            supervisor.cancel()

    def _beginning(self, fault: Any) -> Callable[[], None]:
        def begin() -> None:
            if not self.is_healed:
                self.trace.note("fault", str(fault))
                fault.begin(self)

        return begin

    async def _supervise(self) -> None:
        """Start a gateway where none is left, and another one for one that does not serve all."""
        while True:
            await asyncio.sleep(SUPERVISOR_S)
            if self.is_healed:
                self._replace_stale()
            newest = self.newest
            if newest is not None and newest.is_incomplete:
                await asyncio.sleep(INCOMPLETE_S)
                if newest is self.newest:
                    newest.terminate()
            elif newest is None:
                await asyncio.sleep(self.restart_after_s)
                if self.newest is None:
                    self.boot()

    async def _work(self) -> None:
        admin = Client(self, "admin")
        healing = asyncio.ensure_future(self._heal_in_time())
        await self._create_topics(admin)
        clients: list[Producer | Follower | Deleter | Member | ShortLived | GroupAdmin] = [
            Producer(self, p) for p in self.plan.producers
        ]
        clients += [
            Follower(self, f"c{number}", partitions)
            for number, partitions in enumerate(self.plan.followers)
        ]
        if self.plan.deleter is not None:
            clients.append(Deleter(self, self.plan.deleter))
        clients += [Member(self, f"m{n}") for n in range(self.plan.members_count)]
        if self.plan.short_lived:
            clients.append(ShortLived(self))
        if self.plan.short_groups:
            clients.append(GroupAdmin(self))
        tasks = [asyncio.ensure_future(client.run()) for client in clients]
        await healing
        self.winding_down = True
        await asyncio.gather(*tasks)

    async def _heal_in_time(self) -> None:
        await asyncio.sleep(self.plan.horizon_s)
        self.trace.note("world", "heals")
        self.heal()
        for node in self.nodes:
            node.stop_retention()
        self.is_healed = True

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self.storage.heal()
        self.network.slow.clear()
        self.loop.slow_executor.clear()
        for taker in self.takers:
            taker.process.kill()
        for node in self.nodes:
            node.process.disarm()
            node.resume()
        self._replace_stale()

    def _replace_stale(self) -> None:
        """They would learn that they were fenced when they next write; clients must not wait."""
        for node in self.nodes:
            if not self.is_owner(node):
                node.kill("is taken out of service")

    async def settle(self) -> None:
        """Until all is served that there is: whoever comes waits for that by himself."""

    async def restart(self) -> None:
        """From what is stored alone (I5)."""
        for node in self.nodes:
            node.kill()
        self.restart_logstores()
        self.boot()

    def restart_logstores(self) -> None:
        """They hold what they need on their disks."""
        if self.plan.mode == "quorum":
            for logstore in self.quorum.logstores:
                logstore.kill(power=True)

    def served_logs(self) -> list[tuple[Node, Log]]:
        """Empty before the gateway has started."""
        node = self.nodes[-1]
        broker = node.gateway.broker if node.gateway is not None else None
        return [] if broker is None else [(node, log) for _, log in broker.logs.opened()]

    async def _quiet(self) -> None:
        """Until what clients gave up on has arrived and is durable, too."""
        await asyncio.sleep(QUIET_S)
        for node in self.nodes:
            await node.idle()

    async def _create_topics(self, admin: Client) -> None:
        wanted = dict(self.plan.topics)
        retention = dict(self.plan.retention)
        while wanted:
            request = CreateTopicsRequest(
                topics=[
                    CreatableTopic(
                        name=n,
                        num_partitions=c,
                        replication_factor=1,
                        configs=[
                            CreatableTopicConfig(name=key, value=value)
                            for key, value in retention.get(n, KEEPS_ALL).configs.items()
                            if retention
                        ],
                    )
                    for n, c in wanted.items()
                ],
                timeout_ms=3_000,
            )
            try:
                reply = await admin.call(ApiKey.CREATE_TOPICS, 7, request)
            except Disconnected:
                continue
            for topic in reply.topics:
                # It may exist by an earlier attempt whose answer was lost.
                existing = topic.error_code == ErrorCode.TOPIC_ALREADY_EXISTS
                if existing or admin.check_code(topic.error_code, "CreateTopics"):
                    del wanted[topic.name]
            if wanted:
                admin.hang_up()
                await admin.pause()
