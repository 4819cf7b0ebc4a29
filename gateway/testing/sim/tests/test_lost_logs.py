"""One of three logs is taken away: the run passes, and whatever breaks a promise about it is found.

Each mistake is made in the program, or in the bucket, while a run is simulated.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Callable, Collection

import pytest

from gateway.broker.log_set import LogSet
from gateway.broker.owned_log import OwnedLog
from gateway.testing.sim.faults import TakeLog
from gateway.testing.sim.node import Node
from gateway.testing.sim.plan import Plan, draw_plan
from gateway.testing.sim.simulate import Outcome, simulate
from wal_core import Fenced
from wal_core.testing.sim_bucket import Bucket

HORIZON_S = 8.0  # a writer that is asked to hold on does so for some seconds
SENDS_COUNT = 100
TAKEN = TakeLog(at_s=1.0, log_id=2, for_s=0.5, ends_well=True)
PARTITIONS = tuple(("t0", index) for index in range(6))  # two on each log


def plan(*faults: TakeLog) -> Plan:
    """Everybody writes to all logs and reads them all."""
    drawn = draw_plan(0, "object", 3)
    return dataclasses.replace(
        drawn,
        horizon_s=HORIZON_S,
        topics=(("t0", len(PARTITIONS)),),
        retention=(),
        deleter=None,
        members_count=2,
        short_lived=False,
        producers=tuple(
            dataclasses.replace(
                spec,
                partitions=PARTITIONS,
                requests_count=SENDS_COUNT,
                acks=-1,
                gap_s=HORIZON_S / SENDS_COUNT,
                timeout_ms=1_500,
                value_bytes_max=16,
            )
            for spec in drawn.producers
        ),
        followers=(PARTITIONS, PARTITIONS),
        store_timeout_ms=1_000,
        faults=faults,
    )


def at(outcome: Outcome, pattern: str) -> list[float]:
    """When lines came that the pattern finds."""
    return [float(line.split()[0]) for line in outcome.lines if re.search(pattern, line)]


@pytest.mark.parametrize("ends_well", [True, False])
def test_the_others_serve_on_until_a_gateway_with_all_logs_has_come(ends_well: bool) -> None:
    outcome = simulate(plan(dataclasses.replace(TAKEN, ends_well=ends_well)))
    assert outcome.violations == []
    (lost_s,) = at(outcome, r"g1 +has lost log 2, serves \[1, 3\]")
    (stops_s,) = at(outcome, r"g1 +is asked to stop")
    assert outcome.counts["logs lost"] == 1
    acked = at(outcome, r"p\d +is told t0-[0235]:")
    assert sum(lost_s < acked_s < stops_s for acked_s in acked) >= 5
    assert not at(outcome, r"g1 +steps down")
    assert at(outcome, r"p\d +is told t0-1:")[-1] > stops_s  # served again


def _serves_on_what_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OwnedLog, "is_serving", True)


def _ends_with_the_first_lost_log(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(self: LogSet, owned: OwnedLog, done: asyncio.Future[None]) -> None:
        if error := done.exception():
            self._fail(error)

    monkeypatch.setattr(LogSet, "_lost", lost)


def _lets_go_of_all_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(self: LogSet, owned: OwnedLog, done: asyncio.Future[None]) -> None:
        for other in self:
            other._lost.set()

    monkeypatch.setattr(LogSet, "_lost", lost)


def _fail(monkeypatch: pytest.MonkeyPatch, log_ids: Collection[int]) -> None:
    """All at the same moment, and nobody has them."""
    watch = Node._watch_log

    def watched(self: Node, owned: OwnedLog) -> None:
        watch(self, owned)
        if owned.log_id in log_ids:
            error = Fenced("another writer has it", log_id=owned.log_id)
            asyncio.get_running_loop().call_at(2.0, owned.log._writer.fail, error)

    monkeypatch.setattr(Node, "_watch_log", watched)


def _is_fenced_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    _fail(monkeypatch, (3,))


def _goes_on_without_any_log(monkeypatch: pytest.MonkeyPatch) -> None:
    _fail(monkeypatch, (1, 2, 3))
    monkeypatch.setattr(LogSet, "_fail", lambda *_: None)


def _a_block_of_another_log_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    create, seen = Bucket.create, [0]

    def forgetful(self: Bucket, key: str, body: bytes) -> None:
        seen[0] += key.startswith("logs/3/")
        if seen[0] != 20:
            create(self, key, body)

    monkeypatch.setattr(Bucket, "create", forgetful)


@pytest.mark.parametrize(
    ("mistake", "faults", "verdict"),
    [
        (_serves_on_what_is_lost, (TAKEN,), "what is lost is led elsewhere"),
        (_ends_with_the_first_lost_log, (TAKEN,), "a log is lost alone"),
        (_lets_go_of_all_logs, (TAKEN,), "only what is lost is led elsewhere"),
        (_goes_on_without_any_log, (), "a process without logs ends"),
        (_is_fenced_by_nobody, (), "I4 only a later owner fences"),
        (_a_block_of_another_log_is_not_kept, (TAKEN,), "I1 acknowledged is durable"),
    ],
)
def test_a_broken_promise_is_found(
    monkeypatch: pytest.MonkeyPatch,
    mistake: Callable[[pytest.MonkeyPatch], None],
    faults: tuple[TakeLog, ...],
    verdict: str,
) -> None:
    mistake(monkeypatch)
    found = {text.partition(":")[0] for text in simulate(plan(*faults)).violations}
    assert verdict in found
