"""From `s3://bucket/prefix`, settings and environment to the library's handle on that bucket.

The library is loaded when a bucket is opened: a gateway with a folder never pays for it.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wal_core.config import CLOUD_SCHEMES, CloudSettings
from wal_core.errors import Invalid
from wal_core.stores.objects.cloud_endpoint import endpoint_of
from wal_core.stores.objects.cloud_options import azure_options, google_options, s3_options

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


def open_backend(
    location: CloudLocation, settings: CloudSettings, environ: Mapping[str, str]
) -> Backend:
    """The library's handle; nothing is sent yet. Raises Invalid."""
    endpoint = endpoint_of(location.scheme, settings, environ)
    retry: RetryConfig = {
        "max_retries": _RETRIES_MAX_COUNT,
        "retry_timeout": datetime.timedelta(milliseconds=settings.timeout_ms),
        "backoff": {"init_backoff": _RETRY_FIRST, "max_backoff": _RETRY_MAX},
    }
    options: dict[str, Any]
    common: dict[str, Any] = {
        "prefix": location.prefix or None,
        "client_options": _client_options(settings, endpoint, environ),
        "retry_config": retry,
    }
    try:
        from obstore import store  # noqa: PLC0415 - only with a bucket

        if location.scheme == "s3":
            options = s3_options(location.bucket, settings, environ, endpoint)
            return store.S3Store(location.bucket, **common, **options)
        # Both take everything else from the environment (GOOGLE_..., AZURE_...).
        if location.scheme == "gs":
            return store.GCSStore(location.bucket, **common, **google_options(endpoint))
        options = azure_options(settings, environ, endpoint)
        return store.AzureStore(location.bucket, **common, **options)
    except Invalid:
        raise
    except ImportError:
        raise Invalid(f"{location}: the package obstore is not installed") from None
    except Exception as error:
        # First line only: the rest is the library's inside.
        reason = str(error).partition("\n")[0]
        raise Invalid(f"{location}: {reason}") from None


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
