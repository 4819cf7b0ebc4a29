"""The system under test and what can be done to it: processes, store, proxies on both sides.

Plays the part of whoever supervises processes: one that could not start because its store was away
is started again; one that ends after it was ready has failed, unless a successor took its log.
"""

import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import psutil

from compat_tests.chaos.recorder import Recorder
from compat_tests.proxies.rules import Fault, Rule
from compat_tests.proxies.s3 import Outage, S3Proxy
from compat_tests.proxies.tcp import TcpProxy
from compat_tests.support.deadline import now_s, seeded, wait_until
from compat_tests.support.gateway import Gateway, logs_count
from compat_tests.wire.batches import build
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import delete_topic, produce
from wal_core.testing.s3_server import S3Server

MIB = 1 << 20
RESTART_PAUSE_S = 0.3
READY_TIMEOUT_S = 90.0
FLOOD_BATCH_BYTES = 512 << 10
FLOOD_BATCHES_COUNT = 80
FLOODED_BYTES_MAX = 1024 * MIB  # of a whole run; the store keeps it in memory
SIZES = {
    "tail-cache-bytes": 8 * MIB,
    "block-cache-bytes": 8 * MIB,
    "request-bytes-max": 4 * MIB,
    "fetch-bytes-max": 4 * MIB,
    "reply-bytes-max": 16 * MIB,
    "connection-buffered-bytes-max": 16 * MIB,
    "buffered-bytes-max": 32 * MIB,
    "segment-bytes-max": MIB,
    "block-bytes-max": 256 << 10,
    "message-bytes-max": MIB,
}
# What a process may take beyond what it has when it is ready. By the settings: both caches;
# requests, and the last one of each kind beyond the budget (server.py); blocks kept for reuse;
# replies. Besides: 16 MiB of footers, and as much for fragments and libraries.
GROWTH_BYTES_MAX = (
    SIZES["tail-cache-bytes"]
    + SIZES["block-cache-bytes"]
    + SIZES["buffered-bytes-max"]
    + 2 * SIZES["request-bytes-max"]
    + SIZES["tail-cache-bytes"]
    + SIZES["connection-buffered-bytes-max"]
    + SIZES["reply-bytes-max"]
    + 32 * MIB
)
FLAGS = (
    *(word for name, size in SIZES.items() for word in (f"--{name}", f"{size}B")),
    "--store-timeout-ms",
    "3s",
    "--retention-check-interval-ms",
    "1s",
    "--garbage-grace-ms",
    "5s",
)
WEATHER = {
    "latency": [Rule(Fault.LATENCY, delay_s=(0.02, 0.3))],
    "spikes": [Rule(Fault.LATENCY, share=0.05, delay_s=(0.5, 5.0))],
    "errors": [
        Rule(Fault.ERROR_500, share=0.1),
        Rule(Fault.DONE_THEN_500, share=0.1),
        Rule(Fault.RESET, share=0.1),
        Rule(Fault.LOST_REPLY, share=0.1),
        Rule(Fault.CONFLICT, "PUT", share=0.05),
    ],
    "storm": [Rule(Fault.SLOW_DOWN, share=0.7)],
    "hangs": [Rule(Fault.HANG, share=0.05), Rule(Fault.DONE_THEN_HANG, share=0.05)],
    "partial": [
        Rule(Fault.TRUNCATED, "LIST", share=0.4),
        Rule(Fault.TRUNCATED, "GET", share=0.2),
    ],
    "repeats": [
        Rule(Fault.REPEATED, "PUT", share=0.3),
        Rule(Fault.LOST_REPLY, "PUT", share=0.2),
    ],
}


class System:
    """Use as a context manager. Everything but `flood` is done in the caller's thread."""

    def __init__(self, mode: str, folder: Path, seed: int, recorder: Recorder) -> None:
        self.mode = mode
        self.counts: Counter[str] = Counter()
        """What was done, for the summary."""
        self.created: Counter[str] = Counter()
        """Objects in the bucket, by folder."""
        self.rss_bytes_max = 0
        self.rss_at_start_bytes = 0
        self.healed_s = now_s()
        """When trouble last ended."""
        self.outage_s = 0.0
        self._recorder = recorder
        self._random = seeded(seed)
        self._stack = ExitStack()
        self._folder = folder
        self.clients = self._stack.enter_context(TcpProxy(seed=seed))
        self.store: S3Proxy | None = None
        self._environ: dict[str, str] = {}
        self._data = str(folder / "data")
        if mode == "s3":
            server = self._stack.enter_context(S3Server())
            server.make_bucket("chaos")
            self.store = self._stack.enter_context(S3Proxy(server.endpoint, seed=seed))
            self.store.on_created = self._created
            self._environ = {**server.environ(), "AWS_ENDPOINT_URL": self.store.endpoint}
            self._data = "s3://chaos/log"
        self.gateway = self._new_gateway()
        self.replaced: list[Gateway] = []
        self._started_s = 0.0
        self._flooding: threading.Thread | None = None

    def _created(self, key: str) -> None:
        # What a probe creates it deletes, and what was late in its race comes once more.
        folder = key.split("/")[1]
        if folder != ".probe":
            self.created[folder] += 1
            self._recorder.put(key)

    def __enter__(self) -> "System":
        try:
            self.gateway.start()
        except BaseException:
            self._stack.close()
            raise
        self.clients.target_port = self.gateway.port
        self.rss_at_start_bytes = self.gateway.rss_bytes()
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            if self._flooding is not None:
                self._flooding.join(30)
            for gateway in (self.gateway, *self.replaced):
                gateway.__exit__()
                print("--- last words of a gateway", *list(gateway.log)[-40:], sep="\n")

    def _new_gateway(self) -> Gateway:
        options = ("--advertised", self.clients.bootstrap, *FLAGS)
        return Gateway(self._data, mode=self.mode, options=options, environ=self._environ)

    @property
    def rss_bound_bytes(self) -> int:
        return self.rss_at_start_bytes + GROWTH_BYTES_MAX

    # What goes on all the time

    def tick(self) -> None:
        """Look after the processes; call it often. Raises AssertionError."""
        for gateway in (self.gateway, *self.replaced):
            try:
                self.rss_bytes_max = max(self.rss_bytes_max, gateway.rss_bytes())
            except psutil.Error:
                pass  # it has ended
        if not self.gateway.running and now_s() - self._started_s > RESTART_PAUSE_S:
            log = "\n".join(self.gateway.log)
            assert not self.gateway.ready, f"the gateway ended by itself:\n{log}"
            assert self.gateway.wait_ended() == 1, log
            self.counts["failed starts"] += 1
            print("start failed:", *list(self.gateway.log)[-1:])
            self.spawn()
        assert self.gateway.tracebacks_count == 0, "\n".join(self.gateway.log)
        self._follow()

    def spawn(self) -> None:
        self._started_s = now_s()
        self.gateway.spawn()

    def wait_ready(self) -> None:
        def ready() -> bool:
            self.tick()
            return self.gateway.ready and self.gateway.running

        wait_until(ready, timeout_s=READY_TIMEOUT_S, what="a gateway that is ready")

    def heal(self) -> None:
        """Everything works again; whoever was replaced has noticed, and ended."""
        self.healed_s = now_s()
        self.clients.heal()
        if self.store is not None:
            self.store.heal()
        self.resume()
        self.wait_ready()
        for gateway in self.replaced:
            self._see_it_end(gateway)
        self.replaced.clear()

    # What can be done

    def kill(self) -> None:
        self._note("kill")
        self.gateway.kill()
        self.spawn()

    def pause(self) -> None:
        self._note("pause")
        _quietly(self.gateway.pause)

    def resume(self) -> None:
        for gateway in (self.gateway, *self.replaced):
            _quietly(gateway.resume)

    def take_over(self) -> None:
        """The old one sleeps and a new one opens the log. An old one that is opening would itself
        be the last to open, so nothing happens then.
        """
        if not (self.gateway.running and self.gateway.ready):
            return
        self._note("takeover")
        _quietly(self.gateway.pause)
        self.replaced.append(self.gateway)
        self.gateway = self._new_gateway()
        self.spawn()

    @property
    def address(self) -> str:
        """Of whoever clients are sent to now. It changes before any of them gets there."""
        return f"127.0.0.1:{self.clients.target_port}"

    def _follow(self) -> None:
        """New connections go to whoever serves now; some clients find out by themselves."""
        if self.gateway.ready and self.gateway.port != self.clients.target_port:
            self.clients.target_port = self.gateway.port
            if self._random.random() < 0.5:
                self.clients.cut()

    def outage(self, duration_s: float) -> None:
        """Until the next `heal_store`."""
        assert self.store is not None
        self._note("outage", f"{duration_s:.1f} s")
        self.outage_s += duration_s
        self.store.down = self._random.choice((Outage.REFUSED, Outage.SILENT, Outage.BUSY))

    def heal_store(self) -> None:
        assert self.store is not None
        self.store.down = Outage.NONE

    def weather(self, kind: str) -> None:
        assert self.store is not None
        self._note(kind)
        self.store.rules = [*self.store.rules, *(Rule(**vars(rule)) for rule in WEATHER[kind])]

    def flood(self) -> None:
        """More than it can take at once, from one who waits for no answer."""
        busy = self._flooding is not None and self._flooding.is_alive()
        if not busy and self.counts["flooded bytes"] < FLOODED_BYTES_MAX:
            self._note("flood")
            self._flooding = threading.Thread(target=self._flood, daemon=True)
            self._flooding.start()

    def _flood(self) -> None:
        batch = build([bytes(FLOOD_BATCH_BYTES)])
        try:
            with Connection(self.gateway.bootstrap, timeout_s=2.0) as connection:
                for _ in range(FLOOD_BATCHES_COUNT):
                    connection.send(_flood_request(batch), 9)
                    self.counts["flooded bytes"] += len(batch)
        except OSError:
            pass  # it does not read any more, or has gone

    def _see_it_end(self, gateway: Gateway) -> None:
        """One that was replaced acks nothing, and ends as soon as it has something to write: to its
        only data log, or to the catalog."""
        try:
            with Connection(gateway.bootstrap, timeout_s=READY_TIMEOUT_S) as connection:
                answer = produce(connection, "flood", build([b"from the past"]))
                assert answer.error_code != 0, "a gateway that was replaced has acked a record"
                if logs_count() > 1:
                    code = delete_topic(connection, "flood")
                    assert code != 0, "a gateway that was replaced has deleted a topic"
        except OSError:
            pass
        code = gateway.wait_ended()
        log = "\n".join(gateway.log)
        assert code == 1 and gateway.tracebacks_count == 0, log
        assert "another writer" in log, log

    def _note(self, what: str, note: str | None = None) -> None:
        self.counts[what] += 1
        self._recorder.event(what, note)


def _flood_request(batch: bytes) -> object:
    from compat_tests.wire.messages import produce_request

    return produce_request({"flood": {0: batch}})


def _quietly(action: object) -> None:
    """The process may have ended a moment ago."""
    try:
        action()  # type: ignore[operator]
    except (psutil.NoSuchProcess, AssertionError):
        pass
