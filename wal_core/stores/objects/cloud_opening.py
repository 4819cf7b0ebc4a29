"""Opening a bucket: probed before anything is built on it, with as much patience as it deserves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from wal_core.clock import Clock, Rng
from wal_core.config import CloudSettings, LogConfig
from wal_core.errors import Unavailable, WalError
from wal_core.stores.objects.base import ObjectStore
from wal_core.stores.objects.cloud import CloudStore, open_cloud
from wal_core.stores.objects.probe import Check, demand_trust, probe
from wal_core.stores.persistence import Persistence

SILENCE_S_MAX = 30

_logger = logging.getLogger(__name__)


async def examine(location: str, settings: CloudSettings, *, clock: Clock, rng: Rng) -> list[Check]:
    """The probe's findings about a bucket, asked once. Raises Invalid, Unavailable."""
    store = open_cloud(location, settings)
    try:
        return await probe(store, clock=clock, rng=rng)
    finally:
        await store.close()


async def open_trusted(
    location: str,
    settings: CloudSettings,
    finish: Callable[[ObjectStore], Awaitable[None]],
    *,
    clock: Clock,
    rng: Rng,
) -> CloudStore:
    """The bucket, once it passed the probe and `finish` has done what else an opening takes.

    Both are repeated together when the store does not answer. Raises Invalid.
    """
    store = open_cloud(location, settings)

    async def prepare() -> None:
        for check in await demand_trust(store, clock=clock, rng=rng):
            if not check.passed:
                _logger.warning("%s: %s", store.where, check.problem)
        await finish(store)

    try:
        await _patiently(store, Persistence(LogConfig.preset("object"), rng), prepare)
    except BaseException:
        await store.close()
        raise
    store.in_service = True
    return store


async def _patiently(
    store: CloudStore, persist: Persistence, action: Callable[[], Awaitable[None]]
) -> None:
    """Repeat an action. A store that never says a word is given up soon: most likely its address
    is wrong. One that is overloaded or ill is waited for, however long it takes.
    """
    problem = "no answer"

    async def attempt() -> None:
        nonlocal problem
        try:
            await action()
        except WalError as error:
            problem = error.message
            raise

    work = asyncio.ensure_future(persist(attempt))
    try:
        await asyncio.wait({work}, timeout=SILENCE_S_MAX)
        if not work.done() and not store.answered:
            raise Unavailable(f"{problem} (gave up after {SILENCE_S_MAX} s)")
        await work
    finally:
        work.cancel()
        await asyncio.wait({work})
