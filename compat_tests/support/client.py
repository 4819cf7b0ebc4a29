"""One client library in a process of its own, behind one neutral interface.

A worker process can be killed like a real application, cannot disturb the test process, and lets
librdkafka 1.9 run on the Python it needs. Each call is one line out, one line back; `submit`
returns a Future, so several workers can be busy at once.
"""

import json
import queue
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from compat_tests.support import environments, javac, toolchains
from compat_tests.support.deadline import Deadline, wait_until
from compat_tests.support.records import Content, Record, empty_as_null, headers_by_name, same

WORKERS = Path(__file__).parents[1] / "workers"
CALL_TIMEOUT_S = 110.0
KAFKA_CODECS = ("none", "gzip", "snappy", "lz4", "zstd")

NEWEST_JAVA = "org.apache.kafka:kafka-clients:4.4.0"
Position = tuple[str, int, int | str]


@dataclass(frozen=True)
class Library:
    """What a test has to know about a client before it starts it."""

    name: str
    family: str
    """Of one worker, whose settings and errors have the same names."""
    command: Callable[[], list[str]]
    """The worker's, without its argument; MissingClientError where it cannot run."""
    arguments: tuple[str, ...] = ()
    """The worker's, behind the address of the broker."""
    null_header_values: bool = True
    writes: Callable[[Content], Content] = same
    """What is left of a record's content when the library has written it."""
    reads: Callable[[Content], Content] = same
    """What the library makes of a record's content that it reads."""
    round_robin: Mapping[str, str] | None = field(default_factory=dict)
    """Settings of a consumer that offers the assignor "roundrobin"; None: it has none."""
    idempotent_by_default: bool = False
    codecs: tuple[str, ...] = KAFKA_CODECS
    administers: bool = False
    """Its worker offers to administer groups and settings."""
    subscribes_with_part: bool = False
    """Its `subscribe` returns once it has its part of the group's partitions, not before."""
    modes: tuple[str, ...] = ()
    """Those it is run in, beside "memory" and brokers that are there already; none: in all."""

    def carries(self, content: Content) -> Content:
        """What comes back of what it has written itself."""
        return self.reads(self.writes(content))

    def other_script(self, name: str) -> list[str]:
        """The command of another script for the interpreter of this Python client's worker."""
        return [self.command()[0], str(WORKERS / name)]

    def runs_in(self, mode: str) -> bool:
        return not self.modes or mode in (*self.modes, "memory", "external")


def _script(name: str, python: Callable[[], str] = environments.newest_python) -> list[str]:
    return [python(), str(WORKERS / name)]


def _java(clients: str, modes: tuple[str, ...] = ()) -> Library:
    version = clients.rpartition(":")[2]
    return Library(
        f"java-{version.rpartition('.')[0]}",
        "java",
        lambda: javac.program(WORKERS / "java", "Worker", clients, *javac.LIBRARIES),
        idempotent_by_default=True,
        round_robin={
            "partition.assignment.strategy": "org.apache.kafka.clients.consumer.RoundRobinAssignor"
        },
        administers=True,
        modes=modes,
    )


LIBRARIES = {
    library.name: library
    for library in (
        Library(
            "aiokafka",
            "aiokafka",
            lambda: _script("aiokafka_worker.py"),
            null_header_values=False,
        ),
        Library(
            "kafka-python",
            "kafka-python",
            lambda: _script("kafka_python_worker.py"),
            null_header_values=False,
            idempotent_by_default=True,
            administers=True,
        ),
        Library(
            "confluent-kafka",
            "librdkafka",
            lambda: _script("confluent_worker.py"),
            administers=True,
        ),
        Library(
            "librdkafka-1.9",
            "librdkafka",
            lambda: _script("confluent_worker.py", environments.librdkafka19_python),
        ),
        Library(
            "rdkafka",
            "librdkafka",
            toolchains.rust,
            administers=True,
            modes=("file",),
        ),
        # Two of one family: what storage can break, one of them notices.
        _java("org.apache.kafka:kafka-clients:3.9.2", modes=("file",)),
        _java(NEWEST_JAVA),
        Library(
            "franz-go",
            "franz-go",
            lambda: toolchains.go("franz"),
            idempotent_by_default=True,
            round_robin={"assignor": "roundrobin"},
            administers=True,
            modes=("file",),
        ),
        Library(
            "sarama",
            "sarama",
            lambda: toolchains.go("sarama"),
            round_robin={"assignor": "roundrobin"},
            administers=True,
            modes=("file",),
        ),
        Library(
            "kafka-go",
            "kafka-go",
            lambda: toolchains.go("kafkago"),
            reads=empty_as_null,
            administers=True,
            modes=("file",),
        ),
        Library(
            "kafkajs",
            "kafkajs",
            lambda: toolchains.node("kafkajs.js"),
            null_header_values=False,
            writes=headers_by_name,
            reads=headers_by_name,
            round_robin=None,
            codecs=("none", "gzip"),
            administers=True,
            modes=("file",),
        ),
        Library(
            "platformatic",
            "platformatic",
            lambda: toolchains.node("platformatic.js", at_least=(22, 22)),
            administers=True,
            subscribes_with_part=True,
            modes=("file",),
        ),
    )
}


class ClientError(Exception):
    """What the library reported; `code` is Kafka's error code, or the library's own (negative)."""

    def __init__(self, wire: dict[str, Any]) -> None:
        super().__init__(f"{wire['name']} ({wire['code']}): {wire['text']}")
        self.code: int | None = wire["code"]
        self.name: str = wire["name"]


@dataclass(frozen=True)
class Ack:
    offset: int
    partition: int
    timestamp_ms: int


class Client:
    """One worker process, connected to one bootstrap address."""

    def __init__(self, library: Library, bootstrap: str) -> None:
        self.library = library
        self.bootstrap = bootstrap
        self._names = count()
        self._ids = count()
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[Any]] = {}
        self._process = subprocess.Popen(
            [*library.command(), bootstrap, *library.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._stderr: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=target, daemon=True)
            for target in (self._read_answers, self._read_stderr)
        ]
        for thread in self._threads:
            thread.start()

    # Conversation

    def submit(self, op: str, **args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        number = next(self._ids)
        line = json.dumps({"id": number, "op": op, "args": args}) + "\n"
        with self._lock:
            self._waiting[number] = future
            assert self._process.stdin is not None
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        return future

    def call(self, op: str, **args: Any) -> Any:
        try:
            return self.submit(op, **args).result(CALL_TIMEOUT_S)
        except TimeoutError:
            raise AssertionError(
                f"{self.library.name}: {op} did not return\n{self.said()}"
            ) from None

    def _read_answers(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            wire = json.loads(line)
            future = self._waiting.pop(wire["id"])
            if "error" in wire:
                future.set_exception(ClientError(wire["error"]))
            else:
                future.set_result(wire["result"])
        for future in list(self._waiting.values()):
            future.set_exception(ConnectionError(f"{self.library.name}: worker ended"))

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._stderr.put(line.decode(errors="replace").rstrip())

    def said(self) -> str:
        """What the library printed so far, for a failing test's message."""
        lines = []
        while not self._stderr.empty():
            lines.append(self._stderr.get())
        return "\n".join(lines[-40:])

    def kill(self) -> None:
        """SIGKILL: the application is gone without a word to the broker."""
        self._process.kill()
        self._end()

    def close(self) -> None:
        assert self._process.stdin is not None
        if self._process.poll() is None:
            self._process.kill()
        self._end()

    def _end(self) -> None:
        self._process.wait()
        for thread in self._threads:
            thread.join(5)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Neutral operations

    def producer(self, **options: Any) -> "Producer":
        name = f"p{next(self._names)}"
        self.call("producer_open", name=name, **options)
        return Producer(self, name)

    def consumer(self, **options: Any) -> "Consumer":
        name = f"c{next(self._names)}"
        self.call("consumer_open", name=name, **options)
        return Consumer(self, name)

    def create_topic(self, topic: str, partitions: int = 1, **configs: str) -> None:
        """Settings with an underscore for each dot: retention_ms="1000"."""
        named = {name.replace("_", "."): value for name, value in configs.items()}
        self.call("create_topics", topics=[[topic, partitions]], configs=named or None)
        wait_until(
            lambda: self.topics().get(topic) == partitions, what=f"topic {topic} to be listed"
        )

    def delete_topic(self, topic: str) -> None:
        self.call("delete_topics", topics=[topic])

    def delete_records(self, topic: str, before: int, partition: int = 0) -> int:
        """The partition's new log start."""
        low: int = self.call("delete_records", topic=topic, partition=partition, before=before)
        return low

    def topics(self) -> dict[str, int]:
        found: dict[str, int] = self.call("list_topics")
        return found

    def read_all(self, topic: str, count_expected: int, partition: int = 0) -> list[Record]:
        """The first records of a partition, by assign from the beginning."""
        with self.consumer() as consumer:
            consumer.assign((topic, partition, "beginning"))
            return consumer.take(count_expected)


class Producer:
    """A named producer inside a worker."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name

    def submit(self, records: Iterable[Record]) -> Future[list[dict[str, Any]]]:
        wire = [record.to_wire() for record in records]
        return self.client.submit("produce", producer=self.name, records=wire)

    def outcomes(self, records: Iterable[Record]) -> list[Ack | ClientError]:
        """One per record, in order: where it is, or why not."""
        return [as_outcome(answer) for answer in self.submit(records).result(CALL_TIMEOUT_S)]

    def send(self, topic: str, records: Sequence[Record | bytes]) -> list[Ack]:
        """Sends to `topic` all at once; every record must be acked."""
        whole = [item if isinstance(item, Record) else Record(item) for item in records]
        acks: list[Ack] = []
        for outcome in self.outcomes(record.placed(topic=topic) for record in whole):
            if isinstance(outcome, ClientError):
                raise outcome
            acks.append(outcome)
        return acks

    def close(self) -> None:
        self.client.call("producer_close", producer=self.name)

    def __enter__(self) -> "Producer":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()


def as_outcome(answer: dict[str, Any]) -> Ack | ClientError:
    return ClientError(answer["error"]) if "error" in answer else Ack(**answer)


class Consumer:
    """A named consumer inside a worker."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name

    def _call(self, op: str, **args: Any) -> Any:
        return self.client.call(op, consumer=self.name, **args)

    def subscribe(self, *topics: str) -> None:
        self._call("subscribe", topics=list(topics))

    def assign(self, *positions: Position) -> None:
        self._call("assign", positions=[list(position) for position in positions])

    def seek(self, topic: str, partition: int, offset: int) -> None:
        self._call("seek", topic=topic, partition=partition, offset=offset)

    def submit_poll(self, count: int, timeout_s: float) -> Future[list[dict[str, Any]]]:
        return self.client.submit("poll", consumer=self.name, count=count, timeout_s=timeout_s)

    def poll(self, count: int = 100, timeout_s: float = 0.2) -> list[Record]:
        wire = self._call("poll", count=count, timeout_s=timeout_s)
        return [Record.from_wire(item) for item in wire]

    def take(self, count_expected: int, timeout_s: float = 40.0) -> list[Record]:
        """Exactly so many records; fewer within the time is a failure."""
        deadline = Deadline(timeout_s)
        records: list[Record] = []
        while len(records) < count_expected and not deadline.expired:
            records += self.poll(count_expected - len(records), min(2.0, deadline.left_s))
        assert len(records) == count_expected, (
            f"{self.client.library.name} read {len(records)} of {count_expected} records in "
            f"{timeout_s} s\n{self.client.said()}"
        )
        return records

    def assignment(self) -> set[tuple[str, int]]:
        return {(topic, partition) for topic, partition in self._call("assignment")}

    def rebalances_count(self) -> int:
        """Times that the library told of partitions given or taken; not of every library."""
        count: int = self._call("rebalances_count")
        return count

    def commit(self, *positions: tuple[str, int, int]) -> None:
        self._call("commit", positions=[list(item) for item in positions] or None)

    def committed(self, *partitions: tuple[str, int]) -> list[int | None]:
        found: list[int | None] = self._call(
            "committed", partitions=[list(item) for item in partitions]
        )
        return found

    def offsets_for_times(self, *times: tuple[str, int, int]) -> list[int | None]:
        found: list[int | None] = self._call(
            "offsets_for_times", times=[list(item) for item in times]
        )
        return found

    def watermarks(self, topic: str, partition: int = 0) -> tuple[int, int]:
        low, high = self._call("watermarks", topic=topic, partition=partition)
        return low, high

    def close(self) -> None:
        self._call("consumer_close")

    def __enter__(self) -> "Consumer":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
