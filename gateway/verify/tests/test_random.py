"""Random histories of a log that does everything right are clean; of one that errs, they are not.

The right log is a list. Producers overlap, time out with and without effect, and crash; consumers
start anywhere and read at their own pace; old records are deleted.
"""

import random  # noqa: TID251 - seeded
from collections.abc import Callable
from typing import Any

import pytest

from gateway.verify import HistoryWriter, Recorded, poll, send
from gateway.verify.report import verify
from gateway.verify.tests.build import Script

SEEDS = range(20)
STEPS_COUNT = 300
KEYS = ("t-0", "t-1", "t-2")


class World:
    """A correct broker and its clients, one step at a time."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.script = Script()
        self.writer: HistoryWriter = self.script.writer
        self.logs: dict[str, list[str]] = {key: [] for key in KEYS}
        self.starts = dict.fromkeys(KEYS, 0)
        self.positions: dict[tuple[str, str], int] = {}
        self.sends: list[tuple[Recorded, str, list[str]]] = []
        self.group: dict[str, int] = {}
        self.numbers = iter(range(1_000_000))

    def run(self) -> Script:
        steps: list[Callable[[], None]] = [self.begin] * 5 + [self.end] * 5 + [self.read] * 6
        steps += [self.place, self.look, self.delete, self.commit, self.crash]
        for consumer in ("c1", "c2"):
            self.assign(consumer, 0)
        for _ in range(STEPS_COUNT):
            self.draw.choice(steps)()
        while self.sends:
            self.end()
        self.assign("c3", 0)
        for consumer in ("c1", "c2", "c3"):
            self.read_to_end(consumer)
        return self.script

    def begin(self) -> None:
        key = self.draw.choice(KEYS)
        process = self.draw.choice(["p1", "p2"])
        values = [f"{process}-{next(self.numbers)}" for _ in range(self.draw.randint(1, 3))]
        micros = [send(key, value) for value in values]
        op = self.writer.invoke(process, "send", micros, idempotent=process == "p1", batch=True)
        self.sends.append((op, key, values))

    def end(self) -> None:
        """In the order of invocation, as one connection answers."""
        if not self.sends:
            return
        op, key, values = self.sends.pop(0)
        outcome = self.draw.choice(["ok"] * 8 + ["fail", "gone", "unsure"])
        if outcome == "fail":
            op.fail("RECORD_TOO_LARGE")
            return
        base = len(self.logs[key])
        if outcome != "gone":
            self.logs[key] += values
        if outcome == "ok":
            op.ok([send(key, value, base + i) for i, value in enumerate(values)])
        else:
            op.info("REQUEST_TIMED_OUT")

    def observed(self, key: str) -> dict[str, int]:
        end = len(self.logs[key])
        return {"log_start": self.starts[key], "high_watermark": end, "log_end": end}

    def records(self, key: str, at: int, count: int) -> list[tuple[int, str]]:
        return list(enumerate(self.logs[key]))[at : at + count]

    def read(self, consumer: str = "", key: str = "", **fields: Any) -> None:
        consumer = consumer or self.draw.choice(["c1", "c2"])
        key = key or self.draw.choice(KEYS)
        at = max(self.positions[consumer, key], self.starts[key])
        count = self.draw.randint(0, 4)
        records = self.records(key, at, count)
        self.positions[consumer, key] = min(at + count, len(self.logs[key]))
        op = self.writer.invoke(consumer, "poll", [poll()], fresh=True, **fields)
        op.ok([poll({key: records})], observed={key: self.observed(key)})

    def read_to_end(self, consumer: str) -> None:
        for key in KEYS:
            while self.positions[consumer, key] < len(self.logs[key]):
                self.read(consumer, key, final=True)
        self.writer.invoke(consumer, "poll", final=True).ok()

    def assign(self, consumer: str, offset: int) -> None:
        at = {key: min(offset, len(self.logs[key])) for key in KEYS}
        self.positions.update({(consumer, key): at[key] for key in KEYS})
        self.writer.invoke(consumer, "assign", at).ok()

    def place(self) -> None:
        consumer, key = self.draw.choice(["c1", "c2"]), self.draw.choice(KEYS)
        offset = self.draw.randint(0, len(self.logs[key]))
        self.positions[consumer, key] = offset
        self.writer.invoke(consumer, "seek", {key: offset}).ok()

    def look(self) -> None:
        key = self.draw.choice(KEYS)
        self.writer.invoke("admin", "list_offsets").ok(observed={key: self.observed(key)})

    def delete(self) -> None:
        key = self.draw.choice(KEYS)
        self.starts[key] = max(self.starts[key], self.draw.randint(0, len(self.logs[key]) // 2))
        self.look()

    def commit(self) -> None:
        key = self.draw.choice(KEYS)
        self.group[key] = self.positions["c1", key]
        self.writer.invoke("c1", "commit", {key: self.group[key]}, group="g").ok()
        self.writer.invoke("admin", "committed", group="g").ok(dict(self.group))

    def crash(self) -> None:
        consumer = self.draw.choice(["c1", "c2"])
        self.writer.crash(consumer)
        self.writer.event("crash", node="gateway")
        self.assign(consumer, self.draw.randint(0, 5))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_right_log_is_never_blamed(seed: int) -> None:
    report = verify(World(seed).run().history())
    assert report.clean, "\n".join(report.text())
    assert sum(result.subjects_count > 0 for result in report.results) >= 20


class Loses(World):
    """Acknowledges a batch that it does not store, once."""

    def end(self) -> None:
        if len(self.logs["t-0"]) > 20 and self.sends and self.sends[0][1] == "t-0":
            op, key, values = self.sends.pop(0)
            base = len(self.logs[key])
            op.ok([send(key, value, base + i) for i, value in enumerate(values)])
        else:
            super().end()


class Repeats(World):
    """Stores every tenth batch twice."""

    def end(self) -> None:
        op, key, values = self.sends[0] if self.sends else (None, "", [])
        super().end()
        if op is not None and op.number % 10 == 0 and values[-1] in self.logs[key]:
            self.logs[key] += values


class Forgets(World):
    """Cuts its end off at a crash."""

    def crash(self) -> None:
        super().crash()
        for log in self.logs.values():
            del log[-2:]


class Swaps(World):
    """Lets two neighbours change places, after they were acknowledged."""

    def crash(self) -> None:
        super().crash()
        for log in self.logs.values():
            log[-2:] = reversed(log[-2:])


class Leaps(World):
    """Leaves an offset out behind a crash."""

    NOTHING = "nothing"

    def crash(self) -> None:
        super().crash()
        for key in KEYS:
            self.logs[key].append(self.NOTHING)

    def records(self, key: str, at: int, count: int) -> list[tuple[int, str]]:
        return [r for r in super().records(key, at, count) if r[1] != self.NOTHING]


class Deletes(World):
    """Moves its start up without a word."""

    def observed(self, key: str) -> dict[str, int]:
        return {**super().observed(key), "log_start": 0}

    def delete(self) -> None:
        key = self.draw.choice(KEYS)
        self.starts[key] = max(self.starts[key], len(self.logs[key]) // 2)


class Skips(World):
    """Answers a fetch from one record too far on, now and then."""

    def read(self, consumer: str = "", key: str = "", **fields: Any) -> None:
        consumer = consumer or self.draw.choice(["c1", "c2"])
        key = key or self.draw.choice(KEYS)
        if self.draw.random() < 0.1 and self.positions[consumer, key] + 1 < len(self.logs[key]):
            self.positions[consumer, key] += 1
        super().read(consumer, key, **fields)


class Aborts(World):
    """Stores what it refused."""

    def end(self) -> None:
        if self.sends and self.draw.random() < 0.1:
            op, key, values = self.sends.pop(0)
            op.fail("RECORD_TOO_LARGE")
            self.logs[key] += values
        else:
            super().end()


ERRING: list[tuple[type[World], set[str]]] = [
    (Loses, {"offset-acked-twice", "inconsistent-offsets", "realtime-order", "unseen"}),
    (Repeats, {"duplicate", "duplicate-nonzero", "wrong-offset-reply"}),
    (Forgets, {"offset-acked-twice", "high-watermark-back", "lost-write", "unseen", "vanished"}),
    (Swaps, {"inconsistent-offsets", "wrong-offset-reply"}),
    (Leaps, {"hole"}),
    (Deletes, {"poll-skip", "lost-write", "vanished"}),
    (Skips, {"poll-skip"}),
    (Aborts, {"G1a"}),
]


@pytest.mark.parametrize(("world", "expected"), ERRING, ids=[w.__name__ for w, _ in ERRING])
def test_a_log_that_errs_is_caught(world: type[World], expected: set[str]) -> None:
    """In nearly every history: an error that happens late may leave no trace."""
    caught = 0
    named: set[str] = set()
    for seed in SEEDS:
        anomalies = set(verify(world(seed).run().history()).anomalies)
        caught += bool(anomalies)
        named |= anomalies
    assert named & expected, named
    assert caught >= len(SEEDS) * 0.8, (caught, named)
