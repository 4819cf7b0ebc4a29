"""Real servers of buckets, each started when the first test asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count

import pytest

from wal_core import CloudSettings
from wal_core.stores.objects.cloud import CloudStore, open_cloud
from wal_core.testing.azure_server import AzureServer
from wal_core.testing.google_front import GoogleFront
from wal_core.testing.node_packages import MissingToolError
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


@pytest.fixture(scope="session")
def azure_server() -> Iterator[AzureServer]:
    try:
        server = AzureServer()
    except MissingToolError as error:
        assert not os.environ.get("CI"), error
        pytest.skip(f"Azurite is not available: {error}")
    with server:
        yield server


@pytest.fixture(scope="session")
def google_front(s3_server: S3Server) -> Iterator[GoogleFront]:
    with GoogleFront(s3_server) as front:
        yield front


@pytest.fixture
def az_store(azure_server: AzureServer, monkeypatch: pytest.MonkeyPatch) -> CloudStore:
    name = f"container-{next(_NUMBERS)}"
    azure_server.make_container(name)
    _name_in(monkeypatch, azure_server.environ())
    return _opened(f"az://{name}")


@pytest.fixture
def gs_store(
    google_front: GoogleFront, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> CloudStore:
    name = f"bucket-{next(_NUMBERS)}"
    s3_server.make_bucket(name)
    _name_in(monkeypatch, google_front.environ())
    return _opened(f"gs://{name}")


@pytest.fixture
def s3_bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a new bucket; keys and endpoint stand in the environment."""
    return _new_bucket(s3_server, monkeypatch)


@pytest.fixture
def s3_store(s3_bucket: str) -> CloudStore:
    return _opened(f"s3://{s3_bucket}")


@pytest.fixture
def moto_store(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> CloudStore:
    return _opened(f"s3://{_new_bucket(moto_server, monkeypatch)}")


def _new_bucket(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"bucket-{next(_NUMBERS)}"
    server.make_bucket(name)
    _name_in(monkeypatch, server.environ())
    return name


def _name_in(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    for key, value in environ.items():
        monkeypatch.setenv(key, value)


def _opened(bucket: str) -> CloudStore:
    return open_cloud(f"{bucket}/some/prefix", CloudSettings(timeout_ms=5_000))
