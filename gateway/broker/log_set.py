"""All logs of a process: the catalog and the data logs.

A gateway by itself opens them together and loses them one by one: a data log that has to step down
is let go of, and the others serve on. When it was the last of them, or the catalog, the process can
serve nothing and ends.

A node of a cluster opens and releases single logs while it runs. One that it loses, even the last
of them, is told of and let go of, and the node goes on: it may be given others.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from gateway.broker.assurance import Assurance
from gateway.broker.topics import FIRST_DATA_LOG_ID
from gateway.cluster.view import CATALOG_LOG_ID
from gateway.observe.logger import log_event
from wal_core import Budgets, Fenced, WalError

if TYPE_CHECKING:
    from gateway.broker.catalog import Catalog
    from gateway.broker.owned_log import OwnedLog
    from wal_core import Log, LogConfig, SegmentStore

logger = logging.getLogger(__name__)


class Closing(Protocol):
    async def close(self) -> None: ...


class _Ground(NamedTuple):
    """What logs are opened on."""

    store: SegmentStore
    config: LogConfig
    new_log: Callable[[int], OwnedLog]
    budgets: Budgets


class LogSet:
    """`open`, `watch` once all is in order, `close`; or `prepare`, then `open_one` and `release` as
    often as need be, `close`. Iterates over the data logs."""

    def __init__(self, catalog: Catalog, count: int) -> None:
        self._catalog = catalog
        self.for_new = range(FIRST_DATA_LOG_ID, FIRST_DATA_LOG_ID + count)
        """Data logs that new partitions are spread over. Data may lie on more."""
        self._by_id: dict[int, OwnedLog] = {}
        self._losing: set[asyncio.Task[None]] = set()
        self.opened_count = 0
        """Since the process began: at its start, or taken over."""
        self.lost_count = 0
        """Those that it had to step down from."""
        self._failure: asyncio.Future[None] | None = None
        self._closing = False
        self._ground: _Ground | None = None
        self._when_lost: Callable[[int, BaseException], None] | None = None
        self.assurance = Assurance(self._check_served)

    def spread_over(self, count: int) -> None:
        """New partitions lie on so many data logs from now on, if those are more than before."""
        if count > len(self.for_new):
            self.for_new = range(FIRST_DATA_LOG_ID, FIRST_DATA_LOG_ID + count)

    def __iter__(self) -> Iterator[OwnedLog]:
        """Those that were lost included."""
        return iter(self._by_id.values())

    def get(self, log_id: int) -> OwnedLog | None:
        return self._by_id.get(log_id)

    def __getitem__(self, log_id: int) -> OwnedLog:
        return self._by_id[log_id]

    def opened(self) -> Iterator[tuple[int, Log]]:
        """The catalog and the data logs once all are open, also those that were lost since."""
        if self._catalog.is_open:
            yield CATALOG_LOG_ID, self._catalog.log
        for owned in self._by_id.values():
            if owned.was_opened:
                yield owned.log_id, owned.log

    def term_of(self, log_id: int) -> int | None:
        """The term under which a log is served here; None for one that is not."""
        if log_id == CATALOG_LOG_ID:
            return self._catalog.log.term if self._catalog.is_open else None
        owned = self._by_id.get(log_id)
        return owned.log.term if owned is not None and owned.is_serving else None

    def serving(self) -> list[OwnedLog]:
        """The data logs that are served here."""
        return [owned for owned in self._by_id.values() if owned.is_serving]

    @property
    def budgets(self) -> Budgets | None:
        """Of the data logs; None before any is opened."""
        return None if self._ground is None else self._ground.budgets

    def prepare(
        self,
        store: SegmentStore,
        config: LogConfig,
        new_log: Callable[[int], OwnedLog],
        when_lost: Callable[[int, BaseException], None],
    ) -> None:
        """Logs are opened one by one from now on; `when_lost` is told of one that has to step down,
        once it is let go of."""
        self._ground = _Ground(store, config, new_log, Budgets(config))
        self._when_lost = when_lost
        self._failure = asyncio.get_running_loop().create_future()  # of nobody: see `failed`

    async def open_one(self, log_id: int) -> OwnedLog | None:
        """Take over one log, and recover it; None: that was the catalog. Raises WalError."""
        ground = self._ground
        assert ground is not None, "nothing is prepared"
        assert self.term_of(log_id) is None, f"log {log_id} is open"
        if log_id == CATALOG_LOG_ID:
            await self._catalog.open(ground.store, catalog_config(ground.config))
            self._catalog.log.failed.add_done_callback(self._catalog_lost)
            self.opened_count += 1
            return None
        owned = ground.new_log(log_id)
        try:
            await owned.open(ground.store, _config_of(ground.config, log_id), ground.budgets)
        except BaseException:
            await owned.lose()
            raise
        self._by_id[log_id] = owned
        owned.log.failed.add_done_callback(partial(self._lost, owned))
        self.opened_count += 1
        return owned

    async def release(self, log_id: int) -> None:
        """Take nothing more, confirm what was taken, complete the segment, let the next one in."""
        if log_id == CATALOG_LOG_ID:
            releasing = self._begin_losing(_closed(log_id, self._catalog))
        elif (owned := self._by_id.get(log_id)) is not None and not owned.is_lost:
            releasing = self._begin_losing(owned.lose())
            releasing.add_done_callback(lambda _: self._forget(owned))
        else:
            return
        # What is begun is ended: who is cancelled here leaves the rest to `close`.
        await asyncio.shield(releasing)

    async def check(self, log_id: int) -> None:
        """See whether another process has taken a log; if so, it is lost. Raises Fenced then."""
        log = dict(self.opened()).get(log_id)
        if log is not None:
            await log.check_owner()

    async def _check_served(self) -> None:
        await asyncio.gather(*map(self._check_one, self.serving()))

    async def _check_one(self, owned: OwnedLog) -> None:
        try:
            await owned.log.check_owner()
        except Fenced:
            await owned.until_lost()  # which is seen to: see `_lost`

    def _forget(self, owned: OwnedLog) -> None:
        if self._by_id.get(owned.log_id) is owned:
            del self._by_id[owned.log_id]

    async def open(
        self, store: SegmentStore, config: LogConfig, new_log: Callable[[int], OwnedLog]
    ) -> None:
        """Recover all, or none and raise the first error.

        The catalog first: of two who start together, who comes too late for it must not take a data
        log from the other, and so asks before each whether it still has the catalog. Then the
        others at once, for each takes some round trips. Who has the catalog then has the last word
        on all of them.
        """
        budgets = Budgets(config)
        self._ground = _Ground(store, config, new_log, budgets)

        async def open_one(log_id: int) -> None:
            if (before := self._by_id.get(log_id)) is not None:
                await before.lose()
            owned = self._by_id[log_id] = new_log(log_id)
            # That another has taken it or the catalog meanwhile, `_taken` tells.
            with contextlib.suppress(Fenced):
                await owned.open(
                    store,
                    _config_of(config, log_id),
                    budgets,
                    may_take=self._catalog.log.check_owner,
                )

        try:
            await self._catalog.open(store, catalog_config(config))
            missing = [
                *self.for_new,
                *sorted(self._catalog.topics.log_ids().difference(self.for_new)),
            ]
            while missing:
                await all_or_none(map(open_one, missing))
                missing = await self._taken()
        except (Exception, asyncio.CancelledError):
            await self.close()
            raise

    async def _taken(self) -> list[int]:
        """The data logs that another opener has taken from us since: it was too late for the
        catalog, and finds that out here, as we do. Raises Fenced if that is us."""
        checks = (_is_ours(owned) for owned in self)
        ours = await asyncio.gather(*checks)
        try:
            await self._catalog.log.check_owner()
        except Fenced:
            raise Fenced("another broker took the catalog over while this one started") from None
        return [owned.log_id for owned, is_ours in zip(self, ours, strict=True) if not is_ours]

    def watch(self) -> None:
        """See to it that a log that has to step down is let go of."""
        self._failure = asyncio.get_running_loop().create_future()
        self._catalog.log.failed.add_done_callback(self._catalog_lost)
        for owned in self._by_id.values():
            owned.log.failed.add_done_callback(partial(self._lost, owned))
        self.opened_count += 1 + len(self._by_id)

    def _catalog_lost(self, done: asyncio.Future[None]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is None or self._closing:
            return
        if self._when_lost is None:
            self._fail(error)
        else:
            self._let_go(CATALOG_LOG_ID, error, self._lose_catalog(error))

    def _lost(self, owned: OwnedLog, done: asyncio.Future[None]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is None or self._closing:
            return
        # Not who is still served: several may fail in one turn of the loop.
        if self._when_lost is None and all(other.log.failed.done() for other in self):
            self._fail(error)
            return
        self._let_go(owned.log_id, error, self._lose(owned, error))

    def _let_go(self, log_id: int, error: BaseException, losing: Coroutine[Any, Any, None]) -> None:
        known: dict[str, Any] = {}
        if self._when_lost is None:
            known["remedy"] = "restart this broker to serve it again, unless another is to have it"
        self.lost_count += 1
        log_event(logger, logging.ERROR, "log lost", log=log_id, reason=error, **known)
        self._begin_losing(losing)

    def _begin_losing(self, losing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(losing, name="losing a log")
        self._losing.add(task)
        task.add_done_callback(self._losing.discard)
        return task

    async def _lose(self, owned: OwnedLog, error: BaseException) -> None:
        await owned.lose()
        if self._when_lost is not None:
            self._forget(owned)
            self._when_lost(owned.log_id, error)

    async def _lose_catalog(self, error: BaseException) -> None:
        await _closed(CATALOG_LOG_ID, self._catalog)
        if self._when_lost is not None:
            self._when_lost(CATALOG_LOG_ID, error)

    def _fail(self, error: BaseException) -> None:
        assert self._failure is not None
        if not self._failure.done():
            self._failure.set_exception(error)
            self._failure.exception()  # seen: not everybody asks

    async def failed(self) -> None:
        """Returns never; raises WalError once the process can serve nothing any more."""
        assert self._failure is not None, "the logs are not open"
        await asyncio.shield(self._failure)

    async def close(self) -> None:
        """Confirm what is pending and release all of them; raises the first error."""
        self._closing = True
        if self._losing:
            await asyncio.wait(self._losing)
        mine: list[Closing] = [owned for owned in self._by_id.values() if not owned.is_lost]
        outcomes = await asyncio.gather(
            *(log.close() for log in (*mine, self._catalog)), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome


def catalog_config(config: LogConfig) -> LogConfig:
    """The catalog is written rarely and read at starts alone: it keeps nothing at hand, and takes
    no part in what data logs share."""
    return dataclasses.replace(
        config, log_id=CATALOG_LOG_ID, tail_bytes_max=0, block_cache_bytes_max=0
    )


def _config_of(config: LogConfig, log_id: int) -> LogConfig:
    return dataclasses.replace(config, log_id=log_id)


async def _closed(log_id: int, log: Closing) -> None:
    """However that ends, it is not ours any more."""
    try:
        await log.close()
    except WalError as error:
        log_event(logger, logging.WARNING, "log not closed", log=log_id, reason=error)


async def _is_ours(owned: OwnedLog) -> bool:
    if not owned.is_serving:
        return False
    try:
        await owned.log.check_owner()
    except Fenced:
        return False
    return True


async def all_or_none(openings: Iterable[Coroutine[None, None, None]]) -> None:
    """Run all at once. When one fails the others are given up, and the first error, in their
    order, is raised: whoever called closes what is open."""
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(opening) for opening in openings]
    if not tasks:
        return
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
