"""Starting and checking: one sentence where something is wrong, nothing secret in it."""

import subprocess
import sys
from pathlib import Path

import pytest

from compat_tests.support.gateway import Gateway
from wal_core.testing.s3_server import SECRET_KEY, S3Server

ROOT = Path(__file__).parents[2]
SERVE = ("serve", "--listen", "127.0.0.1:0")


def run(server: S3Server, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=ROOT,
        env={"HOME": str(ROOT / "nobody"), **server.environ(), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_doctor_trusts_a_good_bucket(s3_server: S3Server) -> None:
    done = run(s3_server, "doctor", "--data", "s3://compat/doctor")
    assert done.returncode == 0, done.stdout
    assert "ok      bucket answers: s3://compat/doctor" in done.stdout
    assert "ok      one of many concurrent creates wins" in done.stdout


def test_exit_codes_are_the_programs_own(s3_server: S3Server) -> None:
    """The library's threads once aborted the process while the interpreter was taken apart."""
    codes = [run(s3_server, "doctor", "--data", "s3://compat/x").returncode for _ in range(12)]
    assert codes == [0] * 12


@pytest.mark.parametrize("command", [SERVE, ("doctor",)], ids=["serve", "doctor"])
@pytest.mark.parametrize(
    ("data", "environ", "expected"),
    [
        ("s3://missing/x", {}, "create the bucket or correct --data"),
        ("s3://compat/x", {"AWS_REGION": "eu-west-1"}, "set the bucket's own region"),
        ("s3://compat/x", {"AWS_PROFILE": "nobody", "AWS_ACCESS_KEY_ID": ""}, "AWS_PROFILE names"),
        (
            "s3://compat/x",
            {"AWS_ENDPOINT_URL": "http://me:pass@h"},
            "must not hold a name or",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    s3_server: S3Server,
    command: tuple[str, ...],
    data: str,
    environ: dict[str, str],
    expected: str,
) -> None:
    done = run(s3_server, *command, "--data", data, **environ)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert expected in said
    assert "Traceback" not in said
    assert SECRET_KEY not in said
    assert "pass@" not in said


def test_two_prefixes_of_a_bucket_are_two_brokers_and_one_prefix_is_one(
    s3_server: S3Server,
) -> None:
    environ = s3_server.environ()
    with (
        Gateway("s3://compat/one", mode="s3", environ=environ) as one,
        Gateway("s3://compat/two", mode="s3", environ=environ) as two,
    ):
        with Gateway("s3://compat/one", mode="s3", environ=environ) as thief:
            # The first learns of it at its next write, which is never acknowledged.
            arguments = ("produce", "t", "--value", "x", "--timeout", "5s", "--bootstrap")
            assert run(s3_server, *arguments, thief.bootstrap).returncode == 0
            assert run(s3_server, *arguments, one.bootstrap).returncode == 1
            assert run(s3_server, *arguments, two.bootstrap).returncode == 0
            assert thief.stop() == 0
        assert two.stop() == 0
    assert any("another writer" in line for line in one.log), one.log
