"""A producer that never stops, and what the log must hold when it is over.

Each record's value says who sent it and its number, followed by bytes that can be computed again.
"""

import hashlib
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from compat_tests.support.client import Ack, Client, ClientError, as_outcome
from compat_tests.support.deadline import seeded
from compat_tests.support.gateway import Gateway
from compat_tests.support.records import Record
from compat_tests.wire.batches import Batch, values_of
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import fetch_batches

CHUNK_RECORDS_COUNT = 120
PADDINGS_BYTES_MAX = (30, 300, 2_000)
"""One for each chunk."""
REST_S_MAX = 0.03
"""Between two chunks. All that was acknowledged is kept until the end: without rest it would be
more with every broker that is faster."""
CHUNK_TIMEOUT_S = 110.0


@dataclass(frozen=True, slots=True)
class Acked:
    partition: int
    offset: int
    value: bytes


class Load:
    """One producer in a worker of its own, writing to its partitions in turn until told to stop."""

    def __init__(
        self, client: Client, topic: str, *, name: str, partitions: Sequence[int], idempotent: bool
    ) -> None:
        self.name = name
        self.idempotent = idempotent
        self.acked: list[Acked] = []
        self.errors: list[ClientError] = []
        self.failure: BaseException | None = None
        self._client = client
        self._topic = topic
        self._partitions = partitions
        self._random = seeded(sum(name.encode()))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._number = 0

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Every record sent so far is acked or failed when this returns."""
        self._stop.set()
        self._thread.join(CHUNK_TIMEOUT_S)
        assert not self._thread.is_alive(), f"{self.name} still waits: {self._client.said()}"
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            producer = self._client.producer(idempotent=self.idempotent, codec="none")
            while not self._stop.is_set():
                padding_bytes_max = self._random.choice(PADDINGS_BYTES_MAX)
                records = [self._next(padding_bytes_max) for _ in range(CHUNK_RECORDS_COUNT)]
                answers = producer.submit(records).result(CHUNK_TIMEOUT_S)
                for record, answer in zip(records, answers, strict=True):
                    self._note(record, as_outcome(answer))
                self._stop.wait(self._random.uniform(0, REST_S_MAX))
        except BaseException as failure:
            self.failure = failure

    def _next(self, padding_bytes_max: int) -> Record:
        self._number += 1
        padding = self._random.randbytes(self._random.randrange(padding_bytes_max))
        value = b"%s %d %s" % (self.name.encode(), self._number, padding)
        partition = self._partitions[self._number % len(self._partitions)]
        return Record(value, topic=self._topic, partition=partition)

    def _note(self, record: Record, outcome: Ack | ClientError) -> None:
        if isinstance(outcome, ClientError):
            self.errors.append(outcome)
        else:
            self.acked.append(Acked(record.partition, outcome.offset, record.value or b""))


class Log:
    """What one partition holds, read batch by batch and checked to be dense."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches
        self.values: list[bytes | None] = []
        for batch in batches:
            assert batch.base_offset == len(self.values), "a gap or an overlap of offsets"
            for offset, value in values_of(batch):
                assert offset == len(self.values)
                self.values.append(value)

    def digest(self, end: int) -> str:
        """Of the stored bytes up to `end`, the end of a batch."""
        digest = hashlib.sha256()
        for batch in self.batches:
            if batch.base_offset >= end:
                break
            digest.update(batch.raw)
        return digest.hexdigest()


def read_logs(gateway: Gateway, topic: str, partitions: Sequence[int]) -> dict[int, Log]:
    with Connection(gateway.bootstrap) as connection:
        return {
            partition: Log(fetch_batches(connection, topic, 0, partition))
            for partition in partitions
        }


class Snapshots:
    """Remembers what was readable; a later read must begin with the same bytes."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], str] = {}

    def take(self, logs: dict[int, Log]) -> None:
        for partition, log in logs.items():
            end = len(log.values)
            self._seen[partition, end] = log.digest(end)
        self.check(logs)

    def check(self, logs: dict[int, Log]) -> None:
        for (partition, end), digest in self._seen.items():
            log = logs[partition]
            assert len(log.values) >= end, f"partition {partition} ended at {end} before"
            assert log.digest(end) == digest, f"partition {partition}: other bytes below {end}"


def check_load(load: Load, logs: dict[int, Log]) -> None:
    """Nothing acked is missing or elsewhere; an idempotent producer's records are there once."""
    for acked in load.acked:
        values = logs[acked.partition].values
        assert acked.offset < len(values), f"{load.name}: acked offset {acked.offset} is lost"
        assert values[acked.offset] == acked.value, f"{load.name}: other record at {acked.offset}"
    prefix = load.name.encode() + b" "
    for partition, log in logs.items():
        own = [value for value in log.values if value is not None and value.startswith(prefix)]
        if load.idempotent:
            twice = [value[:40] for value, times in Counter(own).items() if times > 1]
            assert not twice, f"{load.name}: repeated in partition {partition}: {twice[:3]}"
            numbers = [int(value.split(b" ", 2)[1]) for value in own]
            assert numbers == sorted(numbers), f"{load.name}: order in partition {partition}"
    if load.idempotent:
        assert not load.errors, f"{load.name}: {load.errors[:3]}"
