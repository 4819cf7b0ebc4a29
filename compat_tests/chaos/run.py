"""One run: load, trouble by a schedule, peace, final reads, judgement."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compat_tests.chaos.load import (
    PARTITIONS,
    TOPIC,
    Producer,
    Reader,
    Watcher,
    Worker,
    read_to_the_end,
)
from compat_tests.chaos.recorder import Recorder
from compat_tests.chaos.schedule import Act, Phase, peace, phases
from compat_tests.chaos.system import System
from compat_tests.support.client import Client, Library
from compat_tests.support.deadline import now_s, pause, wait_until
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import create_topic

TICK_S = 0.05
PROGRESS_TIMEOUT_S = 90.0
VERIFY_TIMEOUT_S = 900.0
MIB = 1 << 20
# Clients that give up early and come back soon: more of them are under way when something breaks.
CONFLUENT = {"request.timeout.ms": 6_000, "reconnect.backoff.max.ms": 1_000}
KAFKA_PYTHON = {
    "request_timeout_ms": 6_000,
    "delivery_timeout_ms": 300_000,
    "reconnect_backoff_max_ms": 1_000,
}


@dataclass
class Load:
    """Everybody who uses the gateway during a run."""

    producers: list[Producer]
    readers: list[Reader]
    watcher: Watcher
    resumed_s_max: float = 0.0
    """Longest time from the healing of everything until every producer was served again."""
    workers: list[Worker] = field(init=False)

    def __post_init__(self) -> None:
        self.workers = [*self.producers, *self.readers, self.watcher]

    def check(self) -> None:
        for worker in self.workers:
            worker.check()

    def wait_progress(self, system: System) -> None:
        """Every producer is served, from now on."""
        before = [producer.acked_count for producer in self.producers]

        def progress() -> bool:
            system.tick()
            self.check()
            return all(p.acked_count > n for p, n in zip(self.producers, before, strict=True))

        wait_until(progress, timeout_s=PROGRESS_TIMEOUT_S, what="progress of all producers")
        self.resumed_s_max = max(self.resumed_s_max, now_s() - system.healed_s)


def run(
    mode: str,
    folder: Path,
    *,
    seed: int,
    minutes: float,
    library: Callable[[str], Library],
) -> str:
    """The summary; raises AssertionError for whatever should not have been."""
    recorder = Recorder(folder / f"history-{mode}-{seed}.jsonl")
    begun_s = now_s()
    with ExitStack() as stack:
        stack.callback(recorder.close)
        system = stack.enter_context(System(mode, folder, seed, recorder))
        with Connection(system.address) as connection:
            create_topic(connection, TOPIC, partitions=len(PARTITIONS))
            # Most of it goes again, so that whole segments become garbage.
            create_topic(connection, "flood", retention_bytes="8000000")
        load = make_load(system, recorder, library, stack)
        for worker in load.workers:
            worker.start()
        try:
            for phase in phases(seed, mode, minutes * 60):
                if now_s() - begun_s > minutes * 60:
                    run_phase(system, load, peace(phase.number))
                    break
                run_phase(system, load, phase)
        finally:
            system.resume()
            system.clients.heal()
            if system.store is not None:
                system.store.heal()
        for worker in load.workers:
            worker.finish()
        stored_count = read_to_the_end(recorder, "final", system.address)
        system.gateway.restart(graceful=True)
        again_count = read_to_the_end(recorder, "final after a restart", system.address)
        assert stored_count == again_count
        system.tick()
        summary = summarise(system, load, seed, now_s() - begun_s, stored_count)
    size_mb = recorder.path.stat().st_size / 1e6
    print(f"{mode}: {summary}; history of {size_mb:.1f} MB: {recorder.path}")
    check_producers(load)
    assert system.rss_bytes_max <= system.rss_bound_bytes
    verify(recorder.path)
    return summary


def make_load(
    system: System, recorder: Recorder, library: Callable[[str], Library], stack: ExitStack
) -> Load:
    def client(name: str) -> Client:
        return stack.enter_context(Client(library(name), system.clients.bootstrap))

    confluent, python = "confluent-kafka", "kafka-python"
    settings: Sequence[tuple[str, str, bool, dict[str, Any]]] = (
        ("a", confluent, True, {**CONFLUENT, "message.timeout.ms": 300_000}),
        ("b", python, False, KAFKA_PYTHON),
    )
    return Load(
        [
            Producer(client(kind), recorder, name, idempotent=idempotent, extra=extra)
            for name, kind, idempotent, extra in settings
        ],
        [Reader(client(kind), recorder, f"reads with {kind}") for kind in (confluent, python)],
        Watcher(recorder, "watches", lambda: system.address),
    )


def run_phase(system: System, load: Load, phase: Phase) -> None:
    print(f"phase {phase.number}: {phase.duration_s:.1f} s {' '.join(phase.kinds) or '-'}")
    if not phase.kinds:
        load.wait_progress(system)
    begun_s = now_s()
    due = sorted(
        (step for act in phase.acts for step in steps_of(system, act)), key=lambda step: step[0]
    )
    while (elapsed_s := now_s() - begun_s) < phase.duration_s:
        while due and due[0][0] <= elapsed_s:
            due.pop(0)[1]()
        system.tick()
        load.check()
        pause(TICK_S)
    system.heal()


def steps_of(system: System, act: Act) -> list[tuple[float, Callable[[], object]]]:
    """What to do when: some acts have an end of their own."""
    end_s = act.at_s + act.amount
    clients = system.clients
    if act.what == "kill":
        return [(act.at_s, system.kill)]
    if act.what == "pause":
        return [(act.at_s, system.pause), (end_s, system.resume)]
    if act.what == "takeover":
        return [(act.at_s, system.take_over), (end_s, system.resume)]
    if act.what == "outage":
        return [(act.at_s, lambda: system.outage(act.amount)), (end_s, system.heal_store)]
    if act.what == "cut":
        return [(act.at_s, lambda: clients.cut(act.amount, inside=act.amount < 1))]
    if act.what == "slow":
        return [(act.at_s, lambda: clients.slow(act.amount, 0.05))]
    if act.what == "stall":
        return [(act.at_s, clients.stall), (end_s, clients.flow)]
    if act.what == "flood":
        return [(act.at_s, system.flood)]
    return [(act.at_s, lambda: system.weather(act.what))]


def check_producers(load: Load) -> None:
    """Trouble is what clients retry silently; only an end of their patience would be told."""
    for producer in load.producers:
        assert producer.acked_count, f"{producer.name} was never served"
        assert not producer.errors, f"{producer.name}: {producer.errors[:3]}"
    for reader in load.readers:
        assert reader.read_count, f"{reader.name} has read nothing"


def summarise(system: System, load: Load, seed: int, duration_s: float, stored_count: int) -> str:
    done = {**system.counts, **system.clients.events}
    flooded_mb = done.pop("flooded bytes", 0) / 1e6
    faults = ", ".join(f"{count} {what}" for what, count in sorted(done.items()))
    acked = " + ".join(str(producer.acked_count) for producer in load.producers)
    requests = created = ""
    if system.store is not None:
        faulty_count = sum(system.store.faults.values())
        requests = f", {faulty_count} of {system.store.requests_count} store requests disturbed"
        created = "".join(f", {n} objects in {name}" for name, n in sorted(system.created.items()))
    return (
        f"seed {seed}, {duration_s:.0f} s: {faults} (outages {system.outage_s:.0f} s{requests}); "
        f"acked {acked}, stored {stored_count}{created}, flood {flooded_mb:.0f} MB; at most "
        f"{load.resumed_s_max:.1f} s until all were served again; RSS at most "
        f"{system.rss_bytes_max / MIB:.0f} MiB (bound {system.rss_bound_bytes / MIB:.0f})"
    )


def verify(history: Path) -> None:
    """The checker is a program like any other."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "verify", str(history)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=VERIFY_TIMEOUT_S,
    )
    print(done.stdout, done.stderr, sep="\n")
    assert done.returncode == 0, f"{history}:\n{done.stdout}{done.stderr}"
