"""One attack on a broker in a cage, with a bystander beside it."""

from __future__ import annotations

from typing import NamedTuple

from compat_tests.siege.attacks import ATTACKS
from compat_tests.siege.bystander import Bystander, Seen
from compat_tests.siege.cage import Cage, forget_peak, peak_bytes
from compat_tests.support.deadline import Deadline, now_s, pause
from compat_tests.support.gateway import Gateway
from compat_tests.wire.batches import build
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import create_topic, produce

MIB = 1 << 20
WARM_BATCHES_COUNT = 100  # of a mebibyte: more than the memory for the newest data holds
LEFT_BYTES_MAX = 50 << 20
LEFT_TIMEOUT_S = 60.0
OPTIONS = ("--group-initial-rebalance-delay-ms", "0")


class Result(NamedTuple):
    """What an attack did; `left_bytes` is the growth that stayed once it was over."""

    name: str
    caged: bool
    peak_bytes: int
    left_bytes: int
    attack_s: float
    start_s: float
    alone: Seen
    beside: Seen


def besiege(name: str, scale: float, data: str, *, alone_s: float) -> Result:
    """Run one attack; the broker must live through it, and start again afterwards."""
    gateway = Gateway(data, mode="file", options=OPTIONS)
    with Cage(f"siege-{name}") as cage, gateway:
        cage.put(gateway.pid)
        _fill_caches(gateway)
        alone = _alone(gateway, alone_s)
        before_bytes = gateway.rss_bytes()
        forget_peak(gateway.pid)
        bystander = Bystander(gateway.bootstrap, "beside")
        started_s = now_s()
        try:
            ATTACKS[name](gateway.bootstrap, scale)
        finally:
            attack_s = now_s() - started_s
            beside = bystander.stop()
        assert gateway.running, f"{name}: the broker died:\n" + "\n".join(gateway.log)
        largest_bytes = peak_bytes(gateway.pid)
        left_bytes = _settled_bytes(gateway, before_bytes) - before_bytes
        gateway.kill()
        started_s = now_s()
        gateway.spawn()
        cage.put(gateway.pid)
        gateway.wait_ready()
        start_s = now_s() - started_s
        largest_bytes = max(largest_bytes, peak_bytes(gateway.pid))
        assert gateway.stop() == 0, "\n".join(gateway.log)
        assert gateway.tracebacks_count == 0, "\n".join(gateway.log)
        return Result(name, cage.kills, largest_bytes, left_bytes, attack_s, start_s, alone, beside)


def _fill_caches(gateway: Gateway) -> None:
    """What the newest data may take of memory is taken before anything is measured."""
    batch = build([bytes(MIB - 1000)])
    with Connection(gateway.bootstrap) as connection:
        create_topic(connection, "ballast", retention_bytes=str(MIB))
        for _ in range(WARM_BATCHES_COUNT):
            assert produce(connection, "ballast", batch).error_code == 0


def _alone(gateway: Gateway, alone_s: float) -> Seen:
    """What the bystander sees without an attack."""
    bystander = Bystander(gateway.bootstrap, "alone")
    pause(alone_s)
    return bystander.stop()


def _settled_bytes(gateway: Gateway, before_bytes: int) -> int:
    """The resident size, once it is near to what it was or time is up."""
    deadline = Deadline(LEFT_TIMEOUT_S)
    while gateway.rss_bytes() - before_bytes > LEFT_BYTES_MAX and not deadline.expired:
        pause(0.25)
    return gateway.rss_bytes()
