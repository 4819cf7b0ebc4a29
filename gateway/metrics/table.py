"""The table of metrics: name, kind, labels, and what each says.

What is shown is in here, and docs/monitoring.md lists the same (a test compares them). No label has
more values than there are APIs, error codes, logs or rows below it: none names a topic, a group or
a client.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from wal_core import Histogram

Kind = Literal["counter", "gauge", "histogram"]


class Sample(NamedTuple):
    """One value of a metric, or of a histogram all of it."""

    name: str
    value: float | Histogram
    labels: tuple[str, ...] = ()


class Metric(NamedTuple):
    """A row. A counter's name ends in _total."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


_ROWS = (
    Metric("woodpecker_build_info", "gauge", "Always 1; the version of the gateway", ("version",)),
    Metric(
        "woodpecker_request_seconds",
        "histogram",
        "Requests, from their last byte to their reply; a fetch waits for records in it",
        ("api",),
    ),
    Metric(
        "woodpecker_request_errors_total",
        "counter",
        "Error codes in replies, one for each partition, topic or group that has one",
        ("api", "code"),
    ),
    Metric("woodpecker_received_bytes_total", "counter", "Bytes of requests", ("api",)),
    Metric("woodpecker_sent_bytes_total", "counter", "Bytes of replies", ("api",)),
    Metric("woodpecker_requests_in_flight", "gauge", "Requests under way, parked ones included"),
    Metric("woodpecker_connections", "gauge", "Open connections"),
    Metric("woodpecker_connections_limit", "gauge", "Most connections"),
    Metric("woodpecker_connections_opened_total", "counter", "Connections that were accepted"),
    Metric("woodpecker_connections_refused_total", "counter", "Connections beyond the most"),
    Metric(
        "woodpecker_budget_used_bytes",
        "gauge",
        "What is taken of each budget of memory",
        ("budget",),
    ),
    Metric("woodpecker_budget_limit_bytes", "gauge", "How much each of them is", ("budget",)),
    Metric(
        "woodpecker_cache_found_total",
        "counter",
        "Reads that found in memory what they looked for",
        ("cache",),
    ),
    Metric("woodpecker_cache_missed_total", "counter", "Reads that did not", ("cache",)),
    Metric("woodpecker_topics", "gauge", "Topics"),
    Metric("woodpecker_partitions", "gauge", "Partitions of all topics"),
    Metric("woodpecker_nodes", "gauge", "Brokers that are alive, as this one sees it"),
    Metric(
        "woodpecker_logs_without_owner",
        "gauge",
        "Logs with partitions, and the catalog, that nobody alive is known to serve",
    ),
    Metric(
        "woodpecker_logs_opened_total",
        "counter",
        "Logs that this process has opened, at its start or taking over",
    ),
    Metric("woodpecker_logs_lost_total", "counter", "Logs that it had to step down from"),
    Metric(
        "woodpecker_catalog_read_ago_seconds",
        "gauge",
        "How old it may be what this broker knows of topics; 0 at the controller",
    ),
    Metric("woodpecker_log_serving", "gauge", "1: this process owns the log; 0: lost", ("log",)),
    Metric("woodpecker_log_term", "gauge", "The term in which it owns it", ("log",)),
    Metric("woodpecker_log_segments", "gauge", "Segments of the log", ("log",)),
    Metric(
        "woodpecker_log_waiting_seconds",
        "gauge",
        "How long the oldest record that is not durable yet has waited",
        ("log",),
    ),
    Metric(
        "woodpecker_upload_lag_seconds",
        "gauge",
        "Mode quorum: how old the oldest record is that the bucket does not have; 0: it has all",
        ("log",),
    ),
    Metric(
        "woodpecker_upload_lag_bytes",
        "gauge",
        "Mode quorum: bytes on logstores that the bucket does not have",
        ("log",),
    ),
    Metric(
        "woodpecker_log_logstores_away",
        "gauge",
        "Mode quorum: logstores that do not answer, of those that keep the end of the log",
        ("log",),
    ),
    Metric("woodpecker_flushes_in_flight", "gauge", "Blocks under way to the store", ("log",)),
    Metric(
        "woodpecker_flush_seconds",
        "histogram",
        "Blocks, from their first record until they were durable",
        ("log",),
    ),
    Metric("woodpecker_flush_bytes", "histogram", "Sizes of these blocks", ("log",)),
    Metric("woodpecker_sync_seconds", "histogram", "Mode file: writing and syncing a group"),
    Metric("woodpecker_sync_bytes", "histogram", "Mode file: sizes of these groups"),
    Metric(
        "woodpecker_store_request_seconds",
        "histogram",
        "Mode object: requests to the store that were answered",
        ("kind",),
    ),
    Metric(
        "woodpecker_store_requests_total",
        "counter",
        "Mode object: requests as they are billed",
        ("kind",),
    ),
    Metric(
        "woodpecker_store_failures_total",
        "counter",
        "Mode object: requests that failed or had no answer in time; they are repeated",
        ("kind",),
    ),
    Metric("woodpecker_store_bytes_total", "counter", "Mode object: bytes moved", ("kind",)),
    Metric("woodpecker_store_in_flight", "gauge", "Mode object: requests under way", ("kind",)),
    Metric("woodpecker_objects_created_total", "counter", "Mode object: objects written"),
    Metric("woodpecker_objects_deleted_total", "counter", "Mode object: objects deleted"),
    Metric("woodpecker_logstore_held_bytes", "gauge", "Logstore: blocks that are not uploaded yet"),
    Metric("woodpecker_logstore_limit_bytes", "gauge", "Logstore: most of them"),
    Metric("woodpecker_logstore_full", "gauge", "Logstore: 1 while it takes no more blocks"),
    Metric("woodpecker_logstore_logs", "gauge", "Logstore: logs that it keeps"),
    Metric(
        "woodpecker_logstore_logs_damaged",
        "gauge",
        "Logstore: logs whose promise or blocks were damaged at its start; it is silent about them",
    ),
    Metric(
        "woodpecker_logstore_blocks_damaged",
        "gauge",
        "Logstore: blocks that cannot be read any more, as found since its start",
    ),
    Metric(
        "woodpecker_logstore_scrubbed_bytes_total",
        "counter",
        "Logstore: read in search of such",
    ),
    Metric("woodpecker_logstore_connections", "gauge", "Logstore: open connections"),
    Metric(
        "woodpecker_logstore_connections_refused_total",
        "counter",
        "Logstore: connections beyond the most",
    ),
    Metric(
        "woodpecker_logstore_in_flight_bytes",
        "gauge",
        "Logstore: questions that were read and are not answered",
    ),
    Metric(
        "woodpecker_logstore_sync_seconds",
        "histogram",
        "Logstore: writing and syncing a group of blocks",
    ),
    Metric("woodpecker_logstore_sync_bytes", "histogram", "Logstore: sizes of these groups"),
    Metric(
        "woodpecker_store_bill_per_month",
        "gauge",
        "What requests as of the last hour cost in 30 days, at the prices that are set",
        ("kind",),
    ),
    Metric("woodpecker_store_answered_ago_seconds", "gauge", "Since the store last answered"),
    Metric("woodpecker_ready", "gauge", "1: /readyz says that the gateway is ready"),
    Metric(
        "woodpecker_loop_lag_seconds",
        "histogram",
        "How much later than due the event loop came to a timer, four times a second",
    ),
    Metric(
        "woodpecker_gc_pause_seconds",
        "histogram",
        "Pauses of Python's garbage collector",
        ("generation",),
    ),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _ROWS}
