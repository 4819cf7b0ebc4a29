"""What the doctor looks at, a subject at a time."""

import math
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.cli import checks
from gateway.cli.checks import Finding
from gateway.cli.tests.fake_broker import FakeBroker
from gateway.settings.config import Config

ELSEWHERE = {"listen_host": "0.0.0.0", "advertised_host": "me", "advertised_port": 9092}


def by_name(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_a_folder_is_looked_at_and_left_as_it_was(tmp_path: Path) -> None:
    found = by_name(checks.check_data(Config(data=str(tmp_path))))
    assert list(found) == [
        "folder",
        "stored data",
        "disk space",
        "durable writes",
        "direct writes",
    ]
    assert found["stored data"].detail == "none yet"
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_made_by_the_start_not_by_us(tmp_path: Path) -> None:
    found = by_name(checks.check_data(Config(data=str(tmp_path / "a" / "b"))))
    assert found["folder"].detail.endswith("(will be made)")
    assert "stored data" not in found
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("free_mib", "status"), [(10, "warning"), (100_000, "ok")])
def test_space_goes_by_the_size_of_segments(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_mib: int, status: str
) -> None:
    usage = SimpleNamespace(free=free_mib * checks.MIB)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    found = by_name(checks.check_data(Config(data=str(tmp_path))))["disk space"]
    assert found.status == status
    assert f"{free_mib} MiB free" in found.detail


def test_slow_syncs_are_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "_sync_ms", lambda file: checks.SYNC_MS_MAX + 1)
    found = by_name(checks.check_data(Config(data=str(tmp_path))))["durable writes"]
    assert (found.status, "every ack waits for one" in found.remedy) == ("warning", True)


@pytest.mark.parametrize(
    ("limit", "status", "said"),
    [(math.inf, "ok", "no limit"), (1 << 20, "ok", "1048576"), (300.0, "warning", "300 for")],
)
def test_descriptors(monkeypatch: pytest.MonkeyPatch, limit: float, status: str, said: str) -> None:
    monkeypatch.setattr(checks, "raise_limit", lambda: limit)
    (found,) = checks.check_limits(Config())
    assert (found.status, said in found.detail) == (status, True)
    assert ("ulimit" in found.remedy) == (status == "warning")


def resolved(address: str) -> Callable[..., object]:
    return lambda *_, **__: [(2, 1, 6, "", (address, 0))]


@pytest.mark.parametrize(
    ("settings", "address", "status", "said"),
    [
        ({}, "127.0.0.1", "ok", "clients on this machine only"),
        (
            {"listen_host": "0.0.0.0", "advertised_host": "me", "advertised_port": 9092},
            "127.0.0.1",
            "warning",
            "its own",
        ),
        (
            {"listen_host": "0.0.0.0", "advertised_host": "me", "advertised_port": 9092},
            "10.0.0.7",
            "ok",
            "10.0.0.7",
        ),
    ],
)
def test_the_address_that_clients_are_told(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], address: str, status: str, said: str
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolved(address))
    (found,) = checks.check_address(Config(**settings))
    assert (found.status, said in found.detail) == (status, True)


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> object:
        raise OSError("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    (found,) = checks.check_address(Config(advertised_host="nowhere", advertised_port=9092))
    assert (found.status, "--advertised" in found.remedy) == ("failed", True)


def test_a_broker_that_answers_and_tells_an_address_that_leads_to_it(broker: FakeBroker) -> None:
    found = by_name(checks.check_broker(("127.0.0.1", broker.port), 2_000))
    assert [f.status for f in found.values()] == ["ok", "ok"]
    assert list(found) == ["broker answers", "node 7 is reached"]
