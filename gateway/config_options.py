"""The table of settings: how each is written, its range, and its line in `serve --help`.

Flags, environment names, keys of the TOML file, the help text and the docs are derived from it. A
setting's default stands in gateway.config, once.
"""

from gateway.config_values import (
    MEMORY,
    Option,
    parse_address,
    parse_count,
    parse_duration,
    parse_endpoint,
    parse_region,
    parse_size,
    parse_switch,
    parse_text,
)

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
_WHERE = "Where"
_TOPICS = "Topics"
_LIMITS = "Limits: past one, the sender is slowed down or refused with Kafka's error"
_STORAGE = "Storage"
_BUCKET = "Buckets: keys come from AWS_ACCESS_KEY_ID and so on, a profile, or the machine's role"
_GROUPS = "Consumer groups"
_PROCESS = "Process"
_COUNT_MAX = 1_000_000

# What `serve --help` shows; the rest comes with --help-all.
ESSENTIAL_SECTIONS = frozenset({_WHERE, _TOPICS, _PROCESS})

OPTIONS: tuple[Option, ...] = (
    Option(
        "listen",
        parse_address,
        _WHERE,
        "Address to accept clients on; port 0 lets the system choose.",
    ),
    Option(
        "advertised",
        parse_address,
        _WHERE,
        "Address clients are told to connect to, if another: behind a proxy, in a container.",
        default="the listening address",
    ),
    Option(
        "data",
        parse_text,
        _WHERE,
        f'Folder or bucket (s3://BUCKET/PREFIX) to keep the data in, or "{MEMORY}" to keep none.',
    ),
    Option(
        "mode",
        parse_text,
        _WHERE,
        "How records become durable: appended to a file and synced, or as numbered objects.",
        choices=("file", "object"),
        default=f"file for a folder, object for a bucket and {MEMORY}",
    ),
    Option(
        "s3_endpoint",
        parse_endpoint,
        _BUCKET,
        "Address of an S3 service that is not Amazon's: http://HOST:PORT or https://HOST.",
        default="AWS_ENDPOINT_URL, or Amazon's",
    ),
    Option(
        "s3_region",
        parse_region,
        _BUCKET,
        "Region of the bucket.",
        default="AWS_REGION, the profile's, or us-east-1",
    ),
    Option(
        "s3_path_style",
        parse_switch,
        _BUCKET,
        "Name the bucket in the path; off: in the host name.",
    ),
    Option(
        "flush_preset",
        parse_text,
        _BUCKET,
        "What writes are for: short waits (at most 200 a second) or a small bill (at most 4).",
        choices=("latency", "cost"),
    ),
    Option(
        "writes_per_s_max_count",
        parse_count,
        _BUCKET,
        "Most writes a second, on average; full blocks always go. 0: by --flush-preset.",
        0,
        100_000,
        default="by --flush-preset",
        flag_name="writes-per-s-max",
    ),
    Option("node_id", parse_count, _WHERE, "Broker id that clients see.", 0, 2**31 - 1),
    Option(
        "auto_create_topics",
        parse_switch,
        _TOPICS,
        "Create a topic when a client that wants this first asks for it.",
        flag_name="auto-create",
    ),
    Option(
        "default_partitions_count",
        parse_count,
        _TOPICS,
        "Partitions of a topic whose creator named no number.",
        1,
        _COUNT_MAX,
    ),
    Option(
        "partitions_max_count",
        parse_count,
        _LIMITS,
        "Most partitions of all topics together.",
        1,
        _COUNT_MAX,
    ),
    Option(
        "message_bytes_max",
        parse_size,
        _LIMITS,
        "Largest record batch (Kafka's message.max.bytes).",
        KIB,
        GIB,
        default="10MiB + 64KiB",
    ),
    Option("request_bytes_max", parse_size, _LIMITS, "Largest request.", 64 * KIB, 2**31 - 1),
    Option("fetch_bytes_max", parse_size, _LIMITS, "Largest reply to a fetch.", 64 * KIB, GIB),
    Option("connections_max_count", parse_count, _LIMITS, "Most connections.", 1, _COUNT_MAX),
    Option(
        "connection_requests_in_flight_max_count",
        parse_count,
        _LIMITS,
        "Requests of one connection that are read but not answered.",
        1,
        _COUNT_MAX,
    ),
    Option(
        "connection_buffered_bytes_max",
        parse_size,
        _LIMITS,
        "Bytes held for one connection before it is no longer read.",
        64 * KIB,
        1024 * GIB,
    ),
    Option(
        "buffered_bytes_max",
        parse_size,
        _LIMITS,
        "The same for all connections together.",
        64 * KIB,
        1024 * GIB,
    ),
    Option("tail_cache_bytes", parse_size, _STORAGE, "Memory for the newest data.", 0, 1024 * GIB),
    Option(
        "block_cache_bytes",
        parse_size,
        _STORAGE,
        "Memory for older data that is being read.",
        0,
        1024 * GIB,
    ),
    Option(
        "segment_bytes_max",
        parse_size,
        _STORAGE,
        "Size at which the log starts a new segment.",
        64 * KIB,
        64 * GIB,
    ),
    Option(
        "block_bytes_max",
        parse_size,
        _STORAGE,
        "Size at which records are written out without waiting for more.",
        4 * KIB,
        GIB,
        default="4MiB in file mode, 8MiB in object mode",
    ),
    Option(
        "gather_ms",
        parse_duration,
        _STORAGE,
        "Object mode: how long records gather while earlier ones are being written.",
        0,
        10_000,
    ),
    Option(
        "flushes_in_flight_max_count",
        parse_count,
        _STORAGE,
        "Writes under way at a time.",
        1,
        1_000,
        default="8 in file mode, 64 in object mode",
    ),
    Option(
        "retention_check_interval_ms",
        parse_duration,
        _STORAGE,
        "How often records too old or too many for their topic are looked for.",
        10,
        86_400_000,
    ),
    Option(
        "garbage_grace_ms",
        parse_duration,
        _STORAGE,
        "How long what was compacted or deleted stays for reads that began before.",
        0,
        30 * 86_400_000,
    ),
    Option(
        "fence_grace_ms",
        parse_duration,
        _STORAGE,
        "How long a broker that was paused while another took its log is kept from writing.",
        0,
        365 * 86_400_000,
    ),
    Option(
        "dead_check_ms",
        parse_duration,
        _STORAGE,
        "After deletions: how soon, at most, space that can be given back is looked for again.",
        0,
        86_400_000,
    ),
    Option(
        "store_timeout_ms",
        parse_duration,
        _STORAGE,
        "Deadline of one attempt to write or read; for what is large, a second more per 512 KiB.",
        100,
        600_000,
    ),
    Option(
        "group_initial_rebalance_delay_ms",
        parse_duration,
        _GROUPS,
        "How long a new group waits for more members before it starts.",
        0,
        600_000,
    ),
    Option(
        "group_session_timeout_min_ms",
        parse_duration,
        _GROUPS,
        "Shortest session timeout a member may ask for.",
        1,
        86_400_000,
    ),
    Option(
        "group_session_timeout_max_ms",
        parse_duration,
        _GROUPS,
        "Longest session timeout a member may ask for.",
        1,
        86_400_000,
    ),
    Option("groups_max_count", parse_count, _GROUPS, "Most groups.", 1, _COUNT_MAX),
    Option(
        "group_members_max_count", parse_count, _GROUPS, "Most members of one group.", 1, 100_000
    ),
    Option(
        "offset_metadata_bytes_max",
        parse_size,
        _GROUPS,
        "Largest text a consumer may keep beside a committed offset.",
        0,
        MIB,
    ),
    Option(
        "offsets_retention_ms",
        parse_duration,
        _GROUPS,
        "How long the offsets of a group without members are kept.",
        60_000,
        100 * 365 * 86_400_000,
    ),
    Option(
        "offsets_partitions_count",
        parse_count,
        _GROUPS,
        "Partitions of __consumer_offsets; fixed once there are data.",
        1,
        1_000,
    ),
    Option(
        "drain_ms",
        parse_duration,
        _PROCESS,
        "At stop: how long requests already received may take to be answered.",
        0,
        600_000,
    ),
    Option(
        "log_level",
        parse_text,
        _PROCESS,
        "Least important message to log.",
        choices=("debug", "info", "warning", "error"),
    ),
    Option(
        "log_format",
        parse_text,
        _PROCESS,
        "auto: for people on a terminal, else one JSON object per line.",
        choices=("auto", "human", "json"),
    ),
    Option(
        "event_loop",
        parse_text,
        _PROCESS,
        "auto: uvloop where it is installed, else asyncio.",
        choices=("auto", "uvloop", "asyncio"),
    ),
)
