"""The rows of the table of settings that are for clusters, and for logstores."""

from gateway.settings.values import (
    Option,
    parse_address,
    parse_duration,
    parse_members,
    parse_prefix,
    parse_size,
    parse_text,
)

_CLUSTER = "Clusters: several brokers on one bucket, which find each other by etcd"
_LOGSTORE = "A logstore for quorum mode; the command logstore runs one alone"
_KIB = 1024
_MIB = 1024 * _KIB
_PIB = 1024 * 1024 * 1024 * _MIB

CLUSTER_OPTIONS: tuple[Option, ...] = (
    Option(
        "etcd",
        parse_members,
        _CLUSTER,
        "Members of the etcd that says who is alive and who owns what.",
        default="none: a broker alone",
    ),
    Option(
        "etcd_prefix",
        parse_prefix,
        _CLUSTER,
        "What all its keys in etcd begin with.",
    ),
    Option(
        "node_lease_ms",
        parse_duration,
        _CLUSTER,
        "How long a broker that is silent may keep its logs before others take them over.",
        3_000,
        60_000,
    ),
    Option(
        "rack", parse_text, _CLUSTER, "Where the broker stands, as clients see.", default="none"
    ),
    Option("etcd_user", parse_text, _CLUSTER, "User of etcd.", default="none"),
    Option(
        "etcd_password_file",
        parse_text,
        _CLUSTER,
        "File with the password of that user.",
        default="none",
    ),
    Option(
        "etcd_ca_file",
        parse_text,
        _CLUSTER,
        "File of certificates (PEM) that etcd's must come from, with https.",
        default="what the system trusts",
    ),
    Option(
        "etcd_certificate_file",
        parse_text,
        _CLUSTER,
        "File with a certificate (PEM) to show to etcd.",
        default="none",
    ),
    Option(
        "etcd_key_file",
        parse_text,
        _CLUSTER,
        "File with the key of that certificate.",
        default="none",
    ),
    Option(
        "upload_after_ms",
        parse_duration,
        _CLUSTER,
        "Mode quorum: so long after it came a record is on its way from logstores to the bucket.",
        100,
        3_600_000,
    ),
)

LOGSTORE_OPTIONS: tuple[Option, ...] = (
    Option(
        "logstore_data",
        parse_text,
        _LOGSTORE,
        "Folder of a logstore, on a disk of its own if that can be.",
        default="none: no logstore",
    ),
    Option(
        "logstore_listen",
        parse_address,
        _LOGSTORE,
        "Address for brokers. Whoever reaches it can write: keep it private.",
    ),
    Option(
        "logstore_advertised",
        parse_address,
        _LOGSTORE,
        "Address that brokers find in etcd, if another.",
        default="the listening address",
    ),
    Option(
        "logstore_bytes_max",
        parse_size,
        _LOGSTORE,
        "What it may hold; past that it takes no more until some was uploaded.",
        _MIB,
        _PIB,
    ),
    Option(
        "logstore_scrub_bytes_per_s",
        parse_size,
        _LOGSTORE,
        "How fast it reads what it holds in search of damage.",
        _KIB,
        1024 * _MIB,
    ),
)
