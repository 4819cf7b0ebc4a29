"""One run: load, rounds of faults, a look after each, final reads, judgement."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from compat_tests.chaos.load import Place, Worker, name_of
from compat_tests.chaos.recorder import Recorder
from compat_tests.chaos.run import verify
from compat_tests.cluster.rounds.load import (
    COMING,
    COMING_PLACES,
    STEADY,
    STEADY_PLACES,
    Generations,
    Member,
    Told,
    Writer,
)
from compat_tests.cluster.rounds.schedule import ALWAYS, NODES, Fault, Kind, rounds
from compat_tests.cluster.rounds.system import DATA, FLAGS, System
from compat_tests.cluster.rounds.truth import Reading, Truth
from compat_tests.support.client import Client, Library
from compat_tests.support.deadline import Deadline, now_s, pause, wait_until

TICK_S = 0.05
RECOVERY_TIMEOUT_S = 120.0
READ_TIMEOUT_S = 300.0
FSCK_TIMEOUT_S = 300.0
STANDARD = ("aiokafka", "confluent-kafka", "librdkafka-1.9", "java-4.4")


@dataclass
class Load:
    """Everybody who uses the cluster during a run."""

    truth: Truth
    generations: Generations
    writers: list[Writer]
    members: list[Member]
    told: Told
    workers: list[Worker] = field(init=False)

    def __post_init__(self) -> None:
        self.workers = [*self.writers, *self.members, self.generations]

    def check(self) -> None:
        for worker in self.workers:
            worker.check()

    def unserved(self, since_s: float) -> list[str]:
        """Who has not got everything since that moment that he wants."""
        waiting = [w.name for w in self.writers if w.served_s < since_s]
        waiting += [m.name for m in self.members if m.read_s < since_s]
        waiting += [f"{m.name}, commits" for m in self.members if m.committed_s < since_s]
        if all(m.shared_read_s < since_s for m in self.members):
            waiting.append("the shared group")
        return waiting


@dataclass
class Run:
    """`begin`, then `round` for each, then `end`."""

    system: System
    load: Load
    recorder: Recorder
    slowest_s: float = 0.0
    slowest: str = ""

    def round(self, number: int, faults: Sequence[Fault]) -> None:
        begun_s = now_s()
        what = "; ".join(map(str, faults)) or "nothing"
        self.trouble(faults)
        healed_s = now_s()
        self.recover(healed_s)
        took_s = now_s() - healed_s
        if took_s > self.slowest_s:
            self.slowest_s, self.slowest = took_s, f"round {number}: {what}"
        self.look()
        acked = sum(writer.acked_count for writer in self.load.writers)
        print(
            f"round {number}: {what}: recovered in {took_s:.1f} s, {now_s() - begun_s:.1f} s in "
            f"all; acked {acked}, stored {self.load.truth.count()}",
            flush=True,
        )

    def trouble(self, faults: Sequence[Fault]) -> None:
        """Until all of it has ended."""
        begun_s = now_s()
        due: list[tuple[float, Callable[[], None]]] = []

        def begin_and_end() -> None:
            while due and due[0][0] <= now_s() - begun_s:
                due.pop(0)[1]()

        def plan(at_s: float, act: Callable[[], None]) -> None:
            due.append((at_s, act))
            due.sort(key=lambda step: step[0])

        def begin(fault: Fault) -> None:
            self.system.begin(fault, begin_and_end)
            # It may have had to wait for something, and what has not begun has no end.
            plan(now_s() - begun_s + fault.for_s, partial(self.system.end, fault, begin_and_end))

        for fault in faults:
            plan(fault.at_s, partial(begin, fault))
        while due:
            begin_and_end()
            self.system.tick()
            self.load.check()
            pause(TICK_S)

    def leaders(self) -> dict[Place, int] | None:
        return self.system.leaders([*STEADY])

    def coming_leaders(self) -> dict[Place, int] | None:
        return self.system.leaders([*COMING])

    @property
    def addresses(self) -> dict[int, str]:
        return {node.node_id: node.gateway.bootstrap for node in self.system.running}

    def recover(self, healed_s: float) -> None:
        """All nodes agree who has what, and everybody is served."""
        self.system.wait_ready()
        self.serve(healed_s, RECOVERY_TIMEOUT_S)
        wait_until(self._agreed, timeout_s=RECOVERY_TIMEOUT_S, what="nodes of one mind")

    def _agreed(self) -> bool:
        self.system.tick()
        self.load.check()
        return self.leaders() is not None

    def serve(self, since_s: float, timeout_s: float) -> None:
        """Until everybody has got everything since that moment that he wants."""
        deadline = Deadline(timeout_s)
        while waiting := self.load.unserved(since_s):
            assert not deadline.expired, f"not served in {timeout_s} s: {waiting}"
            self.system.tick()
            self.load.check()
            pause(TICK_S)

    def stay(self, seconds: float) -> None:
        """Let it go on for a while."""
        deadline = Deadline(seconds)
        while not deadline.expired:
            self.system.tick()
            self.load.check()
            pause(TICK_S)

    def look(self) -> None:
        """Compare what is stored with what everybody was told."""
        self.load.truth.look(self.leaders, self.addresses)
        with self.load.generations.still():
            stored: dict[Place, list[str]] = {place: [] for place in COMING_PLACES}
            reading = Reading(self.recorder, "coming", stored, is_recorded=False)
            reading.go_on(self.coming_leaders, self.addresses)
            self.load.generations.check_stored(stored)
        for member in self.load.members:
            member.check_committed()
        self.load.check()

    def end(self) -> None:
        """The same bytes from every node and to every client, and a sound bucket."""
        for worker in self.load.workers:
            worker.finish()
        self.look()
        self.read_again("final")
        self.system.begin(Fault(Kind.ROLL, NODES, 0, 0))
        self.read_again("final after a restart")
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._read_with, self.load.members))
        if not self.system.is_quorum:  # the newest records of that mode lie on logstores
            fsck(self.system)

    def read_again(self, name: str) -> None:
        """All of it, from whoever leads now."""
        stored: dict[Place, list[str]] = {place: [] for place in STEADY_PLACES}
        reading = Reading(self.recorder, name, stored, final=True)
        reading.go_on(self.leaders, self.addresses)
        assert stored == self.load.truth.stored

    def _read_with(self, member: Member) -> None:
        """All of it, through a library."""
        stored, total = self.load.truth.stored, self.load.truth.count()
        read_count = 0
        deadline = Deadline(READ_TIMEOUT_S)
        with member.client.consumer() as consumer:
            consumer.assign(*((topic, index, "beginning") for topic, index in stored))
            while read_count < total:
                assert not deadline.expired, f"{member.name} has read {read_count} of {total}"
                for record in consumer.poll(2_000, 1.0):
                    names = stored[record.topic, record.partition]
                    assert names[record.offset] == name_of(record.value), (member.name, record)
                    read_count += 1


def run(
    folder: Path,
    *,
    seed: int,
    rounds_count: int,
    library: Callable[[str], Library],
    names: Sequence[str] = STANDARD,
    kinds: tuple[Kind, ...] = ALWAYS,
    is_quorum: bool = False,
    has_small_disks: bool = False,
    then: Callable[[Run], None] = lambda going: None,
) -> None:
    """Rounds, and `then` something else; `has_small_disks`: where they can be mounted, for
    Kind.FULL. Raises AssertionError for what should not have been."""
    recorder = Recorder(folder / f"history-{seed}.jsonl")
    begun_s = now_s()
    with ExitStack() as stack:
        stack.callback(recorder.close)
        made = System(folder, recorder, is_quorum=is_quorum, has_small_disks=has_small_disks)
        system = stack.enter_context(made)
        going = Run(system, _load(system, recorder, seed, library, names, stack), recorder)
        for worker in going.load.workers:
            worker.start()
        try:
            going.recover(now_s())
            for number, faults in enumerate(islice(rounds(seed, kinds), rounds_count), 1):
                print(f"  {number}: {'; '.join(map(str, faults))}", flush=True)
                going.round(number, faults)
            then(going)
            going.end()
        except BaseException:
            _last_words(system, folder)
            raise
        finally:
            print(_summary(going, seed, now_s() - begun_s), flush=True)
    verify(recorder.path)


def _load(
    system: System,
    recorder: Recorder,
    seed: int,
    library: Callable[[str], Library],
    names: Sequence[str],
    stack: ExitStack,
) -> Load:
    def client(name: str) -> Client:
        return stack.enter_context(Client(library(name), system.bootstrap))

    def agreed() -> bool:
        return system.leaders([]) is not None

    wait_until(agreed, timeout_s=60, what="nodes that know each other")
    told = Told()
    truth = Truth(recorder, STEADY_PLACES)
    generations = Generations(system, seed, told)
    generations.make_all()
    with ThreadPoolExecutor() as pool:
        clients = list(pool.map(client, [*names, *names]))
    return Load(
        truth,
        generations,
        [Writer(each, recorder, truth, generations, told) for each in clients[: len(names)]],
        [Member(each, recorder, truth, told) for each in clients[len(names) :]],
        told,
    )


def _summary(going: Run, seed: int, took_s: float) -> str:
    faults = ", ".join(f"{n} {what}" for what, n in sorted(going.system.counts.items()))
    acked = ", ".join(f"{w.name} {w.acked_count}" for w in going.load.writers)
    read = ", ".join(f"{m.name} {m.read_count}" for m in going.load.members)
    errors: Counter[str] = going.load.told.counts
    told = "".join(f"\n  {n:6} {what}" for what, n in sorted(errors.items())) or " none"
    return (
        f"seed {seed}, {took_s:.0f} s: {faults}; topics made again "
        f"{going.load.generations.changes_count}; acked {acked}; {read}; slowest recovery "
        f"{going.slowest_s:.1f} s ({going.slowest}); errors that clients told:{told}"
    )


def _last_words(system: System, folder: Path) -> None:
    for node in system.nodes.values():
        path = folder / f"node-{node.node_id}.log"
        path.write_text("\n".join(node.gateway.log), encoding="utf-8")
        print(f"--- last words of node {node.node_id} ({path})", node.log(), sep="\n")


def fsck(system: System) -> None:
    """Everything is whole, with the cluster stopped."""
    for node in system.nodes.values():
        if node.gateway.running:
            node.stop()
    words = ["--data", DATA, "--mode", "object", "--logs-count", FLAGS["--logs-count"]]
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "fsck", *words],
        cwd=Path(__file__).parents[3],
        env={**os.environ, **system.server.environ()},
        capture_output=True,
        text=True,
        check=False,
        timeout=FSCK_TIMEOUT_S,
    )
    print(done.stdout[-3000:], done.stderr[-3000:], sep="\n")
    assert done.returncode == 0, f"fsck: {done.stdout[-3000:]}{done.stderr[-3000:]}"
