"""Mode quorum of the simulation: logstores as processes, each with a folder on a simulated disk,
registered in the coordination store, and the bucket behind them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from gateway.cluster.coordination.records import LogstoreRecord, logstores_root
from gateway.cluster.registration import Registration
from gateway.logstores.living import LivingLogstores
from gateway.testing.sim.coordination import PREFIX, Coordination
from gateway.testing.sim.logstore_wire import LogstoreWires
from gateway.testing.sim.oracle import StoredLog
from gateway.testing.sim.storage import ObjectStorage
from gateway.testing.sim.stored_tail import StoredTail
from gateway.testing.sim.trace import Trace
from wal_core import Rng, SegmentStore, WalError, open_quorum_store
from wal_core.logstore.logstore import Logstore
from wal_core.logstore.service import Service
from wal_core.stores.segments.file_writer import SystemFileOps
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.faulty_files import ExecutorFileWriter
from wal_core.testing.seeds import SeededRng, stream
from wal_core.testing.sim_disk import Disk
from wal_core.testing.sim_loop import SimLoop
from wal_core.testing.sim_process import Process
from wal_core.testing.sim_system import installed
from wal_core.types import Buffer

if TYPE_CHECKING:
    from gateway.testing.sim.plan import Plan

LEASE_S = 2
PORT = 9192
FIRST_COORDINATION_ID = 101  # behind those of nodes
RESTART_S = 0.1


class _Watched(Logstore):
    """Tells of each block it is about to write."""

    tail: StoredTail

    def _submit(self, log: Any, held: Any, segment: int, stored: Buffer) -> Any:
        promise = log.held.promise
        folder = PurePosixPath(self.root) / str(promise.log_id)
        self.tail.sent(folder, bytes(stored), promise.term)
        return super()._submit(log, held, segment, stored)


class SimLogstore:
    """One, from the beginning of the run to its end; each start is a process of its own."""

    def __init__(self, all_of_them: QuorumStorage, number: int) -> None:
        self.name = f"s{number}"
        self.restart_after_s = RESTART_S
        self.is_listening = False
        self._all = all_of_them
        self._coordination_id = FIRST_COORDINATION_ID + number
        self._folder = f"/{self.name}"
        self._starts_count = self._disks_count = 0
        self._service: Service | None = None
        self.process = Process(all_of_them.loop, self.name)

    def boot(self) -> None:
        self._starts_count += 1
        self.process = Process(self._all.loop, self.name)
        self._all.processes.append(self.process)
        self._note("starts")
        self.process.spawn(self._main(), self.name)

    async def _main(self) -> None:
        storage = self._all
        rng = SeededRng(storage.seed, self.name, self._starts_count)
        writer = ExecutorFileWriter(SystemFileOps())
        root: Any = storage.path(self._folder)
        store = _Watched(root, writer, rng, bytes_max=storage.plan.logstore_bytes_max)
        store.tail = storage.tail
        try:
            await store.open()
        except (WalError, OSError) as error:
            self._note(f"cannot start: {error}")
            self.kill()
            return
        if store.damaged_logs_count:
            storage.trace.violation("no disk forgets", f"{self.name} has damaged logs")
        self._service = Service(store)
        self.is_listening = True
        record = LogstoreRecord(
            store.identity.disk.hex(), self.name, PORT, rack=self.name, bytes_max=store.bytes_max
        )
        way = storage.coordination.way(self._coordination_id)
        await Registration(way, logstores_root(PREFIX), record, LEASE_S, renewed=lambda: None).run()

    def accept(self) -> Any:
        """A step of its process."""
        assert self._service is not None
        return self._service.connection()

    def kill(self, why: str = "is killed", *, power: bool = False) -> None:
        """It comes again; `power`: what was not synced may be lost, and peers are not told."""
        if not self.process.alive:
            return
        self._note(why)
        self.is_listening = False
        self.process.kill()
        self._all.disk.process_died(self.process)
        self._all.wires.process_died(self.process, silently=power)
        if power:
            self._all.disk.cut_power(PurePosixPath(self._folder))
        self._all.later(self.restart_after_s, self._come_again)

    def wipe(self) -> None:
        """Its disk is lost, and it comes with an empty one."""
        self._disks_count += 1
        self.kill("loses its disk", power=True)
        self._folder = f"/{self.name}-{self._disks_count}"

    def _come_again(self) -> None:
        if not self.process.alive and not self._all.is_over:
            self.boot()

    def pause(self, for_s: float) -> None:
        """A disk or a machine that stands still."""
        process = self.process
        self._note("is paused")
        process.pause()
        self._all.later(for_s, process.resume)

    def _note(self, what: str) -> None:
        self._all.trace.note(self.name, what)


class QuorumStorage(ObjectStorage):
    """See the module."""

    def __init__(self, plan: Plan, loop: SimLoop, trace: Trace, stored: StoredLog) -> None:
        super().__init__(plan.seed, trace, stored)
        self.bucket.created = lambda key, body: None  # logstores say what counts
        self.plan = plan
        self.seed = plan.seed
        self.loop = loop
        self.trace = trace
        self.coordination = Coordination(LEASE_S)
        self.wires = LogstoreWires(plan.seed, loop)
        self.processes: list[Process] = []
        self.is_over = False
        self.later: Callable[[float, Callable[[], Any]], None] = lambda delay_s, act: None
        self.coordination_id: Callable[[Process], int] = lambda process: 0
        self.disk = Disk(stream(plan.seed, "disk"))
        self.disk.watch = self._watch_disk
        self.disk.died = self._died_in_call
        self.tail = StoredTail(self.disk, stored, trace)
        self.disk.synced = self.tail.synced
        self.path: Callable[[str], Any] = PurePosixPath
        self.logstores = [SimLogstore(self, n + 1) for n in range(plan.logstores_count)]
        self.wires.listeners = {logstore.name: logstore for logstore in self.logstores}

    def _watch_disk(self, who: str, what: str) -> None:
        """What goes wrong: all else is too much."""
        if "fail" in what or "torn" in what or "keeps" in what:
            self.trace.note("disk", f"{what} by {who}")

    def _died_in_call(self, process: Process) -> None:
        for logstore in self.logstores:
            if logstore.process is process:
                logstore.kill("dies in a system call")

    def boot(self) -> None:
        for logstore in self.logstores:
            logstore.boot()

    async def open(self, process: Process, rng: Rng) -> SegmentStore:
        way = self.coordination.way(self.coordination_id(process))

        async def reach(cluster: str) -> LivingLogstores:
            dial = self.wires.dial(process)
            living = LivingLogstores(way, PREFIX, cluster, rng, dial=dial)
            await living.start()
            return living

        return await open_quorum_store("sim:", reach, objects=self.client(process), rng=rng)

    async def look(self, process: Process, rng: Rng) -> SegmentStore:
        return ObjectSegmentStore(self.client(process), mode="quorum")

    def process_died(self, process: Process) -> None:
        self.wires.process_died(process)

    def heal(self) -> None:
        super().heal()
        self.disk.heal()
        self.wires.heal_all()
        for logstore in self.logstores:
            logstore.restart_after_s = RESTART_S
            logstore.process.disarm()
            logstore.process.resume()

    @contextlib.contextmanager
    def in_place(self) -> Iterator[object]:
        with installed(self.disk) as path:
            self.path = path
            yield self
