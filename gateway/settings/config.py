"""Every setting of one gateway process, with its default and what a larger value costs.

Rules: `Config` is the one place for defaults, gateway.settings.options for how each setting is
written and its range. A Config that exists is valid: it checks itself when it is made. Every
refusal is a ConfigError that names the key, what was given, what was expected and where it
came from. Does not know: where settings come from (gateway.settings.load), nor what they do.
Kafka's dotted names (max.message.bytes) belong to gateway/api.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from gateway.settings.options import OPTIONS
from gateway.settings.values import BUCKETS, MEMORY, PORT_MAX, Option, parse_address

KIB = 1024
MIB = 1024 * KIB

LATE_READ_BYTES_MAX = 4096
"""Read of each connection, once all together have reached their limit."""

Mode = Literal["file", "object", "quorum"]
_MODE_BY_DATA = cast("Mode", "auto")  # never seen outside: Config replaces it when it is made
_WILDCARDS = frozenset({"0.0.0.0", "::", "*"})  # noqa: S104 - named here in order to be refused


class ConfigError(Exception):
    """A setting that cannot be used. The text is for the person who made it."""

    def __init__(self, key: str, given: object, expected: str, source: str = "code") -> None:
        self.key = key
        self.given = given
        self.expected = expected
        self.source = source
        shown = "" if given is None else f" is {given!r}"
        super().__init__(f"{key}{shown} (from {source}), expected {expected}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting. Sizes in bytes, durations in milliseconds; ranges stand in OPTIONS."""

    listen_host: str = "127.0.0.1"
    listen_port: int = 9092  # 0: the system chooses; the start-up log says which
    # What Metadata tells clients to connect to. None: the same as the listening address.
    advertised_host: str | None = None
    advertised_port: int | None = None

    data: str = "./data"  # a folder, "memory:", or a bucket: "s3://bucket/prefix"
    mode: Mode = _MODE_BY_DATA  # after construction: file for a folder, else object; never quorum
    node_id: int = 1

    # How to reach a bucket; empty: the environment says it. Keys never stand among the settings.
    s3_endpoint: str = ""
    s3_region: str = ""
    s3_path_style: bool = True
    gs_endpoint: str = ""
    az_endpoint: str = ""
    az_account: str = ""
    flush_preset: Literal["latency", "cost"] = "latency"  # buckets: what writes may cost
    writes_per_s_max_count: int = 0  # 0: by flush_preset in a bucket, else no limit

    auto_create_topics: bool = True
    default_partitions_count: int = 1
    logs_count: int = 1  # of data logs that the partitions of new topics are spread over
    partitions_max_count: int = 10_000  # all topics together; each costs about 2 KB of memory
    # Of idempotent producers, each in each partition: about 220 bytes. Once it is full a producer
    # that is new in a partition is refused; none is forgotten before its time.
    producer_state_bytes_max: int = 64 * MIB
    producer_id_expiration_ms: int = 86_400_000  # Kafka's producer.id.expiration.ms

    # 10 MiB of records, Milvus's largest, and room for the batch around them.
    message_bytes_max: int = 10 * MIB + 64 * KIB
    # Of one batch. Clients fill batches up to 1 MiB by default, before or after compression, and
    # few data shrink sixtyfold. One batch beyond 4 MiB is open at a time.
    decompressed_bytes_max: int = 64 * MIB
    request_bytes_max: int = 100 * MIB  # Kafka's socket.request.max.bytes
    # Kafka's fetch.max.bytes; keeps replies under client limits of 100 MB.
    fetch_bytes_max: int = 55 * MIB
    fetch_sessions_max_count: int = 1_000  # Kafka's max.incremental.fetch.session.cache.slots
    # Of all sessions together: about 400 bytes a partition. Who finds no room reads without one.
    fetch_sessions_bytes_max: int = 32 * MIB
    connections_max_count: int = 10_000
    connections_max_idle_ms: int = 600_000  # Kafka's connections.max.idle.ms; 0: never closed
    # Read but not yet answered, per connection.
    connection_requests_in_flight_max_count: int = 1_000
    # Past it the connection is not read: the sender waits.
    connection_buffered_bytes_max: int = 128 * MIB
    # The same over all connections; bounds the memory of a burst.
    buffered_bytes_max: int = 512 * MIB
    # Replies on their way to clients, over all connections; larger: more who read slowly, or not at
    # all, before others get smaller replies.
    reply_bytes_max: int = 256 * MIB

    tail_cache_bytes: int = 64 * MIB  # newest data, shared by all consumers that keep up
    block_cache_bytes: int = 64 * MIB  # older data, shared by consumers that catch up
    segment_bytes_max: int = 256 * MIB  # larger: fewer files, but a longer replay after a crash
    block_bytes_max: int | None = None  # None: by mode, as wal_core.LogConfig.preset has it
    # Object mode: how long a block may wait for company while others are in flight.
    gather_ms: int = 5
    flushes_in_flight_max_count: int | None = None  # None: likewise
    # One attempt of one store operation; a failed one is tried again.
    store_timeout_ms: int = 10_000

    # Kafka waits 3 s, which every first start of a consumer then costs. A fifth of a second still
    # catches members that start together; one that comes later costs an ordinary rebalance.
    group_initial_rebalance_delay_ms: int = 200
    group_session_timeout_min_ms: int = 6_000
    group_session_timeout_max_ms: int = 1_800_000
    groups_max_count: int = 100_000
    group_members_max_count: int = 5_000
    group_id_bytes_max: int = 1_024  # every committed offset repeats it
    group_member_bytes_max: int = MIB
    group_state_bytes_max: int = 128 * MIB  # a member of a usual consumer takes about 2 KB
    group_offsets_bytes_max: int = 16 * MIB  # what one reply to OffsetFetch may have to hold
    offsets_bytes_max: int = 256 * MIB
    offset_metadata_bytes_max: int = 4_096
    offsets_retention_ms: int = 7 * 86_400_000
    # Fixed once data exist: a group's home is hash(group) % this. Kafka's default.
    offsets_partitions_count: int = 50

    # A bucket has room. Clients may add records while so much is left on a folder's disk: for
    # metadata, compaction and the ends of segments, which go on.
    disk_free_bytes_min: int = 128 * MIB
    # Set aside in a file, and given up once others have filled the disk: room for deletions.
    disk_reserve_bytes: int = 32 * MIB

    # How often records are looked for that retention.ms and retention.bytes no longer keep. Kafka's
    # log.retention.check.interval.ms.
    retention_check_interval_ms: int = 300_000
    # Mode quorum. Larger: fewer and larger objects, and more to lose with two of three logstores.
    upload_after_ms: int = 10_000
    garbage_grace_ms: int = 600_000  # longer than any read takes that began before
    # Longer than any process is paused: for as long it cannot write into a log that others took.
    fence_grace_ms: int = 7 * 86_400_000
    dead_check_ms: int = 60_000  # smaller: space comes back sooner, for more reading of tables

    # Of a cluster, and how to reach it. Secrets stand in files, never among the settings.
    etcd: str | None = None
    etcd_prefix: str = "/woodpecker"
    # Longer: a node that stutters keeps its logs; shorter: those of a dead one come back sooner.
    node_lease_ms: int = 5_000
    rack: str | None = None
    etcd_user: str | None = None
    etcd_password_file: str | None = None
    etcd_ca_file: str | None = None
    etcd_certificate_file: str | None = None
    etcd_key_file: str | None = None

    # A logstore in this process; none without a word. Its port is for the brokers of quorum mode
    # alone: nobody is asked who they are there.
    logstore_data: str | None = None
    logstore_listen_host: str = "127.0.0.1"
    logstore_listen_port: int = 9192
    logstore_advertised_host: str | None = None
    logstore_advertised_port: int | None = None
    logstore_bytes_max: int = 64 * 1024 * MIB  # of blocks that are not uploaded yet
    # Smaller: less of the disk's time; damage is found later.
    logstore_scrub_bytes_per_s: int = 8 * MIB

    # Where metrics are served; nowhere without a word, for who can connect sees them.
    metrics_listen_host: str | None = None
    metrics_listen_port: int | None = None
    # Of a million requests; S3 Standard's in dollars.
    put_price_per_million: float = 5.0
    list_price_per_million: float = 5.0
    get_price_per_million: float = 0.4

    # Each with all budgets, one core, and the port, the --advertised port and the --metrics-listen
    # port that follow by as many as its number.
    workers_count: int = 1
    drain_ms: int = 10_000  # at stop: how long requests that were read may still take
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "human", "json"] = "auto"  # auto: human on a terminal, else JSON
    event_loop: Literal["auto", "uvloop", "asyncio"] = "auto"  # auto: uvloop where installed

    def __post_init__(self) -> None:
        """Fill in what depends on other settings, then check everything; raises ConfigError."""
        if self.data.startswith("~"):  # the shell does this for flags, nobody for files
            object.__setattr__(self, "data", _at_home(self.data))
        if self.mode == _MODE_BY_DATA:
            in_folder = not (self.in_memory or self.in_bucket)
            object.__setattr__(self, "mode", "file" if in_folder else "object")
        for option in OPTIONS:
            values = tuple(getattr(self, field) for field in option.fields)
            if values[0] is None and option.default:
                continue  # nobody said it: another one decides
            try:
                option.check(values)
            except ValueError as e:
                raise ConfigError(option.key, values[0], str(e)) from None
        _check_data(self)
        _check_quorum(self)
        _check_addresses(self)
        _check_logstore(self)
        _check_cluster(self)
        _check_workers(self)
        for key, limit_key in _NOT_ABOVE:
            value, limit = getattr(self, key), getattr(self, limit_key)
            if value is not None and value > limit:
                raise ConfigError(key, value, f"at most {limit_key} = {limit}")

    @property
    def in_memory(self) -> bool:
        """True when nothing outlives the process."""
        return self.data == MEMORY

    @property
    def in_bucket(self) -> bool:
        """True when the data are in an object store elsewhere."""
        return self.data.lower().startswith(BUCKETS)

    @property
    def endpoint(self) -> str:
        """Where the bucket is, as far as settings say; empty: environment or provider do."""
        by_scheme = {"s3": self.s3_endpoint, "gs": self.gs_endpoint, "az": self.az_endpoint}
        return by_scheme.get(self.data.lower().partition("://")[0], "")

    def advertised(self, bound_port: int) -> tuple[str, int]:
        """The (host, port) clients are told, given the port that was really bound."""
        return self.advertised_host or self.listen_host, self.advertised_port or bound_port


# A setting may not be larger than the one that contains it.
_NOT_ABOVE = (
    ("message_bytes_max", "request_bytes_max"),
    ("request_bytes_max", "connection_buffered_bytes_max"),
    ("connection_buffered_bytes_max", "buffered_bytes_max"),
    ("block_bytes_max", "segment_bytes_max"),
    ("default_partitions_count", "partitions_max_count"),
    ("group_offsets_bytes_max", "offsets_bytes_max"),
    ("group_session_timeout_min_ms", "group_session_timeout_max_ms"),
)


def _at_home(data: str) -> str:
    try:
        return str(Path(data).expanduser())
    except RuntimeError:  # there is no such user, or this one has no home
        raise ConfigError("data", data, "a folder; whose home is meant is not known") from None


def _check_data(config: Config) -> None:
    scheme = re.match(r"([a-z][a-z0-9+.-]+):", config.data, re.IGNORECASE)
    if scheme is not None and not config.in_memory and not config.in_bucket:
        expected = (
            f'a folder such as "./data", a bucket such as "s3://bucket/prefix", or {MEMORY!r}'
        )
        raise ConfigError("data", config.data, expected)
    if config.mode == "file" and (config.in_memory or config.in_bucket):
        expected = f"object, because data is {config.data!r} and has no file"
        raise ConfigError("mode", "file", expected)
    if scheme is not None:
        return
    folder = Path(config.data)
    try:
        there = next((at for at in (folder, *folder.parents) if at.exists()), None)
        is_file = there is not None and not there.is_dir()
    except OSError as e:  # a name that is too long, a folder on the way that may not be read
        raise ConfigError("data", config.data, f"a folder ({e.strerror})") from None
    if is_file:
        what = "this" if there == folder else str(there)
        raise ConfigError("data", config.data, f"a folder; {what} is a file")


def _check_quorum(config: Config) -> None:
    if config.mode != "quorum":
        return
    if config.in_memory:
        expected = "a bucket that all brokers reach, for mode quorum"
        raise ConfigError("data", config.data, expected)
    if config.workers_count != 1:
        raise ConfigError("workers_count", config.workers_count, "1 in mode quorum")
    if config.etcd is None:
        expected = (
            "the members of an etcd in mode quorum, where brokers find the logstores; for example "
            "http://10.0.0.1:2379"
        )
        raise ConfigError("etcd", None, expected)


def _check_addresses(config: Config) -> None:
    if config.advertised_host in _WILDCARDS:
        expected = "a name or address that clients can connect to; this one only listens"
        raise ConfigError("advertised", config.advertised_host, expected)
    if config.advertised_host is None and config.listen_host in _WILDCARDS:
        expected = (
            "an address for clients, since they are told to connect to it and the listening "
            f"address {config.listen_host} names no machine; for example localhost:9092"
        )
        raise ConfigError("advertised", None, expected)
    if (config.advertised_host is None) != (config.advertised_port is None):
        raise ConfigError("advertised", config.advertised_host, "a host and a port, or neither")
    if config.metrics_listen_port and config.metrics_listen_port == config.listen_port:
        expected = f"another port than --listen, which has {config.listen_port}"
        raise ConfigError("metrics_listen", config.metrics_listen_port, expected)
    if config.advertised_port == 0:
        raise ConfigError("advertised", 0, "a port that clients can connect to, 1 to 65535")


def _check_logstore(config: Config) -> None:
    host, port = config.logstore_advertised_host, config.logstore_advertised_port
    if (host is None) != (port is None):
        raise ConfigError("logstore_advertised", host, "a host and a port, or neither")
    if config.logstore_data is None:
        return
    if config.logstore_data.startswith("~"):
        object.__setattr__(config, "logstore_data", _at_home(config.logstore_data))
    if config.logstore_data.lower().startswith((*BUCKETS, MEMORY)):
        expected = "a folder on a disk of this machine"
        raise ConfigError("logstore_data", config.logstore_data, expected)
    shown = host or config.logstore_listen_host
    if config.etcd is not None and (shown in _WILDCARDS or port == 0):
        expected = (
            "an address for the brokers, which find it in etcd; the listening address "
            f"{config.logstore_listen_host} names no machine"
        )
        raise ConfigError("logstore_advertised", host, expected)


def _check_cluster(config: Config) -> None:
    if config.etcd is not None and "@" in config.etcd:
        expected = "URLs without user and password, which go to --etcd-user, --etcd-password-file"
        raise ConfigError("etcd", None, expected)
    for key, other in _TOGETHER:
        if getattr(config, key) is not None and getattr(config, other) is None:
            raise ConfigError(key, getattr(config, key), f"{other} beside it")
    if config.etcd is None:
        return
    if config.mode == "file" or config.in_memory:
        expected = "no etcd, or data that all brokers reach: a bucket, or a folder of mode object"
        raise ConfigError("etcd", config.etcd, expected)
    if not config.etcd.startswith("https:"):
        for key in ("etcd_ca_file", "etcd_certificate_file"):
            if getattr(config, key) is not None:
                raise ConfigError(key, getattr(config, key), "https:// in --etcd, or no such file")


def _check_workers(config: Config) -> None:
    count = config.workers_count
    if count == 1:
        return
    if config.in_memory:
        raise ConfigError(
            "workers_count", count, "1, for what one keeps in memory no other can reach"
        )
    if config.logstore_data is not None:
        raise ConfigError("workers_count", count, "1 with a logstore: start that by itself")
    if config.etcd is not None:
        expected = "1 with --etcd: start brokers by themselves, each with a --node-id"
        raise ConfigError("workers_count", count, expected)
    for key in ("listen_port", "advertised_port", "metrics_listen_port"):
        port = getattr(config, key)
        if port is not None and port + count > PORT_MAX:
            expected = f"at most {PORT_MAX - port}: each has a port behind {key} = {port}"
            raise ConfigError("workers_count", count, expected)


_TOGETHER = (
    ("etcd_user", "etcd"),
    ("etcd_user", "etcd_password_file"),
    ("etcd_password_file", "etcd_user"),
    ("etcd_ca_file", "etcd"),
    ("etcd_certificate_file", "etcd"),
    ("etcd_certificate_file", "etcd_key_file"),
    ("etcd_key_file", "etcd_certificate_file"),
)
"""A setting that means nothing without the other."""


def default_of(field: str) -> Any:
    """What a setting is where nobody set it, for what is made without a Config."""
    return Config.__dataclass_fields__[field].default


def default_text(option: Option) -> str:
    """The default of a setting as a person would write it, for --help and the docs."""
    if option.default:
        return option.default
    values: list[object] = [default_of(name) for name in option.fields]
    if option.parse is parse_address:
        return ":".join(map(str, values))
    return option.show(values[0])
