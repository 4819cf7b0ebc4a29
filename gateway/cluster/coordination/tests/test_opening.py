"""Settings of a cluster become a store, or are refused by the name of the setting."""

import sys
from pathlib import Path

import pytest

from gateway.cluster.coordination.opening import etcd_settings, open_store
from gateway.settings.config import Config, ConfigError

URLS = "https://10.0.0.1,https://etcd-2.example:4001,https://[fd00::1],https://[fd00::2]:7"


def test_all_that_the_settings_say(tmp_path: Path) -> None:
    for name in ("password", "ca", "certificate", "key"):
        (tmp_path / name).write_text(f"{name} \n")
    settings = etcd_settings(
        Config(
            data="s3://bucket",
            etcd=URLS,
            etcd_user="broker",
            etcd_password_file=str(tmp_path / "password"),
            etcd_ca_file=str(tmp_path / "ca"),
            etcd_certificate_file=str(tmp_path / "certificate"),
            etcd_key_file=str(tmp_path / "key"),
        )
    )
    assert settings.endpoints == (
        "10.0.0.1:2379",
        "etcd-2.example:4001",
        "[fd00::1]:2379",
        "[fd00::2]:7",
    )
    assert (settings.user, settings.password, settings.tls) == ("broker", "password ", True)
    assert (settings.ca, settings.certificate, settings.key) == (
        b"ca \n",
        b"certificate \n",
        b"key \n",
    )


def test_files_that_are_not_there_or_empty_are_named(tmp_path: Path) -> None:
    there = tmp_path / "ca"
    config = Config(data="s3://bucket", etcd="https://a", etcd_ca_file=str(there))
    with pytest.raises(ConfigError, match="can be read") as told:
        etcd_settings(config)
    assert told.value.key == "etcd_ca_file"
    there.write_text("\n")
    with pytest.raises(ConfigError, match="not empty"):
        etcd_settings(config)


def test_a_broker_alone_has_no_store() -> None:
    with pytest.raises(ConfigError, match="the members of an etcd"):
        open_store(Config())


def test_who_has_not_got_the_extra_is_told_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gateway.cluster.coordination.etcd", None)
    with pytest.raises(ConfigError, match=r"pip install 'woodpecker-gateway\[etcd\]'"):
        open_store(Config(data="s3://bucket", etcd="http://a"))
