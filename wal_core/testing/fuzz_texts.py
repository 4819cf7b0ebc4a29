"""What must hold for any text in the small files and names that a location consists of.

`decode_x` may refuse with Invalid and nothing else; `check_x` takes what was accepted and may not
fail.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from wal_core.format.versions import LOCK_FILE, LOG
from wal_core.stores.objects.aws_profile import Profile
from wal_core.stores.objects.cloud_location import CloudLocation, parse_location
from wal_core.stores.opening import _compare, _parse
from wal_core.stores.segments.file import _noted_term
from wal_core.testing.scratch import scratch_folder

_TERM_END = 1 << 63


# --- marker and lock -----------------------------------------------------------------------------


def marker_seeds() -> Iterator[tuple[str, bytes]]:
    yield "marker", json.dumps({"format": LOG.version, "mode": "file"}).encode() + b"\n"


def decode_marker(data: bytes) -> None:
    """`woodpecker.json`. Raises Invalid."""
    _compare("woodpecker.json", _parse(data), "file")


def lock_seeds() -> Iterator[tuple[str, bytes]]:
    yield (
        "lock",
        json.dumps({"version": LOCK_FILE.version, "term": 12, "pid": 345}).encode().ljust(64),
    )


def decode_lock(data: bytes) -> int:
    """The lock file's term; 0 for nonsense. Raises Invalid for another version."""
    return _noted_term(data)


def check_lock(term: int) -> None:
    """The next term still fits a block's header."""
    assert 0 <= term < _TERM_END


# --- locations -----------------------------------------------------------------------------------


def location_seeds() -> Iterator[tuple[str, bytes]]:
    yield "s3", b"s3://my-bucket/some/prefix"
    yield "gs", b"GS://bucket.name/"


def decode_location(data: bytes) -> CloudLocation:
    """Raises Invalid."""
    return parse_location(data.decode("utf-8", "surrogateescape"))


def check_location(location: CloudLocation) -> None:
    assert parse_location(str(location)) == location


# --- profiles ------------------------------------------------------------------------------------


def profile_seeds() -> Iterator[tuple[str, bytes]]:
    keys = b"aws_access_key_id = AKIA\naws_secret_access_key = secret\n"
    yield "default", b"d[default]\nregion = eu-central-1\n\x00[default]\n" + keys
    yield "named", b"p[profile p]\nregion: x\n\x00[p]\n" + keys + b"aws_session_token = t\n"


def decode_profile(data: bytes) -> Profile:
    """A byte that says whether the profile is asked for by its name, p; the config file, a zero
    byte, the credentials file. Raises Invalid."""
    config, _, credentials = data[1:].partition(b"\x00")
    with scratch_folder() as folder:
        environ = {"HOME": str(folder)}
        for name, content in (("CONFIG", config), ("SHARED_CREDENTIALS", credentials)):
            path = folder / name
            path.write_bytes(content)
            environ[f"AWS_{name}_FILE"] = str(path)
        if data[:1] == b"p":
            environ["AWS_PROFILE"] = "p"
        profile = Profile.load(environ)
        assert "AWS_PROFILE" not in environ or profile.keys is not None
        return profile


def check_profile(profile: Profile) -> None:
    for value in (profile.keys or {"region": profile.region}).values():
        assert value is None or isinstance(value, str)
