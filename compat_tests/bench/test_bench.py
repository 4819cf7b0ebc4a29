"""Rounds alternate and ratios are paired; waits are counted from when they were due; rows run."""

from __future__ import annotations

import json
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from compat_tests.bench import figures, light_reader, page, report
from compat_tests.bench.__main__ import ROOT, losses
from compat_tests.bench.broker import gateway
from compat_tests.bench.figures import Result
from compat_tests.bench.goals import GOALS, Goal
from compat_tests.bench.light_reader import reading
from compat_tests.bench.rounds import Measure, Plan, Row, run
from compat_tests.bench.rows import ROWS
from compat_tests.bench.sender import Load, Sent, send, sender
from compat_tests.bench.sides import Side, Sides
from compat_tests.support.environments import MissingClientError
from compat_tests.support.java import java

needs_sender = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


def test_rounds_alternate_and_ratios_are_of_pairs(tmp_path: Path) -> None:
    asked: list[str] = []

    def measure(name: str) -> dict[str, float]:
        asked.append(name)
        return {"requests_per_s": float(len(asked))}

    @contextmanager
    def contenders(_: Sides) -> Iterator[Mapping[str, Measure]]:
        yield {name: partial(measure, name) for name in "abc"}

    with Sides(tmp_path) as sides:
        row = Row("a title", ("requests_per_s",), contenders)
        result = run(row, sides, Plan(2, 1, frozenset("ab"), "today"))
    assert asked == ["a", "b", *("a", "b", "a"), *("a", "b", "a")]
    seen = {name: values["requests_per_s"] for name, values in result.rounds.items()}
    assert seen == {"a": [3, 8], "b": [4, 7], "a again": [5, 6]}
    assert result.ratio("b", "requests_per_s") == (1, 1, 1)  # of what grows, as if it did not
    assert result.ratio("a", "requests_per_s", "b") == (1, 1, 1)
    noise = result.ratio("a again", "requests_per_s")
    assert noise == (statistics.mean((5 / 3, 6 / 8)), 6 / 8, 5 / 3)
    assert [row[1] for row in report.table(result, row.metrics)] == ["a", "b", "a again"]
    figures.write(tmp_path / "figures", {"a": result})
    assert figures.read(tmp_path / "figures") == {"a": result}


def test_only_a_clear_loss_to_another_checkout_is_told() -> None:
    def of(metric: str, own: float, other: float) -> list[str]:
        rounds = {"file": {metric: [own, own]}, "other": {metric: [other, other]}}
        return list(losses("small", Result("", "file", rounds, ""), metric))

    assert of("requests_per_s", 94, 100) == ["worse by more than 5%: small, file"]
    assert of("requests_per_s", 96, 100) == of("p50_ms", 100, 96) == []
    assert of("p50_ms", 100, 94) != []


def test_percentiles_are_of_all_waits() -> None:
    sent = Sent(1_000, 1.0, 0.0, 0.1, 80.0, [(1.0, 500), (2.0, 490), (40.0, 9), (79.9, 1)])
    found = sent.figures(Load([b"x"]))
    assert [found[name] for name in ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")] == [
        *(1.0, 2.0, 2.0, 40.0, 80.0)
    ]
    assert found["requests_per_cpu_s"] == 10_000


def test_the_page_and_its_pictures_are_of_the_figures() -> None:
    results = figures.read(page.FOLDER / "figures.json")
    written = page.PAGE.read_text(encoding="utf-8")
    assert page.text(written, results) == written, "run make bench-page"
    for name, drawn in page.pictures(results).items():
        assert (page.FOLDER / name).read_text(encoding="utf-8") == drawn, "run make bench-page"
        assert f"](speed/{name})" in written


def test_goals_are_of_rows_and_metrics_that_are_there() -> None:
    assert {goal.row for goal in GOALS} <= set(ROWS)
    assert all(goal.metric in ROWS[goal.row].metrics for goal in GOALS)
    goal = Goal("", "lone", "p50_ms", "file", "device", "at most", 1.5)
    rounds = {"file": {"p50_ms": [1.0, 3.0, 3.0]}, "device": {"p50_ms": [1.0, 2.0, 1.0]}}
    seen = goal.seen({"lone": Result("", "device", rounds, "")})
    assert seen == (1.5, 1.0, 3.0)
    assert goal.reached(seen) and not goal._replace(bound=1.4).reached(seen)


@needs_sender
def test_an_open_loop_measures_from_when_a_request_was_due(tmp_path: Path) -> None:
    """A broker that stands still for 300 ms: all requests that were due meanwhile waited."""
    request = tmp_path / "request"
    request.write_bytes(bytes.fromhex("00000004") + b"abcd")
    with socket.create_server(("127.0.0.1", 0)) as server:
        stalling = threading.Thread(target=_answer_late, args=(server, 0.3))
        stalling.start()
        words = (server.getsockname()[1], request, 1, 1, 0.6, 100, 0)
        said = subprocess.run(
            [sender(), *map(str, words)], capture_output=True, text=True, check=True
        ).stdout
        stalling.join()
    told = json.loads(said)
    waits = [(least / 1e6, count) for least, count in told["buckets"]]
    assert told["replies"] == 60 == sum(count for _, count in waits)
    assert sum(count for wait_ms, count in waits if wait_ms > 100) >= 18


def _answer_late(server: socket.socket, stall_s: float) -> None:
    link, _ = server.accept()
    with link:
        time.sleep(stall_s)
        while data := link.recv(1 << 16):
            link.sendall(b"\0\0\0\1r" * (len(data) // 8))


@needs_sender
def test_a_reply_without_its_records_is_noticed(tmp_path: Path) -> None:
    with gateway(tmp_path / "data", "file") as running:
        side = Side("file", running)
        load = Load([b"x"] * 3, partitions=2, connections=2, requests=20)
        assert send(side, load).replies == 20
        topic = side.new_topic(2)
        admin = AdminClient({"bootstrap.servers": side.bootstrap})
        small = ConfigEntry("max.message.bytes", "1", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[small])
        for future in admin.incremental_alter_configs([resource]).values():
            future.result()
        with pytest.raises(RuntimeError, match="20 replies, 0 records"):
            send(side, load, topic)


@needs_sender
def test_a_light_reader_reads_each_record_once_and_in_order(tmp_path: Path) -> None:
    with gateway(tmp_path / "data", "file") as running:
        side = Side("file", running)
        topic = side.new_topic()
        load = Load([b"x"] * 3, requests=100, seconds=60)
        assert send(side, load, topic).replies == 100
        with reading(side, topic, 300, passes=2) as seen:
            pass
        assert [(read.records, len(read.passes_s)) for read in seen] == [(600, 2)]
        assert "first_read_records_per_s" in seen[0].figures(300)
        short = reading(side, topic, 301, passes=1)  # one more than there are
        with pytest.raises(RuntimeError, match="a reader failed"), short:
            pass
        admin = AdminClient({"bootstrap.servers": side.bootstrap})
        admin.delete_records([TopicPartition(topic, 0, 1)])[TopicPartition(topic, 0)].result()
        with pytest.raises(RuntimeError, match="a reader failed"), reading(side, topic, 300):
            pass


def test_a_reader_that_has_ended_before_it_is_looked_at_is_heard_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"records": 3, "seconds": 1.0, "cpu_s": 0.0, "requests": 1, "passes_s": [1.0]}
    script = tmp_path / "reader"
    script.write_text(f"#!/bin/sh\nprintf '%s\\n' begun '{json.dumps(said)}'\n")
    script.chmod(0o755)
    monkeypatch.setattr(light_reader, "built", lambda source: script)
    with gateway(tmp_path / "data", "file") as running:
        side = Side("file", running)
        topic = side.new_topic()
        for _ in range(20):
            with reading(side, topic, 3, passes=1) as seen:
                pass
            assert [read.records for read in seen] == [3]


def test_a_broker_runs_from_the_sources_of_its_checkout(tmp_path: Path) -> None:
    for name in ("gateway", "protocol", "wal_core"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("tests"))
    with gateway("memory:", "object", checkout=tmp_path) as broker:
        assert Path(broker.process.cwd()) == tmp_path
        (tmp_path / "gateway" / "__main__.py").unlink()
    with (
        pytest.raises(RuntimeError, match="did not start"),
        gateway("memory:", "object", checkout=tmp_path),
    ):
        pass


@needs_sender
@pytest.mark.timeout(300)  # beside the first tests of all clients, whose tools are installed then
def test_rows_run(tmp_path: Path) -> None:
    """One of each kind, beside a Kafka, as short as can be."""
    try:
        java()
    except MissingClientError as missing:
        pytest.skip(str(missing))
    rows = ("small", "paced", "consume-1k-librdkafka")
    words = ("--quick", "--rows", ",".join(rows), "--sides", "kafka,file,object,one PUT")
    done = subprocess.run(
        [sys.executable, "-m", "compat_tests.bench", *words, "--noted", str(tmp_path / "figures")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(figures.read(tmp_path / "figures")) == list(rows)
    assert all(ROWS[name].title in done.stdout for name in rows)
