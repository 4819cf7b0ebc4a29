"""What `doctor` looks at in etcd: each member by itself, and whether a broker may write there."""

import asyncio
import dataclasses
import os
import time
from collections.abc import Iterator

from gateway.cli.checks import Finding
from gateway.cluster.coordination.base import (
    CALL_S_MAX,
    CoordinationError,
    CoordinationStore,
    Put,
    Refused,
)
from gateway.cluster.coordination.opening import open_store
from gateway.cluster.coordination.records import logstores_root
from gateway.settings.config import Config, ConfigError

SLOW_MS = 500.0
"""A node has a few seconds to renew its lease."""
LOGSTORES_MIN_COUNT = 3
_LEASE_S = 30


def check_etcd(config: Config, *, call_s_max: float = CALL_S_MAX) -> Iterator[Finding]:
    """Whether nodes can find each other there."""
    try:
        yield from asyncio.run(_examine(config, call_s_max))
    except ConfigError as error:
        yield Finding("failed", "etcd", str(error), "`woodpecker-gateway serve --help-all`")


async def _examine(config: Config, call_s_max: float) -> list[Finding]:
    assert config.etcd is not None
    findings: list[Finding] = []
    ids: set[int] = set()
    urls = config.etcd.split(",")
    for url in urls:
        store = open_store(dataclasses.replace(config, etcd=url), call_s_max=call_s_max)
        try:
            store_id = (await store.read(f"{config.etcd_prefix}/")).store_id
            begun_s = time.perf_counter()
            await store.read(f"{config.etcd_prefix}/")  # connected by now
            took_ms = (time.perf_counter() - begun_s) * 1000
        except CoordinationError as error:
            findings.append(_lost(url, error, alone=len(urls) == 1))
        else:
            ids.add(store_id)
            findings.append(_there(url, took_ms))
        finally:
            await store.close()
    if len(ids) > 1:
        detail = f"the members belong to {len(ids)} different clusters"
        findings.append(Finding("failed", "one etcd", detail, "--etcd with members of one only"))
    if ids:
        findings.append(await _check_rights(config))
    if ids and config.mode == "quorum":
        findings.append(await _check_logstores(config))
    return findings


def _there(url: str, took_ms: float) -> Finding:
    name, detail = f"etcd at {url}", f"{took_ms:.1f} ms a read"
    if took_ms > SLOW_MS:
        return Finding("warning", name, detail, "etcd nearer to the brokers, on a faster disk")
    return Finding("ok", name, detail)


def _lost(url: str, error: CoordinationError, *, alone: bool) -> Finding:
    name = f"etcd at {url}"
    if isinstance(error, Refused):
        remedy = "--etcd-user and --etcd-password-file; the roles that user has in etcd"
        return Finding("failed", name, str(error), remedy)
    remedy = "whether it runs and can be reached; --etcd, --etcd-ca-file"
    return Finding("failed" if alone else "warning", name, str(error), remedy)


async def _check_rights(config: Config) -> Finding:
    """A key under a lease, made and gone again."""
    name = "rights in etcd"
    prefix = config.etcd_prefix
    store = open_store(config)
    try:
        await _write_under_lease(store, f"{prefix}/doctor/{os.getpid()}")
    except CoordinationError as error:
        remedy = f"a role in etcd with readwrite on the prefix {prefix}/"
        return Finding("failed", name, str(error), remedy)
    finally:
        await store.close()
    return Finding("ok", name, f"keys below {prefix}/ can be written")


async def _check_logstores(config: Config) -> Finding:
    """So many that a log can be kept."""
    name = "logstores"
    store = open_store(config)
    try:
        keys = (await store.read(f"{logstores_root(config.etcd_prefix)}logstores/")).keys
    except CoordinationError as error:
        return Finding("failed", name, str(error), "--etcd")
    finally:
        await store.close()
    detail = f"{len(keys)} are registered"
    if len(keys) < LOGSTORES_MIN_COUNT:
        detail += f", a log takes {LOGSTORES_MIN_COUNT}: a broker that starts waits for them"
        remedy = "`woodpecker-gateway logstore --help`, or serve with --logstore-data"
        return Finding("warning", name, detail, remedy)
    return Finding("ok", name, detail)


async def _write_under_lease(store: CoordinationStore, key: str) -> None:
    lease = await store.grant(_LEASE_S)
    try:
        await store.transact([], [Put(key, b"", lease)])
    finally:
        await store.revoke(lease)
