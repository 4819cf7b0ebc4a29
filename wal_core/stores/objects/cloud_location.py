"""From `s3://bucket/prefix`, settings and environment to the library's handle on that bucket.

The library itself knows most of the credential chain (environment, web identity, container and
instance roles); profiles come from wal_core.stores.objects.aws_profile. The library is loaded when
a bucket is opened: a gateway with a folder never pays for it.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from wal_core.config import CLOUD_SCHEMES, CloudSettings
from wal_core.errors import Invalid
from wal_core.stores.objects.aws_profile import Profile, keys_of_profile

if TYPE_CHECKING:
    from obstore.store import AzureStore, ClientConfig, GCSStore, RetryConfig, S3Store

    Backend = S3Store | GCSStore | AzureStore

_RETRIES_MAX_COUNT = 2
"""By the library, for what is over in a moment; patience is ours (wal_core.stores.persistence)."""
_RETRY_FIRST = datetime.timedelta(milliseconds=50)
_RETRY_MAX = datetime.timedelta(milliseconds=500)
_CONNECT_TIMEOUT_MS_MAX = 5_000
_POOL_IDLE = "15s"
"""Shorter than servers keep an idle connection (S3: about 20 s), or a request meets its end."""
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_PREFIX_PART = re.compile(r"[A-Za-z0-9!_.*'()=+@,-]+")
_ENDPOINT_NAMES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_KEY_NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_REGION_NAMES = ("AWS_REGION", "AWS_DEFAULT_REGION")


class CloudLocation(NamedTuple):
    """A place in a bucket; `prefix` has no slash at either end and may be empty."""

    scheme: str
    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


def parse_location(text: str) -> CloudLocation:
    """Read `s3://bucket/prefix`. Raises Invalid, whose text says what was expected."""
    scheme, _, rest = text.partition("://")
    bucket, _, prefix = rest.partition("/")
    expected = "expected s3://BUCKET/PREFIX (also gs://, az://)"
    if scheme.lower() not in CLOUD_SCHEMES:
        raise Invalid(f"{text}: {expected}")
    if not _BUCKET.fullmatch(bucket):
        raise Invalid(f"{text}: {bucket!r} is no bucket name; {expected}")
    parts = prefix.rstrip("/").split("/") if prefix.rstrip("/") else []
    for part in parts:
        if not _PREFIX_PART.fullmatch(part) or set(part) == {"."}:
            raise Invalid(f"{text}: {part!r} cannot be part of a prefix; {expected}")
    return CloudLocation(scheme.lower(), bucket, "/".join(parts))


def endpoint_of(
    location: CloudLocation, settings: CloudSettings, environ: Mapping[str, str]
) -> str | None:
    """Where requests go, if not to the provider's own address. Raises Invalid."""
    if location.scheme != "s3":
        return None
    endpoint = settings.endpoint or _first(environ, _ENDPOINT_NAMES)
    if endpoint is None:
        return None
    if "@" in endpoint:
        # The value is not repeated: it holds a secret.
        raise Invalid("the S3 endpoint must not hold a name or password; set AWS_ACCESS_KEY_ID")
    expected = f"the S3 endpoint is {endpoint!r}, expected http://HOST:PORT or https://HOST"
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
        is_address = host is not None and _is_address(host)
    except ValueError as error:
        raise Invalid(f"{expected} ({error})") from None
    if parts.scheme not in ("http", "https") or not host or parts.query:
        raise Invalid(expected)
    if is_address and not settings.path_style:
        raise Invalid(
            f"the S3 endpoint is {endpoint!r}, and no bucket's name goes before an address: "
            "leave --s3-path-style on, or name the host"
        )
    return endpoint.rstrip("/")


def _is_address(host: str) -> bool:
    """Whether a host is an IP address. Raises ValueError for what only looks like one: the library
    would panic."""
    if ":" in host or host.rstrip(".").rpartition(".")[2].isdecimal():
        ipaddress.ip_address(host)
        return True
    return False


def open_backend(
    location: CloudLocation, settings: CloudSettings, environ: Mapping[str, str]
) -> Backend:
    """The library's handle; nothing is sent yet. Raises Invalid."""
    endpoint = endpoint_of(location, settings, environ)
    retry: RetryConfig = {
        "max_retries": _RETRIES_MAX_COUNT,
        "retry_timeout": datetime.timedelta(milliseconds=settings.timeout_ms),
        "backoff": {"init_backoff": _RETRY_FIRST, "max_backoff": _RETRY_MAX},
    }
    common: dict[str, Any] = {
        "prefix": location.prefix or None,
        "client_options": _client_options(settings, endpoint, environ),
        "retry_config": retry,
    }
    try:
        from obstore import store  # noqa: PLC0415 - only with a bucket

        if location.scheme == "s3":
            options = _s3_options(location, settings, environ, endpoint)
            return store.S3Store(location.bucket, **common, **options)
        # Both take everything else from the environment (GOOGLE_..., AZURE_...).
        if location.scheme == "gs":
            return store.GCSStore(location.bucket, **common)
        return store.AzureStore(location.bucket, **common)
    except Invalid:
        raise
    except ImportError:
        raise Invalid(f"{location}: the package obstore is not installed") from None
    except Exception as error:
        # First line only: the rest is the library's inside.
        reason = str(error).partition("\n")[0]
        raise Invalid(f"{location}: {reason}") from None


def _s3_options(
    location: CloudLocation,
    settings: CloudSettings,
    environ: Mapping[str, str],
    endpoint: str | None,
) -> dict[str, Any]:
    profile = Profile.load(environ)
    if profile.keys is None:
        _demand_both_keys(environ)
    config: dict[str, Any] = {
        "region": settings.region or _first(environ, _REGION_NAMES) or profile.region or "us-east-1"
    }
    if endpoint is not None:
        if not settings.path_style:
            endpoint = endpoint.replace("://", f"://{location.bucket}.", 1)
        # Under both names, or the environment's would outweigh a setting.
        config["endpoint"] = config["aws_endpoint_url_s3"] = endpoint
    # One request per object: not every service knows the other way, and deleting is free.
    config["disable_bulk_delete"] = True
    config["virtual_hosted_style_request"] = not settings.path_style
    tls = endpoint is None or endpoint.startswith("https:")
    if tls and not environ.get("AWS_UNSIGNED_PAYLOAD"):
        # TLS guards the bytes on the way; a SHA-256 of every block would cost as much again.
        config["unsigned_payload"] = True
    return {
        "config": config,
        "credential_provider": None if profile.keys is None else keys_of_profile(environ),
    }


def _demand_both_keys(environ: Mapping[str, str]) -> None:
    """Raises Invalid when the environment holds half of a pair."""
    missing = [name for name in _KEY_NAMES if not environ.get(name)]
    if len(missing) == 1:
        there = next(name for name in _KEY_NAMES if name not in missing)
        raise Invalid(f"{there} is set and {missing[0]} is not set: set both, or neither")


def _client_options(
    settings: CloudSettings, endpoint: str | None, environ: Mapping[str, str]
) -> ClientConfig:
    connect_ms = min(_CONNECT_TIMEOUT_MS_MAX, settings.timeout_ms)
    options: ClientConfig = {
        "timeout": f"{settings.timeout_ms}ms",
        "connect_timeout": f"{connect_ms}ms",
        "pool_idle_timeout": _POOL_IDLE,
        "user_agent": "woodpecker-gateway",
    }
    if endpoint is not None and endpoint.startswith("http:"):
        options["allow_http"] = True
    if bundle := environ.get("AWS_CA_BUNDLE"):
        try:
            options["root_certificate"] = Path(bundle).read_bytes()
        except OSError as error:
            raise Invalid(f"AWS_CA_BUNDLE: {bundle} cannot be read ({error.strerror})") from None
    return options


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)
