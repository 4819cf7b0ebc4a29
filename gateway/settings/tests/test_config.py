import ast
import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.settings.config import Config, ConfigError, default_text
from gateway.settings.options import OPTIONS

MIB = 2**20


def test_defaults_are_a_local_durable_broker() -> None:
    config = Config()
    assert (config.listen_host, config.listen_port) == ("127.0.0.1", 9092)
    assert (config.data, config.mode, config.in_memory) == ("./data", "file", False)
    assert config.auto_create_topics
    assert config.advertised(4242) == ("127.0.0.1", 4242)


@pytest.mark.parametrize(
    ("data", "mode", "expected_mode"),
    [
        ("./data", None, "file"),
        ("./data", "object", "object"),
        ("memory:", None, "object"),
        ("memory:", "object", "object"),
        ("s3://bucket", None, "object"),
        ("gs://bucket/a/b", "object", "object"),
    ],
)
def test_what_follows_from_the_data_location(data: str, mode: Any, expected_mode: str) -> None:
    config = Config(data=data, mode=mode) if mode else Config(data=data)
    assert config.mode == expected_mode


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"workers_count": 2, "data": "memory:"}, "workers_count", "no other can reach"),
    ({"workers_count": 2, "data": "s3://b", "etcd": "http://a"}, "workers_count", "1 with --etcd"),
    ({"workers_count": 9, "listen_port": 65_530}, "workers_count", "at most 5: "),
    ({"workers_count": 0}, "workers_count", "1 to 64"),
    ({"workers_count": 65}, "workers_count", "1 to 64"),
    ({"mode": "file", "data": "memory:"}, "mode", "object"),
    ({"mode": "disk"}, "mode", "one of file, object, quorum"),
    ({"data": "s3://bucket/prefix", "mode": "file"}, "mode", "object"),
    ({"data": "hdfs://host"}, "data", "s3://bucket/prefix"),
    ({"s3_endpoint": "127.0.0.1:9000"}, "s3_endpoint", "http://127.0.0.1:9000"),
    ({"s3_region": "no region"}, "s3_region", "eu-central-1"),
    ({"flush_preset": "free"}, "flush_preset", "one of latency, cost"),
    ({"data": "ftp://host"}, "data", "a folder"),
    ({"data": ""}, "data", "not empty"),
    ({"listen_port": 65536}, "listen", "HOST:PORT"),
    ({"listen_port": -1}, "listen", "HOST:PORT"),
    ({"listen_host": ""}, "listen", "HOST:PORT"),
    ({"listen_host": "0.0.0.0"}, "advertised", "localhost:9092"),
    ({"listen_host": "::"}, "advertised", "localhost:9092"),
    ({"advertised_host": "0.0.0.0", "advertised_port": 1}, "advertised", "clients can connect to"),
    ({"advertised_host": "kafka", "advertised_port": 0}, "advertised", "1 to 65535"),
    ({"advertised_host": "kafka"}, "advertised", "HOST:PORT"),
    (
        {"metrics_listen_host": "::1", "metrics_listen_port": 9092},
        "metrics_listen",
        "another port",
    ),
    ({"node_id": -1}, "node_id", "whole number"),
    ({"default_partitions_count": 0}, "default_partitions_count", "1 to 1000000"),
    ({"message_bytes_max": 200 * MIB}, "message_bytes_max", "at most request_bytes_max"),
    ({"request_bytes_max": 200 * MIB}, "request_bytes_max", "connection_buffered_bytes_max"),
    ({"buffered_bytes_max": 100 * MIB}, "connection_buffered_bytes_max", "buffered_bytes_max"),
    ({"block_bytes_max": 512 * MIB}, "block_bytes_max", "segment_bytes_max"),
    ({"group_session_timeout_min_ms": 2_000_000}, "group_session_timeout_min_ms", "at most"),
    ({"etcd": "etcd:2379"}, "etcd", "http://10.0.0.1:2379"),
    ({"etcd": "http://a,https://b", "data": "s3://b"}, "etcd", "all http or all https"),
    ({"etcd": "http://a/path", "data": "s3://b"}, "etcd", "http://10.0.0.1:2379"),
    ({"etcd": "http://a", "data": "./data"}, "etcd", "a folder of mode object"),
    ({"etcd": "http://a", "data": "memory:"}, "etcd", "data that all brokers reach"),
    ({"mode": "quorum", "data": "s3://b"}, "etcd", "where brokers find the logstores"),
    ({"mode": "quorum", "data": "memory:", "etcd": "http://a"}, "data", "a bucket"),
    ({"mode": "quorum", "data": "s3://b", "workers_count": 2}, "workers_count", "1 in mode quorum"),
    ({"etcd_prefix": "woodpecker/"}, "etcd_prefix", '"/woodpecker"'),
    ({"etcd_user": "u", "etcd_password_file": "f"}, "etcd_user", "etcd beside it"),
    (
        {"etcd": "http://a", "data": "s3://b", "etcd_user": "u"},
        "etcd_user",
        "etcd_password_file beside it",
    ),
    (
        {"etcd": "https://a", "data": "s3://b", "etcd_key_file": "f"},
        "etcd_key_file",
        "etcd_certificate_file beside it",
    ),
    ({"etcd": "http://a", "data": "s3://b", "etcd_ca_file": "f"}, "etcd_ca_file", "https://"),
    ({"log_level": "loud"}, "log_level", "debug, info, warning, error"),
]


@pytest.mark.parametrize(("fields", "key", "expected"), REFUSED)
def test_a_config_that_exists_is_valid(fields: dict[str, Any], key: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(expected)) as caught:
        Config(**fields)
    assert caught.value.key == key
    assert caught.value.source == "code"


def test_a_secret_in_a_url_of_etcd_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="--etcd-password-file") as caught:
        Config(etcd="http://broker:sesame@etcd:2379", data="s3://bucket")
    assert "sesame" not in str(caught.value)


def test_a_file_cannot_be_the_data_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="a folder; this is a file"):
        Config(data=str(tmp_path / "taken"))
    with pytest.raises(ConfigError, match=f"a folder; {tmp_path}/taken is a file"):
        Config(data=str(tmp_path / "taken" / "deeper" / "still"))


def test_a_home_folder_is_found_where_no_shell_did_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert Config(data="~/data").data == "/somewhere/data"


def test_an_address_of_its_own_may_be_advertised() -> None:
    config = Config(listen_host="0.0.0.0", advertised_host="kafka", advertised_port=19092)
    assert config.advertised(9092) == ("kafka", 19092)


def test_every_field_has_one_row_and_every_row_its_fields() -> None:
    rows = [field for option in OPTIONS for field in option.fields]
    assert sorted(rows) == sorted(field.name for field in dataclasses.fields(Config))
    assert len({option.flag for option in OPTIONS}) == len(OPTIONS)


def test_every_setting_is_used_somewhere() -> None:
    """A setting that nobody reads would be a promise that nobody keeps."""
    gateway = Path(__file__).parents[2]
    read: set[str] = set()
    for file in gateway.rglob("*.py"):
        if "tests" in file.parts or file.name == "options.py":
            continue
        nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        read |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    assert {field.name for field in dataclasses.fields(Config)} <= read


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.key)
def test_every_number_has_a_range_and_a_unit(option: Any) -> None:
    if option.key == "node_id" or option.metavar not in ("SIZE", "TIME", "NUMBER"):
        return
    assert option.maximum > option.minimum
    unit = {"SIZE": "_bytes", "TIME": "_ms", "NUMBER": "_count"}[option.metavar]
    assert unit in option.key


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.key)
def test_every_default_can_be_shown(option: Any) -> None:
    assert default_text(option)
    assert option.help.endswith(".")


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().node_id = 2  # type: ignore[misc]
