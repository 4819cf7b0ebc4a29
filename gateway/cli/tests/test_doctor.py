import resource
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.main import run
from gateway.cli.tests.fake_broker import FakeBroker
from wal_core import Invalid, Unavailable
from wal_core.stores.objects.probe import Check


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command; exit code and report."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1 << 20, 1 << 20))

    def call(*args: str) -> tuple[int, str]:
        code = run(["doctor", *args])
        return code, capsys.readouterr().out

    return call


def bucket_findings(monkeypatch: pytest.MonkeyPatch, findings: list[Check] | Exception) -> None:
    async def examine(*_: object, **__: object) -> list[Check]:
        if isinstance(findings, Exception):
            raise findings
        return findings

    async def stored_mode(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr("gateway.cli.checks.examine_bucket", examine)
    monkeypatch.setattr("gateway.cli.checks.stored_mode", stored_mode)


def test_a_new_folder_on_a_good_machine(doctor: Any, tmp_path: Path) -> None:
    code, report = doctor("--data", str(tmp_path / "new"))
    assert code == 0
    assert f"ok      folder: {tmp_path}/new (will be made)" in report
    for name in ("durable writes", "direct writes", "file descriptors", "advertised address"):
        assert f" {name}: " in report
    assert "failed" not in report
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to(
    doctor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    code, report = doctor("--data", str(tmp_path / "deeper"))
    assert code == 1
    assert f"failed  folder: {tmp_path} cannot be written to" in report
    assert "        try: " in report


@pytest.mark.parametrize(
    ("marker", "code", "said"),
    [
        ('{"format": 3, "mode": "file"}', 0, "ok      stored data: there are some, of mode file"),
        (
            '{"format": 3, "mode": "object"}',
            1,
            "failed  stored data: of mode object, not file\n"
            "        try: --mode object, or another --data",
        ),
        (
            '{"format": 99, "mode": "file"}',
            1,
            "version 99, this program reads version 3: run",
        ),
        ("garbage", 1, "is not a marker this program wrote; use an empty location"),
    ],
)
def test_data_that_a_start_would_refuse(
    doctor: Any, tmp_path: Path, marker: str, code: int, said: str
) -> None:
    (tmp_path / "woodpecker.json").write_text(marker)
    got_code, report = doctor("--data", str(tmp_path))
    assert (got_code, said in report) == (code, True), report


def test_little_space_is_a_warning(
    doctor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1 << 20

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    code, report = doctor("--data", str(tmp_path))
    assert code == 0
    assert "warning disk space: 1 MiB free, of 1GiB that should be" in report


def test_few_descriptors_are_a_warning(
    doctor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (512, 1024))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    code, report = doctor("--data", str(tmp_path))
    assert code == 0
    assert "warning file descriptors: 1024 for 10000 connections" in report
    assert "`ulimit -Hn 10256`, or --connections-max-count 768" in report


def test_memory_is_a_warning(doctor: Any) -> None:
    assert "warning data: in memory" in doctor("--data", "memory:")[1]


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--advertised", "host.invalid:9092"], 1, "failed  advertised address: host.invalid"),
        (["--listen", "host.invalid:9092"], 1, "try: --listen with an address of this machine"),
        (["--advertised", "192.0.2.7:9092"], 0, "ok      advertised address: 192.0.2.7:9092"),
        (["--advertised", "localhost:1", "--listen", "0.0.0.0:9092"], 0, "its own machine"),
    ],
)
def test_addresses(doctor: Any, tmp_path: Path, flags: list[str], code: int, said: str) -> None:
    got_code, report = doctor("--data", str(tmp_path), *flags)
    assert (got_code, said in report) == (code, True), report


def test_a_bucket_that_passes_with_a_warning(doctor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [
        Check("one of many wins", passed=True),
        Check("the clocks agree", passed=False, problem="90 s ahead", warning=True),
    ]
    bucket_findings(monkeypatch, findings)
    code, report = doctor("--data", "s3://bucket/x")
    assert code == 0
    assert "ok      bucket answers: s3://bucket/x\nok      one of many wins\n" in report
    assert "ok      stored data: none yet\n" in report
    assert "warning the clocks agree: 90 s ahead" in report


def test_a_bucket_that_cannot_be_trusted(doctor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket_findings(monkeypatch, [Check("one wins", passed=False, problem="3 of 16")])
    code, report = doctor("--data", "s3://bucket/x")
    assert code == 1
    assert "failed  one wins: 3 of 16\n        try: another store" in report


@pytest.mark.parametrize(
    "error", [Invalid("create the bucket"), Unavailable("no connection"), TimeoutError()]
)
def test_a_bucket_out_of_reach(
    doctor: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    bucket_findings(monkeypatch, error)
    code, report = doctor("--data", "s3://bucket/x")
    assert code == 1
    assert "failed  bucket answers: " in report
    assert (str(error) or "no answer within 60 s") in report
    assert ("try: whether the store runs" in report) == (not isinstance(error, Invalid))


def test_a_running_broker(doctor: Any, tmp_path: Path, broker: FakeBroker) -> None:
    code, report = doctor("--data", str(tmp_path), "--bootstrap", broker.bootstrap)
    assert code == 0
    assert f"ok      broker answers: {broker.bootstrap}" in report
    assert f"ok      node 7 is reached: {broker.bootstrap}" in report


def test_no_broker(doctor: Any, tmp_path: Path) -> None:
    code, report = doctor("--data", str(tmp_path), "--bootstrap", "127.0.0.1:1")
    assert code == 1
    assert "failed  broker answers: nothing listens on 127.0.0.1:1" in report


def test_a_wrong_setting_is_refused_as_by_serve(doctor: Any) -> None:
    assert doctor("--data", "ftp://x")[0] == 2


def test_help_names_its_own_options(capsys: pytest.CaptureFixture[str]) -> None:
    run(["doctor", "--help"])
    said = capsys.readouterr().out
    for flag in ("--bootstrap HOST:PORT", "--data ", "--help-all"):
        assert flag in said
