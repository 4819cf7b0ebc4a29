"""Brokers to measure: Apache Kafka, and gateways in their modes, started when first asked for.

They stay until all is done, so that a JVM is warm, and stand still while another is measured.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

import psutil
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic, OffsetSpec

from compat_tests.bench import quorum
from compat_tests.bench.broker import Running, gateway
from compat_tests.support.deadline import wait_until
from compat_tests.support.kafka import KAFKA_4, Kafka
from wal_core.testing.s3_server import S3Server

BUCKET = "bench"
# As `kafka-server-start.sh` of Kafka 4 starts it.
KAFKA_JVM_FLAGS = (
    "-Xms1G",
    "-Xmx1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
)
# A bill is not what is measured: a server on this machine answers faster than S3 could.
_OBJECT_FLAGS = ("--writes-per-s-max", "100000")
_PARTITIONS = ("--partitions-max-count", "100000")
_TWO_WORKERS = ("--workers", "2", "--logs-count", "2")
SETTLE_TIMEOUT_S = 120.0
CRITICAL = 2  # of syslog: that a broker is gone is no news, the bench has ended it
AT_ONCE_COUNT = 1_000  # topics, or partitions of one, that a request makes


class Side:
    """A broker, and with what settings its topics are made."""

    def __init__(
        self,
        name: str,
        running: Running,
        *,
        workers: int = 1,
        topic_settings: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.running = running
        self.workers = workers
        self._topic_settings = dict(topic_settings or {})
        self._numbers = itertools.count()

    @property
    def bootstrap(self) -> str:
        return self.running.bootstrap

    @contextmanager
    def topic(self, partitions: int = 1) -> Iterator[str]:
        """A new one that can be used; gone afterwards."""
        name = self.new_topic(partitions)
        try:
            yield name
        finally:
            for future in self._admin.delete_topics([name]).values():
                future.result()

    def new_topic(self, partitions: int = 1) -> str:
        """With an owner in every worker."""
        (name,) = self.new_topics(1, min(partitions, AT_ONCE_COUNT))
        for count in range(2 * AT_ONCE_COUNT, partitions + 1, AT_ONCE_COUNT):
            _done(self._admin.create_partitions([NewPartitions(name, count)]))
        wait_until(
            lambda: self._is_usable(name, partitions),
            timeout_s=SETTLE_TIMEOUT_S,
            what=f"a topic {name} that can be used",
        )
        return name

    def _is_usable(self, topic: str, partitions: int) -> bool:
        """Kafka may list a topic a moment before its partitions can be used."""
        if len(set(self.leaders(topic, partitions))) != min(self.workers, partitions):
            return False
        try:
            return self.records_count(topic, partitions) == 0
        except KafkaException:
            return False

    def new_topics(self, count: int, partitions: int = 1) -> list[str]:
        """So many."""
        names = [f"{self.name}-{next(self._numbers)}" for _ in range(count)]
        settings = self._topic_settings
        for at in range(0, count, AT_ONCE_COUNT):
            asked = [
                NewTopic(name, partitions, replication_factor=1, config=settings)
                for name in names[at : at + AT_ONCE_COUNT]
            ]
            wait_until(
                lambda asked=asked: _done(self._admin.create_topics(asked)),
                timeout_s=SETTLE_TIMEOUT_S,
                what="topics",
            )
        return names

    def leaders(self, topic: str, partitions: int) -> list[int]:
        """The port of each partition's owner; none if one has no owner yet."""
        told = self._admin.list_topics(topic, timeout=30)
        found = told.topics[topic].partitions
        ports = [
            told.brokers[found[n].leader].port
            for n in range(partitions)
            if n in found and found[n].leader in told.brokers
        ]
        return ports if len(ports) == partitions else []

    def records_count(self, topic: str, partitions: int) -> int:
        """By the ends of its partitions."""
        asked = {TopicPartition(topic, n): OffsetSpec.latest() for n in range(partitions)}
        return sum(each.result().offset for each in self._admin.list_offsets(asked).values())

    @cached_property
    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": CRITICAL})


def _done(futures: Mapping[str, object]) -> bool:
    return all(future.exception(SETTLE_TIMEOUT_S) is None for future in futures.values())


class Sides:
    """Brokers by name; ends them all, and their data, when it is left."""

    def __init__(
        self,
        folder: Path | None,
        *,
        other: Path | None = None,
        scale: float = 1.0,
        small: bool = False,
        only: Container[str] = (),
    ) -> None:
        """`other` is another checkout, for sides of that name; data go below `folder`. For all who
        measure: `scale` is longer or shorter, `small` is with less to measure, too. `only` are the
        sides that are wanted; none: all."""
        self.scale = scale
        self.other = other
        self._is_small = small
        self._only = only
        self.folder = Path(tempfile.mkdtemp(prefix="bench-", dir=folder))
        self._stack = ExitStack()
        self._started: dict[str, Side] = {}

    def get(self, name: str) -> Side:
        if name not in self._started:
            self._started[name] = self._side(name)
        return self._started[name]

    def sized(self, count: int) -> int:
        """So many partitions, topics, blocks: not fewer in shorter measurements."""
        return max(1, int(count * self.scale)) if self._is_small else count

    def named(self, *names: str) -> dict[str, Side]:
        """Those of them that are wanted, and gateways of the other checkout if there is one."""
        others = {"file": "other", "object": "other-object"} if self.other else {}
        more = (others[name] for name in names if name in others)
        wanted = self._only or (*names, *more)
        return {name: self.get(name) for name in (*names, *more) if name in wanted}

    def _side(self, name: str) -> Side:
        if name == "kafka-flush":
            settings = {"flush.messages": "1"}
            return Side(name, self.get("kafka").running, topic_settings=settings)
        if name == "kafka":
            return Side(name, self._stack.enter_context(kafka(self.folder / "kafka")))
        if name == "quorum":
            running = self._stack.enter_context(quorum.together(self.folder / name, *_PARTITIONS))
            return Side(name, running, workers=quorum.COUNT)
        if name == "quorum-apart":
            return Side(name, self._stack.enter_context(quorum.apart(self.folder / name)))
        running = self._stack.enter_context(self.serve(name))
        return Side(name, running, workers=2 if name.endswith("-2") else 1)

    @contextmanager
    def serve(
        self, name: str, *, environ: Mapping[str, str] | None = None, notes: Path | None = None
    ) -> Iterator[Running]:
        """A gateway of what the words of its name say: file, folder (of objects), object (on an S3
        server, that of `environ` if it is given), 2 (workers), pure (without the compiled help),
        other (another checkout)."""
        words = name.split("-")
        flags = (*_PARTITIONS, *(_TWO_WORKERS if "2" in words else ()))
        environ = dict(environ or (self.s3_environ() if "object" in words else {}))
        if "pure" in words:
            environ["WOODPECKER_PURE_PYTHON"] = "1"
        data, mode = str(self.folder / name), "object" if "folder" in words else "file"
        if "object" in words:
            data, mode, flags = f"s3://{BUCKET}/{name}", "object", (*flags, *_OBJECT_FLAGS)
        checkout = self.other if "other" in words else None
        with gateway(
            data, mode, *flags, environ=environ, notes=notes, checkout=checkout
        ) as running:
            yield running

    def s3_environ(self) -> dict[str, str]:
        """What leads to the S3 server, which is started when first asked for."""
        if not hasattr(self, "_s3"):
            self._s3 = self._stack.enter_context(S3Server())
            self._s3.make_bucket(BUCKET)
        return self._s3.environ()

    def __enter__(self) -> Sides:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        shutil.rmtree(self.folder)


@contextmanager
def kafka(folder: Path) -> Iterator[Running]:
    """Apache Kafka with its defaults, one node; its pauses are in `folder/gc.log`."""
    flags = (*KAFKA_JVM_FLAGS, f"-Xlog:gc:file={folder}/gc.log")
    broker = Kafka(folder, version=KAFKA_4, jvm_flags=flags)
    begun = time.perf_counter()
    with broker:
        started_s = time.perf_counter() - begun
        yield Running(broker.bootstrap, psutil.Process(broker.pid), started_s)
