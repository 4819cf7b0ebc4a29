"""Several gateways, an etcd and an S3 server, with a proxy on every way between them.

Plays the part of whoever supervises processes: one that could not start because its store or etcd
was away is started again; one that ends after it was ready has failed.
"""

from collections import Counter, deque
from collections.abc import Callable
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Any

from compat_tests.chaos.recorder import Recorder
from compat_tests.cluster.rounds.disks import Disk
from compat_tests.cluster.rounds.schedule import GUEST, NODES, Fault, Kind, Manner
from compat_tests.monitoring.scrape import get, values_in
from compat_tests.proxies.tcp import TcpProxy, Way
from compat_tests.support.deadline import now_s, wait_until
from compat_tests.support.gateway import Gateway
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import metadata
from gateway.testing.etcd_server import EtcdCluster
from wal_core.testing.ports import free_ports
from wal_core.testing.s3_server import S3Server

LEASE_S = 5
LOGS_COUNT = 12
DATA = "s3://rounds/cluster"
ASK_TIMEOUT_S = 5.0
RESTART_PAUSE_S = 0.3
SETTLE_TIMEOUT_S = 90.0
SAFE_TIMEOUT_S = 120.0
LOG_LINES_KEPT_COUNT = 10_000
FLAGS = {
    "--logs-count": str(LOGS_COUNT),
    "--node-lease-ms": f"{LEASE_S}s",
    "--store-timeout-ms": "3s",
    "--garbage-grace-ms": "5s",
    "--retention-check-interval-ms": "2s",
}


class Node:
    """A gateway and its links: to etcd, to the store, and everybody's to it."""

    def __init__(
        self,
        node_id: int,
        server: S3Server,
        etcd: EtcdCluster,
        stack: ExitStack,
        disk: Disk | None,
    ) -> None:
        def link(port: int) -> TcpProxy:
            return stack.enter_context(TcpProxy(port))

        self.node_id = node_id
        self.disk = disk
        self.metrics_port = 0
        self.etcd = [link(int(each.rpartition(":")[2])) for each in etcd.endpoints]
        self.store = link(int(server.endpoint.rpartition(":")[2]))
        self.front = link(0)
        self.is_wanted = False
        self.spawned_s = 0.0
        options = {
            "--etcd": ",".join(f"http://{proxy.bootstrap}" for proxy in self.etcd),
            "--node-id": str(node_id),
            "--advertised": self.front.bootstrap,
            **FLAGS,
        }
        if disk is not None:
            (self.metrics_port,) = free_ports(1)
            options["--metrics-listen"] = f"127.0.0.1:{self.metrics_port}"
            options["--logstore-data"] = str(disk.logstore)
            options["--logstore-listen"] = "127.0.0.1:0"
            options["--rack"] = f"rack-{node_id}"
            options |= disk.flags
        words = ("--no-auto-create", *(word for pair in options.items() for word in pair))
        environ = {**server.environ(), "AWS_ENDPOINT_URL": f"http://{self.store.bootstrap}"}
        mode = "s3" if disk is None else "quorum"
        self.gateway = Gateway(DATA, mode=mode, options=words, environ=environ)
        self.gateway.log = deque(maxlen=LOG_LINES_KEPT_COUNT)

    @property
    def is_ready(self) -> bool:
        return self.gateway.running and self.gateway.ready

    @property
    def links(self) -> list[TcpProxy]:
        return [*self.etcd, self.store, self.front]

    def spawn(self) -> None:
        self.is_wanted = True
        self.spawned_s = now_s()
        self.gateway.spawn()

    def stop(self) -> None:
        """SIGTERM, if it runs and has got so far that it knows what that means."""
        self.is_wanted = False
        if not self.is_ready:
            self.kill()
            return
        self.gateway.resume()
        code = self.gateway.stop()
        assert code == 0, f"node {self.node_id} stopped with {code}:\n{self.log()}"

    def kill(self) -> None:
        self.is_wanted = False
        if self.gateway.running:
            self.gateway.kill()

    def wipe(self) -> None:
        """Its disk is lost; there is an empty one in its place."""
        assert self.disk is not None
        self.kill()
        self.disk.wipe()

    def thin(self, since_s: float) -> list[str]:
        """Which of its logs may have less than three copies of what is not in the bucket: those
        that are behind that moment there, or lack a logstore."""
        asked_s = now_s()
        try:
            status, page = get(self.metrics_port, "/metrics", ASK_TIMEOUT_S)
        except OSError:
            status = 0
        if status != HTTPStatus.OK:  # it starts, or stands still
            return [f"node {self.node_id} does not say"]
        lags_s = values_in(page, "woodpecker_upload_lag_seconds", "log")
        away = values_in(page, "woodpecker_log_logstores_away", "log")
        late = [
            f"log {log} is {lag_s} s behind"
            for log, lag_s in lags_s.items()
            if lag_s >= asked_s - since_s
        ]
        return late + [
            f"log {log} lacks {count:.0f} logstores" for log, count in away.items() if count
        ]

    def look_after(self) -> bool:
        """Starts it again where it could not start; whether that was so."""
        gateway = self.gateway
        assert gateway.tracebacks_count == 0, f"node {self.node_id}:\n{self.log()}"
        if gateway.ready:
            self.front.target_port = gateway.port
        if not self.is_wanted or gateway.running:
            return False
        if now_s() - self.spawned_s < RESTART_PAUSE_S:
            return False
        assert not gateway.ready, f"node {self.node_id} ended by itself:\n{self.log()}"
        assert gateway.wait_ended() == 1, f"node {self.node_id} could not start:\n{self.log()}"
        self.spawn()
        return True

    def log(self) -> str:
        """The newest lines."""
        return "\n".join(list(self.gateway.log)[-40:])


class System:
    """Use as a context manager. Everything is done in the caller's thread."""

    def __init__(
        self,
        folder: Path,
        recorder: Recorder,
        *,
        is_quorum: bool = False,
        has_small_disks: bool = False,
    ) -> None:
        """`is_quorum`: in that mode, each node with a logstore, on a disk that can be filled if it
        is small."""
        self.is_quorum = is_quorum
        self._has_small_disks = has_small_disks
        self._thinned_s: float | None = None
        """When a disk was lost or left: what lay on it then is on two others, or in the bucket."""
        self.counts: Counter[str] = Counter()
        self.lease_s = LEASE_S
        self._recorder = recorder
        self._folder = folder
        self._epochs: dict[tuple[str, int], int] = {}
        self._stack = ExitStack()
        self.server = self._stack.enter_context(S3Server())
        self.server.make_bucket("rounds")
        self.etcd = self._stack.enter_context(EtcdCluster(folder, 1))
        self.nodes = {
            node_id: Node(node_id, self.server, self.etcd, self._stack, self._disk(node_id))
            for node_id in (*NODES, GUEST)
        }

    def __enter__(self) -> "System":
        try:
            for node_id in NODES:
                self.nodes[node_id].spawn()
            self.wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            for node in self.nodes.values():
                node.gateway.__exit__()

    def _disk(self, node_id: int) -> Disk | None:
        if not self.is_quorum:
            return None
        disk = Disk(self._folder / f"disk-{node_id}", is_small=self._has_small_disks)
        self._stack.callback(disk.end)
        return disk

    @property
    def bootstrap(self) -> str:
        """What clients are given: the nodes that are always there, by their links."""
        return ",".join(self.nodes[node_id].front.bootstrap for node_id in NODES)

    @property
    def running(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.is_ready]

    def tick(self) -> None:
        """Look after the processes; call it often. Raises AssertionError."""
        for node in self.nodes.values():
            if node.look_after():
                self.counts["failed starts"] += 1

    def wait_ready(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """All who are wanted accept connections. `meanwhile` is called often."""

        def ready() -> bool:
            self.tick()
            meanwhile()
            return all(node.is_ready for node in self.nodes.values() if node.is_wanted)

        wait_until(ready, timeout_s=SETTLE_TIMEOUT_S, what="nodes that are ready")
        self.tick()

    def wait_safe(self, meanwhile: Callable[[], None]) -> None:
        """Before another disk goes: one may, of the three of a record that only lies there."""
        since_s, self._thinned_s = self._thinned_s, None
        if since_s is None:
            return

        thin: list[str] = []

        def safe() -> bool:
            self.tick()
            meanwhile()
            wanted = [node for node in self.nodes.values() if node.is_wanted]
            thin[:] = [text for node in wanted for text in node.thin(since_s)]
            return not thin

        try:
            wait_until(safe, timeout_s=SAFE_TIMEOUT_S, what="three copies, or one in the bucket")
        except AssertionError as error:
            raise AssertionError("; ".join(thin)) from error

    # Faults

    def begin(self, fault: Fault, meanwhile: Callable[[], None] = lambda: None) -> None:
        """`meanwhile`: whatever else is due, where this takes its time. A node that starts may wait
        for the end of another fault."""
        self._recorder.event(fault.kind.value, str(fault))
        self.counts[fault.kind.value] += 1
        nodes = [self.nodes[node_id] for node_id in fault.nodes]
        match fault.kind:
            case Kind.KILL:
                _each(nodes, Node.kill)
            case Kind.PAUSE | Kind.LONG_PAUSE:
                _each([node for node in nodes if node.is_ready], lambda node: node.gateway.pause())
            case Kind.ETCD:
                _each([link for node in nodes for link in node.etcd], _cutter(fault.manner))
            case Kind.STORE:
                _each([node.store for node in nodes], _cutter(fault.manner))
            case Kind.FRONT:
                _each([node.front for node in nodes], _cutter(fault.manner))
            case Kind.LEAVE:
                _each(nodes, Node.stop)
            case Kind.JOIN:
                _each(nodes, Node.spawn)
            case Kind.ROLL:
                for node in nodes:
                    node.stop()
                    node.spawn()
                    self.wait_ready(meanwhile)
            case Kind.ETCD_DIES:
                self.etcd.stop()
            case Kind.WIPE:
                self.wait_safe(meanwhile)
                _each(nodes, Node.wipe)
                self._thinned_s = now_s()
            case Kind.FULL:
                _each([node.disk for node in nodes], Disk.fill)

    def end(self, fault: Fault, meanwhile: Callable[[], None] = lambda: None) -> None:
        nodes = [self.nodes[node_id] for node_id in fault.nodes]
        match fault.kind:
            case Kind.KILL | Kind.LEAVE | Kind.WIPE:
                _each([node for node in nodes if not node.is_wanted], Node.spawn)
            case Kind.PAUSE | Kind.LONG_PAUSE:
                _each([n for n in nodes if n.gateway.running], lambda node: node.gateway.resume())
            case Kind.ETCD | Kind.STORE | Kind.FRONT:
                _each([link for node in nodes for link in node.links], TcpProxy.heal)
            case Kind.JOIN:
                if self.is_quorum:
                    self.wait_safe(meanwhile)
                    self._thinned_s = now_s()
                _each(nodes, Node.stop)
            case Kind.ETCD_DIES:
                self.etcd.start()
            case Kind.FULL:
                _each([node.disk for node in nodes], Disk.clear)
            case Kind.ROLL:
                pass

    # What nodes say

    def leaders(self, topics: list[str]) -> dict[tuple[str, int], int] | None:
        """Of each partition, once all nodes say the same and nothing is wrong anywhere. Raises
        AssertionError for a leader epoch that has gone back, also with a topic made again: a client
        that has not seen it go would not believe it."""
        told = [self._told(node, topics) for node in self.running]
        if not told or told[0] is None or any(each != told[0] for each in told):
            return None
        for place, (_, epoch) in told[0].items():
            before = self._epochs.get(place, -1)
            assert epoch >= before, f"{place} had leader epoch {before}, and has {epoch} now"
            self._epochs[place] = epoch
        return {place: leader for place, (leader, _) in told[0].items()}

    def topic_id(self, topic: str) -> Any:
        """Of the topic that all nodes have under that name; None if not all say the same."""
        found = set()
        for node in list(self.nodes.values()):
            if not node.gateway.running:
                continue
            try:
                with Connection(node.gateway.bootstrap, timeout_s=ASK_TIMEOUT_S) as connection:
                    (told,) = metadata(connection, [topic]).topics
            except OSError:
                return None
            found.add(None if told.error_code else told.topic_id)
        return found.pop() if len(found) == 1 else None

    def _told(self, node: Node, topics: list[str]) -> dict[tuple[str, int], tuple[int, int]] | None:
        """The leader of each partition, and its epoch."""
        try:
            with Connection(node.gateway.bootstrap, timeout_s=ASK_TIMEOUT_S) as connection:
                answer: Any = metadata(connection, topics)
        except OSError:
            return None
        rows = [(topic, row) for topic in answer.topics for row in topic.partitions]
        wrong = any(topic.error_code for topic in answer.topics) or any(
            row.error_code or row.leader_id not in self.nodes for _, row in rows
        )
        ids = {broker.node_id for broker in answer.brokers}
        if wrong or ids != {node.node_id for node in self.running}:
            return None
        return {
            (topic.name, row.partition_index): (row.leader_id, row.leader_epoch)
            for topic, row in rows
        }


def _each(things: Any, act: Any) -> None:
    for thing in things:
        act(thing)


def _cutter(manner: Manner) -> Any:
    return {
        Manner.REFUSED: TcpProxy.refuse,
        Manner.SILENT: TcpProxy.stall,
        Manner.THERE: lambda proxy: proxy.stall(Way.THERE),
        Manner.BACK: lambda proxy: proxy.stall(Way.BACK),
    }[manner]
