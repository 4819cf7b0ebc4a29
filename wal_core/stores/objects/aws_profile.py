"""Access keys and region from the shared AWS files, as other programs of the machine use them.

Order, as everywhere: keys in the environment, then the profile, then roles. Only static keys are
read; what needs a call to get keys (roles in profiles, single sign-on) is refused with a remedy.
"""

from __future__ import annotations

import configparser
import datetime
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from wal_core.errors import Invalid

_KEPT = datetime.timedelta(minutes=5)
"""How long the library uses what it was told before it asks again."""
_ROLES = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


class Profile(NamedTuple):
    """What the files say about the profile in use. No keys: others in the chain have their turn."""

    region: str | None
    keys: dict[str, str | None] | None

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Profile:
        """Raises Invalid when AWS_PROFILE names something that cannot be used."""
        wanted = environ.get("AWS_PROFILE")
        merged = _sections(environ, wanted or "default")
        region = merged.get("region") if merged is not None else None
        if environ.get("AWS_ACCESS_KEY_ID"):
            return cls(region, None)
        if wanted and merged is None:
            raise Invalid(f"AWS_PROFILE names {wanted!r}, which no AWS file of this user has")
        if not wanted and any(environ.get(name) for name in _ROLES):
            return cls(region, None)
        if merged and "aws_access_key_id" in merged and "aws_secret_access_key" in merged:
            keys = {
                "access_key_id": merged["aws_access_key_id"],
                "secret_access_key": merged["aws_secret_access_key"],
                "token": merged.get("aws_session_token"),
            }
            return cls(region, keys)
        if wanted:
            raise Invalid(
                f"the AWS profile {wanted!r} holds no access key (profiles with roles or single "
                "sign-on are not read); put its keys into the environment, as "
                "`aws configure export-credentials` prints them"
            )
        return cls(region, None)


def keys_of_profile(environ: Mapping[str, str]) -> Callable[[], dict[str, Any]]:
    """For the library to call: the files are read again now and then, for keys rotate."""

    def credentials() -> dict[str, Any]:
        keys = Profile.load(environ).keys
        if keys is None:
            raise Invalid("the AWS profile no longer holds an access key")
        # The library compares with the machine's clock, in its own thread.
        now = datetime.datetime.now(datetime.UTC)  # noqa: TID251
        return {**keys, "expires_at": now + _KEPT}

    return credentials


def _home(environ: Mapping[str, str]) -> Path:
    home = Path(environ.get("HOME") or "~")
    try:
        return home.expanduser()
    except RuntimeError:  # a user the system does not know, as in some containers: no files
        return home


def _sections(environ: Mapping[str, str], name: str) -> dict[str, str] | None:
    """Both files' settings of a profile, the credentials file outweighing; None: unknown."""
    home = _home(environ) / ".aws"
    places = (
        (
            environ.get("AWS_CONFIG_FILE") or home / "config",
            name if name == "default" else f"profile {name}",
        ),
        (environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials", name),
    )
    merged: dict[str, str] | None = None
    for path, section in places:
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            # The parser's own text would repeat the line, which may hold a secret.
            raise Invalid(f"{path} is not a file of AWS profiles") from None
        if parser.has_section(section):
            merged = (merged or {}) | dict(parser.items(section))
    return merged
