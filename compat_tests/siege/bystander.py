"""A well-behaved client in a process of its own: what does it see of an attack on others?

Every few milliseconds one record, acks=all, timed from when it was due (a late send counts as
waiting); every second a new group joins and commits. It ends on end-of-file of its standard input
and prints one JSON object. An error is told, not raised: the report must come in any case.

    python -m compat_tests.siege.bystander HOST:PORT TOPIC
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any, NamedTuple

from kafka.protocol.metadata import FindCoordinatorRequest

from compat_tests.support.deadline import now_s, pause
from compat_tests.wire.batches import build
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import commit_request, create_topic, join_request, produce

INTERVAL_S = 0.02
JOIN_INTERVAL_S = 1.0
ANSWER_TIMEOUT_S = 60.0
_RETRIED = (5, 6, 7, 14, 15, 16)


class Seen(NamedTuple):
    """Milliseconds from when each was due to its answer."""

    produce_ms: list[float]
    group_ms: list[float]
    errors: list[str]

    def p(self, percent: float) -> float:
        return _percentile(self.produce_ms, percent)

    def group_p(self, percent: float) -> float:
        return _percentile(self.group_ms, percent)


def _percentile(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


class Bystander:
    """The process, from outside; `stop` returns what it saw."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, bootstrap, topic],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def stop(self) -> Seen:
        told, _ = self._process.communicate(timeout=ANSWER_TIMEOUT_S * 2)
        return Seen(**json.loads(told))


def _produce_all_the_time(bootstrap: str, topic: str, stop: threading.Event, seen: Seen) -> None:
    batch = build([b"x" * 100])
    with Connection(bootstrap, timeout_s=ANSWER_TIMEOUT_S) as connection:
        due_s = now_s()
        while not stop.is_set():
            pause(max(0.0, due_s - now_s()))
            answer = produce(connection, topic, batch)
            seen.produce_ms.append((now_s() - due_s) * 1000)
            if answer.error_code:
                seen.errors.append(f"produce: error {answer.error_code}")
            due_s += INTERVAL_S  # what is late makes the next ones late: as for people


def _join_all_the_time(bootstrap: str, topic: str, stop: threading.Event, seen: Seen) -> None:
    number = 0
    while not stop.wait(JOIN_INTERVAL_S):
        number += 1
        started_s = now_s()
        with Connection(bootstrap, timeout_s=ANSWER_TIMEOUT_S) as connection:
            code = _join_and_commit(connection, f"{topic}-{number}", topic)
        seen.group_ms.append((now_s() - started_s) * 1000)
        if code:
            seen.errors.append(f"group: error {code}")


def _join_and_commit(connection: Connection, group: str, topic: str) -> int:
    found = connection.call(FindCoordinatorRequest(key=group, key_type=0), 2)
    if found.error_code:
        return int(found.error_code)
    joined = connection.call(join_request(group), 3)
    if joined.error_code:
        return int(joined.error_code)
    answer = connection.call(commit_request(f"{group}-simple", topic), 2)
    return int(answer.topics[0].partitions[0].error_code)


def main(bootstrap: str, topic: str) -> None:
    seen = Seen([], [], [])
    with Connection(bootstrap) as connection:
        create_topic(connection, topic)
    stop = threading.Event()

    def guarded(work: Any) -> None:
        try:
            work(bootstrap, topic, stop, seen)
        except (OSError, AssertionError) as error:
            seen.errors.append(f"{work.__name__}: {error!r}")

    threads = [
        threading.Thread(target=guarded, args=(work,))
        for work in (_produce_all_the_time, _join_all_the_time)
    ]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    print(json.dumps(seen._asdict()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
