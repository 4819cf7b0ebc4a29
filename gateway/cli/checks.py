"""What `doctor` looks at, one function per subject; each yields findings and raises nothing.

A finding that failed keeps the broker from serving well; a warning may be what was meant.
"""

import asyncio
import math
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from gateway.cli.client import METADATA, KafkaClient
from gateway.cli.errors import ClientError
from gateway.net.descriptors import connections_allowed, limit_needed, raise_limit
from gateway.settings.config import Config
from gateway.settings.values import show_address, show_size
from gateway.translated import finder
from gateway.translated.finder import PURE_ENV
from protocol import compiled_parts as parts_of_protocol
from protocol.messages.metadata import MetadataRequest
from wal_core import (
    CloudSettings,
    Invalid,
    SystemClock,
    SystemRng,
    Unavailable,
    WalError,
    examine_bucket,
    stored_mode,
)
from wal_core import compiled_parts as parts_of_wal_core

MIB = 1024 * 1024
FREE_BYTES_MIN = 1024 * MIB
SYNC_MS_MAX = 50.0
_SYNCS_COUNT = 9
_SYNC_BYTES = 4096  # whole pages: what O_DIRECT wants
_LOOPBACK = ("127.", "::1")
BUCKET_TIMEOUT_S = 60


class Finding(NamedTuple):
    """One line of the report."""

    status: Literal["ok", "warning", "failed"]
    name: str
    detail: str = ""
    remedy: str = ""


def check_data(config: Config) -> Iterator[Finding]:
    """The place where records are kept."""
    if config.in_memory:
        yield Finding("warning", "data", "in memory: gone when the broker stops", "--data FOLDER")
    elif config.in_bucket:
        yield from _check_bucket(config)
    else:
        yield from _check_folder(config)


def _check_bucket(config: Config) -> Iterator[Finding]:
    from gateway.settings.log_settings import cloud_settings  # noqa: PLC0415 - for a bucket only

    async def examine() -> list[Finding]:
        cloud = cloud_settings(config)
        async with asyncio.timeout(BUCKET_TIMEOUT_S):
            checks = await examine_bucket(config.data, cloud, clock=SystemClock(), rng=SystemRng())
        findings = [Finding("ok", "bucket answers", config.data)]
        for check in checks:
            bad: Literal["warning", "failed"] = "warning" if check.warning else "failed"
            remedy = "" if check.passed else "another store, or what its documentation says on this"
            findings.append(
                Finding("ok" if check.passed else bad, check.name, check.problem, remedy)
            )
        async with asyncio.timeout(BUCKET_TIMEOUT_S):
            findings.append(await _check_stored(config, cloud))
        return findings

    try:
        yield from asyncio.run(examine())
    except (WalError, TimeoutError) as error:
        said = str(error) or f"no answer within {BUCKET_TIMEOUT_S} s"
        silent = isinstance(error, Unavailable | TimeoutError)
        scheme = config.data.lower().partition("://")[0]
        remedy = f"whether the store runs and can be reached; --{scheme}-endpoint" if silent else ""
        yield Finding("failed", "bucket answers", said, remedy)


async def _check_stored(config: Config, cloud: CloudSettings | None = None) -> Finding:
    """Whether a broker with these settings can go on with what is there. Raises Unavailable."""
    try:
        mode = await stored_mode(config.data, cloud=cloud)
    except Invalid as error:
        return Finding("failed", "stored data", str(error))
    if mode is None:
        return Finding("ok", "stored data", "none yet")
    if mode == config.mode:
        return Finding("ok", "stored data", f"there are some, of mode {mode}")
    remedy = f"--mode {mode}, or another --data"
    return Finding("failed", "stored data", f"of mode {mode}, not {config.mode}", remedy)


def _check_folder(config: Config) -> Iterator[Finding]:
    folder = Path(config.data).absolute()
    at = folder
    while not at.exists():
        at = at.parent
    if not at.is_dir() or not os.access(at, os.W_OK | os.X_OK):
        yield Finding("failed", "folder", f"{at} cannot be written to", "--data, or chown")
        return
    made = "" if at == folder else " (will be made)"
    yield Finding("ok", "folder", f"{folder}{made}")
    if not made:
        try:
            yield asyncio.run(_check_stored(config))
        except Unavailable as error:
            yield Finding("failed", "stored data", str(error), "--data, or chown")
    yield _check_space(config, at)
    yield from _check_sync(at)


def _check_space(config: Config, folder: Path) -> Finding:
    free_bytes = shutil.disk_usage(folder).free
    least_bytes = max(FREE_BYTES_MIN, 2 * config.segment_bytes_max)
    detail = f"{free_bytes // MIB} MiB free"
    if free_bytes < least_bytes:
        detail += f", of {show_size(least_bytes)} that should be"
        return Finding("warning", "disk space", detail, "a larger disk; the log only grows so far")
    return Finding("ok", "disk space", detail)


def _check_sync(folder: Path) -> Iterator[Finding]:
    """Durable writes into a file of our own, which has no name from its first moment on."""
    path = folder / f".doctor-{os.getpid()}"
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            direct = _takes_direct(path)
        finally:
            path.unlink()
        try:
            took_ms = sorted(_sync_ms(file) for _ in range(_SYNCS_COUNT))
        finally:
            os.close(file)
    except OSError as error:
        yield Finding("failed", "durable writes", str(error), "another file system for --data")
        return
    median_ms = took_ms[_SYNCS_COUNT // 2]
    detail = f"{median_ms:.2f} ms for a small one (median of {_SYNCS_COUNT})"
    if median_ms > SYNC_MS_MAX:
        yield Finding("warning", "durable writes", detail, "a faster disk: every ack waits for one")
    else:
        yield Finding("ok", "durable writes", detail)
    if direct:
        yield Finding("ok", "direct writes", "the file system takes O_DIRECT")
    else:
        yield Finding("ok", "direct writes", "not here; writes pass through the page cache")


def _takes_direct(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY | getattr(os, "O_DIRECT", 0)))
    except OSError:
        return False
    return hasattr(os, "O_DIRECT")


def _sync_ms(file: int) -> float:
    begun_s = time.perf_counter()
    os.write(file, bytes(_SYNC_BYTES))
    getattr(os, "fdatasync", os.fsync)(file)
    return (time.perf_counter() - begun_s) * 1000


def check_limits(config: Config) -> Iterator[Finding]:
    """What the system lets one process have."""
    limit = raise_limit()
    shown = "no limit" if math.isinf(limit) else f"{limit:.0f}"
    detail = f"{shown} for {config.connections_max_count} connections"
    allowed = connections_allowed(limit)
    if allowed >= config.connections_max_count:
        yield Finding("ok", "file descriptors", detail)
    else:
        wanted = limit_needed(config.connections_max_count)
        remedy = f"`ulimit -Hn {wanted}`, or --connections-max-count {allowed:.0f}"
        yield Finding("warning", "file descriptors", detail, remedy)


def check_compiled() -> Finding:
    """Whether what takes most time is done by compiled code, or by the Python code beside it."""
    name, parts = "compiled help", {**parts_of_protocol(), **parts_of_wal_core()}
    missing = ", ".join(part for part, is_there in parts.items() if not is_there)
    if not missing:
        return Finding("ok", name, f"in use for {', '.join(parts)}")
    if os.environ.get(PURE_ENV):
        return Finding("ok", name, f"not used, because {PURE_ENV} is set")
    remedy = "install again where a C compiler and Python's headers are; all works without, slower"
    return Finding("warning", name, f"not built, or older than its source: {missing}", remedy)


def check_translated() -> Finding:
    """Whether the modules that every request passes through run as machine code."""
    name, count = "hot modules", finder.in_use()
    if count:
        return Finding("ok", name, f"{count} of them run as machine code")
    if os.environ.get(PURE_ENV):
        return Finding("ok", name, f"run as Python, because {PURE_ENV} is set")
    remedy = "`make translated` in a checkout, or a wheel made with this version of Python"
    return Finding("ok", name, f"run as Python; as machine code they would be faster: {remedy}")


def check_address(config: Config) -> Iterator[Finding]:
    """The address clients are told, as this machine sees it."""
    host, port = config.advertised(config.listen_port)
    shown = show_address(host, port)
    try:
        found = {str(row[4][0]) for row in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError as error:
        remedy = "--advertised with a name that clients can resolve"
        if config.advertised_host is None:
            remedy = f"--listen with an address of this machine, or {remedy}"
        yield Finding("failed", "advertised address", f"{shown}: {error}", remedy)
        return
    addresses = ", ".join(sorted(found))
    own = all(address.startswith(_LOOPBACK) for address in found)
    if own and config.listen_host.startswith((*_LOOPBACK, "localhost")):
        yield Finding("ok", "advertised address", f"{shown}, for clients on this machine only")
    elif own:
        detail = f"{shown} ({addresses}) leads every client to its own machine"
        remedy = "--advertised NAME:PORT, as other machines know this one"
        yield Finding("warning", "advertised address", detail, remedy)
    else:
        yield Finding("ok", "advertised address", f"{shown} ({addresses})")


def check_broker(bootstrap: tuple[str, int], timeout_ms: int) -> Iterator[Finding]:
    """A running broker, and whether the addresses it tells lead to it from here."""
    shown = show_address(*bootstrap)
    try:
        with KafkaClient(bootstrap, timeout_ms) as client:
            reply = client.request(METADATA, MetadataRequest(topics=[]))
    except ClientError as error:
        yield Finding("failed", "broker answers", str(error), error.remedy)
        return
    yield Finding("ok", "broker answers", shown)
    for row in reply.brokers:
        told = show_address(row.host, row.port)
        try:
            socket.create_connection((row.host, row.port), timeout_ms / 1000).close()
        except OSError as error:
            remedy = "restart it with --advertised and an address that leads to it from here"
            detail = f"clients are told {told}: {error.strerror or error}"
            yield Finding("failed", f"node {row.node_id} is reached", detail, remedy)
        else:
            yield Finding("ok", f"node {row.node_id} is reached", told)
