"""The rows of the table of settings that are for clusters."""

from gateway.settings.values import (
    Option,
    parse_duration,
    parse_members,
    parse_prefix,
    parse_text,
)

_CLUSTER = "Clusters: several brokers on one bucket, which find each other by etcd"

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
)
