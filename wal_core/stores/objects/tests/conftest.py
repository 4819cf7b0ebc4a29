"""A real S3 server, started when the first test asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from wal_core import CloudSettings
from wal_core.stores.objects.cloud import CloudStore, open_cloud
from wal_core.testing.s3_server import S3Server

_NUMBERS = count()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    """A second opinion: another program by other people."""
    with S3Server("moto") as server:
        yield server


@pytest.fixture
def s3_bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a new bucket; keys and endpoint stand in the environment."""
    return _new_bucket(s3_server, monkeypatch)


@pytest.fixture
def s3_store(s3_bucket: str) -> CloudStore:
    return _opened(s3_bucket)


@pytest.fixture
def moto_store(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> CloudStore:
    return _opened(_new_bucket(moto_server, monkeypatch))


def _new_bucket(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"bucket-{next(_NUMBERS)}"
    server.make_bucket(name)
    for key, value in server.environ().items():
        monkeypatch.setenv(key, value)
    return name


def _opened(bucket: str) -> CloudStore:
    return open_cloud(f"s3://{bucket}/some/prefix", CloudSettings(timeout_ms=5_000))
