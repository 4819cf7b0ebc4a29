"""From the settings to a coordination store. gRPC is loaded here, and only with `--etcd`."""

from __future__ import annotations

from pathlib import Path

from gateway.cluster.coordination.base import CALL_S_MAX, CoordinationStore
from gateway.cluster.coordination.etcd_settings import EtcdSettings
from gateway.settings.config import Config, ConfigError

_PORT = 2379  # etcd's own


def open_store(config: Config, *, call_s_max: float = CALL_S_MAX) -> CoordinationStore:
    """The store that `--etcd` names, on the running loop; asks nobody yet. Raises ConfigError."""
    settings = etcd_settings(config)
    try:
        from gateway.cluster.coordination.etcd import EtcdStore  # noqa: PLC0415
    except ImportError:
        expected = "the extra of that name: pip install 'woodpecker-gateway[etcd]'"
        raise ConfigError("etcd", config.etcd, expected) from None
    return EtcdStore(settings, call_s_max=call_s_max)


def etcd_settings(config: Config) -> EtcdSettings:
    """How to reach etcd; reads the files that the settings name. Raises ConfigError."""
    if config.etcd is None:
        raise ConfigError("etcd", None, "the members of an etcd, such as http://10.0.0.1:2379")
    password = _read("etcd_password_file", config.etcd_password_file)
    return EtcdSettings(
        tuple(_endpoint(url) for url in config.etcd.split(",")),
        user=config.etcd_user,
        password=None if password is None else password.decode("utf-8", "replace").rstrip("\r\n"),
        tls=config.etcd.startswith("https:"),
        ca=_read("etcd_ca_file", config.etcd_ca_file),
        certificate=_read("etcd_certificate_file", config.etcd_certificate_file),
        key=_read("etcd_key_file", config.etcd_key_file),
    )


def _endpoint(url: str) -> str:
    address = url.partition("://")[2]
    has_port = address.rpartition(":")[2].isdecimal() and not address.endswith("]")
    return address if has_port else f"{address}:{_PORT}"


def _read(key: str, path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        found = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise ConfigError(key, path, f"a file that can be read ({error.strerror})") from None
    if not found.strip():
        raise ConfigError(key, path, "a file that is not empty")
    return found
