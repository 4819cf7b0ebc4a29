"""Producers, consumers and a watcher that never stop, and write down what they see.

A value begins with its name (`a 17`), which is unique and stands for it in the history; the bytes
behind the name can be computed again, and a reader that finds others reports a damaged value,
which nobody has sent.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import compress
from typing import Any

from compat_tests.chaos.recorder import Recorder
from compat_tests.support.client import Ack, Client, ClientError, Consumer, as_outcome
from compat_tests.support.deadline import now_s, pause
from compat_tests.support.records import Record
from compat_tests.wire.batches import parse, values_of
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import FETCH_VERSION, LATEST, LIST_OFFSETS_VERSION, fetch_request

TOPIC = "chaos"
Place = tuple[str, int]
"""Topic and partition."""
PARTITIONS = (0, 1, 2, 3)
CHUNK_RECORDS_COUNT = 40
CHUNKS_PER_S_MAX = 5
CHUNK_TIMEOUT_S = 280.0  # clients go on trying for 300 s
STOP_TIMEOUT_S = 320.0
PADDING_BYTES_MAX = 2_000
POLL_RECORDS_COUNT = 500
WATCH_INTERVAL_S = 0.2
WATCH_TIMEOUT_S = 8.0  # longer than any pause of the process


def key_of(partition: int, topic: str = TOPIC) -> str:
    return f"{topic}-{partition}"


def value_of(name: str) -> bytes:
    """Name and padding, both always the same."""
    seed = sum(name.encode()) * 7919 + len(name)
    piece = f" {name} {seed:x}".encode()
    padding = (piece * (PADDING_BYTES_MAX // len(piece)))[: seed % PADDING_BYTES_MAX]
    return name.encode() + b" " + padding


def name_of(value: bytes | None) -> str:
    """The name of a value, or words that are nobody's name."""
    words = (value or b"").split(b" ", 2)
    name = b" ".join(words[:2]).decode(errors="replace")
    return name if value_of(name) == value else f"damaged: {value!r:.200}"


class Worker:
    """A thread that repeats one step until it is told to stop."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        self._stop.set()
        self._thread.join(STOP_TIMEOUT_S)
        assert not self._thread.is_alive(), f"{self.name} still waits"
        self.check()

    def check(self) -> None:
        if self.failure is not None:
            raise AssertionError(f"{self.name} failed") from self.failure

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.step()
        except BaseException as failure:
            self.failure = failure
        finally:
            self.end()

    def step(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """Let go of what it holds."""


class Producer(Worker):
    """One client; each chunk is one operation, over some partitions, one after the other."""

    def __init__(
        self,
        client: Client,
        recorder: Recorder,
        name: str,
        *,
        idempotent: bool,
        extra: Mapping[str, Any],
        places: Sequence[Place] = tuple((TOPIC, index) for index in PARTITIONS),
        chunk_records_count: int = CHUNK_RECORDS_COUNT,
        chunks_per_s_max: float = CHUNKS_PER_S_MAX,
        unrecorded: Collection[str] = (),
    ) -> None:
        """`unrecorded` are topics that are left out of the history: those that go and come."""
        super().__init__(name)
        self.client = client
        self.idempotent = idempotent
        self.acked_count = 0
        self.errors: list[ClientError] = []
        self._recorder = recorder
        self._producer = client.producer(idempotent=idempotent, codec="none", extra=dict(extra))
        self._sent_count = 0
        self._places = places
        self._chunk_records_count = chunk_records_count
        self._pause_s = 1 / chunks_per_s_max
        self._unrecorded = unrecorded

    def step(self) -> None:
        begun_s = now_s()
        sends = [self._next() for _ in range(self._chunk_records_count)]
        told_of = [topic not in self._unrecorded for (topic, _), _ in sends]
        asked = [
            ["send", key_of(index, topic), name]
            for (topic, index), name in compress(sends, told_of)
        ]
        operation = self._recorder.begin(self.name, "send", asked, idempotent=self.idempotent)
        outcomes = self._send(sends)
        errors = [outcome for outcome in outcomes if isinstance(outcome, ClientError)]
        told = [
            [f, key, name if isinstance(outcome, ClientError) else [outcome.offset, name]]
            for (f, key, name), outcome in zip(asked, compress(outcomes, told_of), strict=True)
        ]
        if errors:
            self.errors += errors
            operation.info(errors[0], told)
        else:
            operation.ok(told)
        self.acked_count += len(outcomes) - len(errors)
        self.answered(begun_s, sends, outcomes)
        pause(max(0.0, self._pause_s - (now_s() - begun_s)))

    def answered(
        self,
        begun_s: float,
        sends: Sequence[tuple[Place, str]],
        outcomes: Sequence[Ack | ClientError],
    ) -> None:
        """For whoever wants to know."""

    def _send(self, sends: Sequence[tuple[Place, str]]) -> list[Ack | ClientError]:
        """All at once; returns when each is answered or given up by the client."""
        future = self.client.submit(
            "produce",
            producer=self._producer.name,
            records=[
                Record(value_of(name), topic=topic, partition=index).to_wire()
                for (topic, index), name in sends
            ],
            timeout_s=CHUNK_TIMEOUT_S,
        )
        return [as_outcome(answer) for answer in future.result(CHUNK_TIMEOUT_S + 20)]

    def _next(self) -> tuple[Place, str]:
        self._sent_count += 1
        return self._places[self._sent_count % len(self._places)], f"{self.name} {self._sent_count}"


class Reader(Worker):
    """A client that reads all partitions from their beginnings, and goes on at their ends."""

    def __init__(self, client: Client, recorder: Recorder, name: str) -> None:
        super().__init__(name)
        self.client = client
        self.read_count = 0
        self.errors: list[ClientError] = []
        self._recorder = recorder
        self._positions = dict.fromkeys(PARTITIONS, 0)
        self._consumer: Consumer | None = None

    def step(self) -> None:
        if self._consumer is None:
            self._consumer = self.client.consumer()
            self._assign(self._consumer)
        operation = self._recorder.begin(self.name, "poll", [["poll"]])
        try:
            records = self._consumer.poll(POLL_RECORDS_COUNT, 0.5)
        except ClientError as error:
            # What it had in hand by then is unknown: begin again where we know to be.
            operation.info(error)
            self.errors.append(error)
            self._assign(self._consumer)
            return
        found: dict[str, list[tuple[int, str]]] = {}
        for record in records:
            row = record.offset, name_of(record.value)
            found.setdefault(key_of(record.partition), []).append(row)
            self._positions[record.partition] = record.offset + 1
        operation.ok([["poll", found]])
        self.read_count += len(records)

    def _assign(self, consumer: Consumer) -> None:
        positions = {key_of(p): offset for p, offset in self._positions.items()}
        operation = self._recorder.begin(self.name, "assign", positions)
        consumer.assign(*((TOPIC, p, offset) for p, offset in self._positions.items()))
        operation.ok(positions)


class Watcher(Worker):
    """Asks the gateway itself, past the proxy, for watermarks and records, on the wire."""

    def __init__(self, recorder: Recorder, name: str, address: Callable[[], str]) -> None:
        super().__init__(name)
        self.read_count = 0
        self._recorder = recorder
        self._address = address
        self._positions = dict.fromkeys(PARTITIONS, 0)
        self._connection: Connection | None = None
        self._connected_to = ""
        self._assigned = False

    def step(self) -> None:
        if not self._assigned:
            positions = {key_of(p): 0 for p in PARTITIONS}
            self._recorder.begin(self.name, "assign", positions).ok(positions)
            self._assigned = True
        try:
            if self._connection is None or self._connected_to != self._address():
                self.end()
                self._connected_to = self._address()
                self._connection = Connection(self._connected_to, timeout_s=WATCH_TIMEOUT_S)
        except OSError:
            pause(WATCH_INTERVAL_S)
            return
        try:
            self.list_offsets(self._connection)
            self.poll(self._connection)
        except OSError:
            self.end()
        pause(WATCH_INTERVAL_S)

    def end(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _demand_owner(self) -> None:
        """A gateway that was replaced may answer with old news. Asked after the operation began:
        its successor has acked nothing by then.
        """
        if self._connected_to != self._address():
            raise ConnectionError("somebody else has the log by now")

    def list_offsets(self, connection: Connection) -> None:
        operation = self._recorder.begin(self.name, "list_offsets")
        try:
            self._demand_owner()
            response = connection.call(list_offsets_request(PARTITIONS), LIST_OFFSETS_VERSION)
        except OSError as error:
            operation.info(error)
            raise
        rows = [row for row in response.topics[0].partitions if row.error_code == 0]
        observed = {
            key_of(row.partition_index): {
                "high_watermark": row.offset,
                "leader_epoch": row.leader_epoch,
            }
            for row in rows
        }
        operation.ok(observed=observed)

    def poll(self, connection: Connection, *, final: bool = False) -> int:
        """One fetch of all partitions; returns how many records came. Raises OSError."""
        operation = self._recorder.begin(self.name, "poll", [["poll"]], fresh=True, final=final)
        try:
            self._demand_owner()
            request = fetch_request(TOPIC, self._positions, max_bytes=4 << 20)
            response = connection.call(request, FETCH_VERSION)
        except OSError as error:
            operation.info(error)
            raise
        found, observed = {}, {}
        for row in response.responses[0].partitions:
            if row.error_code:
                continue
            key, records = key_of(row.partition_index), self._records(row)
            if records:
                found[key] = records
                self._positions[row.partition_index] = records[-1][0] + 1
            observed[key] = {
                "high_watermark": row.high_watermark,
                "last_stable": row.last_stable_offset,
                "log_start": row.log_start_offset,
            }
        operation.ok([["poll", found]], observed=observed)
        count = sum(map(len, found.values()))
        self.read_count += count
        return count

    def _records(self, row: Any) -> list[tuple[int, str]]:
        at = self._positions[row.partition_index]
        batches = [batch for batch in parse(bytes(row.records or b"")) if batch.whole]
        assert all(batch.crc_right for batch in batches)
        return [
            (offset, name_of(value))
            for batch in batches
            for offset, value in values_of(batch)
            if offset >= at  # a batch comes whole
        ]


def list_offsets_request(partitions: Sequence[int]) -> Any:
    """The ends of several partitions at once."""
    from kafka.protocol.consumer import ListOffsetsRequest

    topic_row = ListOffsetsRequest.ListOffsetsTopic
    partition_row = topic_row.ListOffsetsPartition
    rows = [
        partition_row(partition_index=index, current_leader_epoch=-1, timestamp=LATEST)
        for index in partitions
    ]
    topics = [topic_row(name=TOPIC, partitions=rows)]
    return ListOffsetsRequest(replica_id=-1, isolation_level=0, topics=topics)


def read_to_the_end(recorder: Recorder, name: str, address: str) -> int:
    """The final polls: everything that is there, once more from the beginning."""
    watcher = Watcher(recorder, name, lambda: "")
    positions = {key_of(p): 0 for p in PARTITIONS}
    recorder.begin(name, "assign", positions).ok(positions)
    with Connection(address) as connection:
        watcher.list_offsets(connection)
        while watcher.poll(connection, final=True):
            pass
    return watcher.read_count
