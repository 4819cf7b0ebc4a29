"""What the library is told of a bucket, beside what it finds in the environment by itself.

It knows most of the credential chain (environment, web identity, container and instance roles,
managed identities); profiles come from wal_core.stores.objects.aws_profile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wal_core.config import CloudSettings
from wal_core.errors import Invalid
from wal_core.stores.objects.aws_profile import Profile, keys_of_profile

_KEY_NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_REGION_NAMES = ("AWS_REGION", "AWS_DEFAULT_REGION")
_ACCOUNT_NAMES = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")


def s3_options(
    bucket: str,
    settings: CloudSettings,
    environ: Mapping[str, str],
    endpoint: str | None,
) -> dict[str, Any]:
    """Keys and region by environment or profile; where the bucket's name stands. Raises Invalid."""
    profile = Profile.load(environ)
    if profile.keys is None:
        _demand_both_keys(environ)
    region = settings.region or first_of(environ, _REGION_NAMES) or profile.region
    config: dict[str, Any] = {"region": region or "us-east-1"}
    if endpoint is not None:
        if not settings.path_style:
            endpoint = endpoint.replace("://", f"://{bucket}.", 1)
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


def google_options(endpoint: str | None) -> dict[str, Any]:
    """Who signs, and where requests go."""
    if endpoint is None:
        return {}
    options: dict[str, Any] = {"config": {"base_url": endpoint}}
    if endpoint.startswith("http:"):
        # Emulators ask for no token; and in the clear none is sent, whose it may be.
        options["credential_provider"] = _no_token
    return options


def _no_token() -> dict[str, Any]:
    return {"token": "", "expires_at": None}


def azure_options(
    settings: CloudSettings, environ: Mapping[str, str], endpoint: str | None
) -> dict[str, Any]:
    """Whose container, and where requests go. Raises Invalid."""
    config: dict[str, Any] = {}
    account = settings.az_account or first_of(environ, _ACCOUNT_NAMES)
    if account is not None:
        config["account_name"] = account
    elif not environ.get("AZURE_STORAGE_USE_EMULATOR"):
        raise Invalid(
            "no storage account is named, and a container is one account's: set --az-account or "
            "AZURE_STORAGE_ACCOUNT_NAME"
        )
    if endpoint is not None:
        config["endpoint"] = endpoint
    return {"config": config}


def first_of(environ: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    """The first of some variables that is set and not empty."""
    return next((environ[name] for name in names if environ.get(name)), None)
