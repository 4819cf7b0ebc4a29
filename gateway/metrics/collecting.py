"""Reads every metric of the table from where it is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

from gateway.api import API_TABLE
from gateway.cluster.view import CATALOG_LOG_ID
from gateway.metrics.health import billed
from gateway.metrics.logstore_pages import logstore_samples
from gateway.metrics.table import Sample
from gateway.net.request_counts import NO_API
from protocol import ErrorCode

if TYPE_CHECKING:
    from gateway.broker.broker import Broker
    from gateway.groups import GroupCoordinators
    from gateway.logstores.hosted import HostedLogstore
    from gateway.metrics.health import Health
    from gateway.metrics.pauses import Pauses
    from gateway.net.hub import Hub
    from wal_core import Requests, SegmentStore


class Sources(NamedTuple):
    """What is looked at."""

    hub: Hub
    broker: Broker
    groups: GroupCoordinators
    store: SegmentStore
    health: Health
    pauses: Pauses
    logstore: HostedLogstore | None = None


def collect(sources: Sources) -> Iterator[Sample]:
    """Samples in groups of one metric's or few metrics'."""
    yield Sample("woodpecker_build_info", 1, (version("woodpecker-gateway"),))
    yield Sample("woodpecker_ready", not sources.health.problems())
    yield from _requests(sources)
    yield from _budgets(sources)
    yield from _cluster(sources)
    yield from _logs(sources)
    yield from _store(sources)
    if sources.logstore is not None:
        yield from logstore_samples(sources.logstore)
    yield Sample("woodpecker_loop_lag_seconds", sources.pauses.lag)
    for generation, pauses in enumerate(sources.pauses.collections):
        yield Sample("woodpecker_gc_pause_seconds", pauses, (str(generation),))


def _requests(sources: Sources) -> Iterator[Sample]:
    hub = sources.hub
    for key, counts in hub.counts.by_api.items():
        api = "none" if key == NO_API else API_TABLE[key].name
        yield Sample("woodpecker_request_seconds", counts.seconds, (api,))
        yield Sample("woodpecker_received_bytes_total", counts.request_bytes, (api,))
        yield Sample("woodpecker_sent_bytes_total", counts.reply_bytes, (api,))
        for code, count in counts.errors.items():
            labels = (api, ErrorCode(code).name)
            yield Sample("woodpecker_request_errors_total", count, labels)
    yield Sample("woodpecker_requests_in_flight", hub.in_flight_count)
    yield Sample("woodpecker_connections", len(hub.connections))
    yield Sample("woodpecker_connections_limit", hub.connections_max_count)
    yield Sample("woodpecker_connections_opened_total", hub.counts.connections_opened)
    yield Sample("woodpecker_connections_refused_total", hub.counts.connections_refused)


def _budgets(sources: Sources) -> Iterator[Sample]:
    hub, groups, memory = sources.hub, sources.groups, sources.broker.producer_memory
    sessions = hub.services.fetch_sessions
    pairs = {
        "requests": (hub.budget.used_bytes, hub.budget.limit_bytes),
        "replies": (hub.replies.used_bytes, hub.replies.limit_bytes),
        "producers": (memory.used_bytes, memory.bytes_max),
        "groups": (groups.budget.used_bytes, groups.budget.bytes_max),
        "offsets": (groups.offsets_budget.used_bytes, groups.offsets_budget.bytes_max),
        "fetch_sessions": (sessions.used_bytes, sessions.bytes_max),
    }
    shared = sources.broker.logs.budgets
    if shared is not None:
        pairs |= {
            "tail": (shared.tails.bytes_count, shared.tails.bytes_max),
            "block_cache": (shared.blocks.bytes_count, shared.blocks.bytes_max),
            "table_cache": (shared.tables.bytes_count, shared.tables.bytes_max),
            "catch_up": (shared.catch_up.taken_bytes, shared.catch_up.bytes_max),
            "unconfirmed": (shared.unconfirmed.bytes_count, shared.unconfirmed.bytes_max),
        }
    for budget, (used_bytes, limit_bytes) in pairs.items():
        yield Sample("woodpecker_budget_used_bytes", used_bytes, (budget,))
        yield Sample("woodpecker_budget_limit_bytes", limit_bytes, (budget,))


def _cluster(sources: Sources) -> Iterator[Sample]:
    broker, view = sources.broker, sources.broker.cluster
    yield Sample("woodpecker_nodes", len(view.nodes))
    log_ids = {CATALOG_LOG_ID, *broker.topics.log_ids()}
    yield Sample(
        "woodpecker_logs_without_owner", sum(view.owner(log_id) is None for log_id in log_ids)
    )
    yield Sample("woodpecker_logs_opened_total", broker.logs.opened_count)
    yield Sample("woodpecker_logs_lost_total", broker.logs.lost_count)
    yield Sample("woodpecker_catalog_read_ago_seconds", broker.catalog.read_ago_s)


def _logs(sources: Sources) -> Iterator[Sample]:
    broker = sources.broker
    topics = list(broker.topics)
    yield Sample("woodpecker_topics", len(topics))
    yield Sample("woodpecker_partitions", sum(len(topic.partitions) for topic in topics))
    found = dict.fromkeys(("tail", "block_cache", "table_cache"), 0)
    missed = dict(found)
    if broker.catalog.is_open:  # else another node has it, or the process ends
        yield Sample("woodpecker_log_serving", 1, (str(CATALOG_LOG_ID),))
    for owned in broker.logs:
        yield Sample("woodpecker_log_serving", owned.is_serving, (str(owned.log_id),))
    for log_id, log in broker.logs.opened():
        tally, labels = log.tally(), (str(log_id),)
        yield Sample("woodpecker_log_term", log.term, labels)
        yield Sample("woodpecker_log_segments", tally.segments_count, labels)
        yield Sample("woodpecker_log_waiting_seconds", tally.waiting_s, labels)
        yield Sample("woodpecker_upload_lag_seconds", tally.upload_lag_s, labels)
        yield Sample("woodpecker_upload_lag_bytes", tally.upload_lag_bytes, labels)
        yield Sample("woodpecker_log_logstores_away", tally.logstores_away_count, labels)
        yield Sample("woodpecker_flushes_in_flight", tally.in_flight_count, labels)
        yield Sample("woodpecker_flush_seconds", tally.flushed.seconds, labels)
        yield Sample("woodpecker_flush_bytes", tally.flushed.sizes, labels)
        reads = (tally.tail_reads, tally.block_reads, tally.table_reads)
        for cache, counted in zip(found, reads, strict=True):
            found[cache] += counted.found_count
            missed[cache] += counted.missed_count
    for cache, count in found.items():
        yield Sample("woodpecker_cache_found_total", count, (cache,))
        yield Sample("woodpecker_cache_missed_total", missed[cache], (cache,))


def _store(sources: Sources) -> Iterator[Sample]:
    tally, health = sources.store.tally, sources.health
    yield Sample("woodpecker_sync_seconds", tally.syncs.seconds)
    yield Sample("woodpecker_sync_bytes", tally.syncs.sizes)
    kinds: dict[str, Requests] = {
        "put": tally.put,
        "get": tally.get,
        "list": tally.list,
        "delete": tally.delete,
    }
    for kind, requests in kinds.items():
        yield Sample("woodpecker_store_request_seconds", requests.seconds, (kind,))
        yield Sample("woodpecker_store_requests_total", requests.count, (kind,))
        yield Sample("woodpecker_store_failures_total", requests.failed_count, (kind,))
        yield Sample("woodpecker_store_bytes_total", requests.bytes_count, (kind,))
        yield Sample("woodpecker_store_in_flight", requests.in_flight_count, (kind,))
    yield Sample("woodpecker_objects_created_total", tally.created_count)
    yield Sample("woodpecker_objects_deleted_total", tally.deleted_count)
    bill = health.bill.per_month(asyncio.get_running_loop().time(), billed(tally))
    for kind, cost in bill.items():
        yield Sample("woodpecker_store_bill_per_month", cost, (kind,))
    yield Sample("woodpecker_store_answered_ago_seconds", health.answered_ago_s)
