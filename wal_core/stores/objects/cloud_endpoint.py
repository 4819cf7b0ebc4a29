"""Where requests to a bucket go, if not to the provider's own address.

Settings outweigh the environment. Each kind of store has its own of both, so that data can be
copied from one to another.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from wal_core.config import CloudSettings
from wal_core.errors import Invalid
from wal_core.stores.objects.cloud_options import first_of


class _Kind(NamedTuple):
    """How a kind of store speaks of its endpoint."""

    name: str
    variables: tuple[str, ...]
    keys: str
    """Where a name or password belongs instead."""


_EMULATOR = "STORAGE_EMULATOR_HOST"
"""As Google's own clients know it; often HOST:PORT alone."""
_KINDS = {
    "s3": _Kind(
        "the S3 endpoint",
        ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
        "AWS_ACCESS_KEY_ID",
    ),
    "gs": _Kind(
        "the endpoint of Google Cloud Storage",
        ("GOOGLE_BASE_URL", _EMULATOR),
        "GOOGLE_APPLICATION_CREDENTIALS",
    ),
    "az": _Kind(
        "the Azure endpoint",
        ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
        "AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
    ),
}


def endpoint_of(scheme: str, settings: CloudSettings, environ: Mapping[str, str]) -> str | None:
    """None: the provider's own. Raises Invalid."""
    kind = _KINDS[scheme]
    endpoint = _setting(scheme, settings) or first_of(environ, kind.variables)
    if endpoint is None:
        return None
    if "@" in endpoint or "?" in endpoint:
        # The value is not repeated: it may hold a secret.
        raise Invalid(f"{kind.name} must not hold a name or password, nor a token; set {kind.keys}")
    if scheme == "gs" and endpoint == environ.get(_EMULATOR) and "://" not in endpoint:
        endpoint = f"http://{endpoint}"
    expected = f"{kind.name} is {endpoint!r}, expected http://HOST:PORT or https://HOST"
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
        is_address = host is not None and _is_address(host)
    except ValueError as error:
        raise Invalid(f"{expected} ({error})") from None
    if parts.scheme not in ("http", "https") or not host:
        raise Invalid(expected)
    if scheme == "s3" and is_address and not settings.path_style:
        raise Invalid(
            f"{kind.name} is {endpoint!r}, and no bucket's name goes before an address: "
            "leave --s3-path-style on, or name the host"
        )
    return endpoint.rstrip("/")


def _setting(scheme: str, settings: CloudSettings) -> str | None:
    if scheme == "gs":
        return settings.gs_endpoint
    return settings.az_endpoint if scheme == "az" else settings.endpoint


def _is_address(host: str) -> bool:
    """Whether a host is an IP address. Raises ValueError for what only looks like one: the library
    would panic."""
    if ":" in host or host.rstrip(".").rpartition(".")[2].isdecimal():
        ipaddress.ip_address(host)
        return True
    return False
