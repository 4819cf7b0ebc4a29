"""Buckets of other clouds: the same promises, and remedies in their own words."""

from collections.abc import Callable

import pytest

from compat_tests.stored.test_fsck import command, fsck
from compat_tests.support.gateway import Gateway
from compat_tests.wire.batches import build, values_of
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import create_topic, fetch_batches, produce
from wal_core.testing.azure_server import AzureServer
from wal_core.testing.google_front import GoogleFront

RECORDS_COUNT = 30
SERVE = ("serve", "--listen", "127.0.0.1:0")
# So that segments are sealed, garbage is deleted: every kind of request is made.
SETTINGS = (
    *("--segment-bytes-max", "64KiB", "--block-bytes-max", "64KiB"),
    *("--garbage-grace-ms", "1000", "--dead-check-ms", "100"),
)


@pytest.fixture(params=["gs", "az"])
def cloud(request: pytest.FixtureRequest) -> tuple[str, dict[str, str]]:
    """A scheme, and the environment that leads to its bucket `compat`."""
    server = request.getfixturevalue(f"{request.param}_server")
    return request.param, server.environ()


def test_what_was_acknowledged_survives_a_kill(
    cloud: tuple[str, dict[str, str]], own_gateway: Callable[..., Gateway], topic: str
) -> None:
    scheme, environ = cloud
    place = f"{scheme}://compat/killed"
    gateway = own_gateway(scheme, *SETTINGS, data=place)
    with Connection(gateway.bootstrap) as connection:
        create_topic(connection, topic)
        for number in range(RECORDS_COUNT):
            assert produce(connection, topic, build([b"%d" % number * 6000])).error_code == 0
    gateway.restart(graceful=False)
    with Connection(gateway.bootstrap) as connection:
        batches = fetch_batches(connection, topic)
        found = [value for batch in batches for _, value in values_of(batch)]
    assert found == [b"%d" % number * 6000 for number in range(RECORDS_COUNT)]
    assert gateway.stop() == 0
    code, report = fsck(place, **environ)
    # What was killed in the middle of a compaction leaves an object that nothing names yet.
    assert (code, [row for row in report["findings"] if not row["harmless"]]) == (0, [])


def test_doctor_trusts_it(cloud: tuple[str, dict[str, str]]) -> None:
    scheme, environ = cloud
    done = command("doctor", "--data", f"{scheme}://compat/doctor", **environ)
    assert done.returncode == 0, done.stdout
    assert "ok      one of many concurrent creates wins" in done.stdout


def refusal(*arguments: str, **environ: str) -> str:
    done = command(*arguments, **environ)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("verb", [SERVE, ("doctor",)], ids=["serve", "doctor"])
def test_settings_of_google_are_corrected_in_one_sentence(
    gs_server: GoogleFront, verb: tuple[str, ...]
) -> None:
    said = refusal(*verb, "--data", "gs://missing/x", **gs_server.environ())
    assert "create the bucket or correct --data" in said
    # Somebody else's protocol: the request itself is refused.
    said = refusal(*verb, "--data", "s3://compat/x", AWS_ENDPOINT_URL=gs_server.endpoint,
                   AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")  # fmt: skip
    assert "not of this dialect" in said


@pytest.mark.parametrize("verb", [SERVE, ("doctor",)], ids=["serve", "doctor"])
@pytest.mark.parametrize(
    ("data", "environ", "expected"),
    [
        ("az://missing/x", {}, "create the container or correct --data"),
        ("az://compat/x", {"AZURE_STORAGE_ACCOUNT_KEY": "d3Jvbmc="}, "AZURE_STORAGE_ACCOUNT_KEY"),
        ("az://compat/x", {"AZURE_STORAGE_ACCOUNT_KEY": "!!"}, "Invalid Access Key"),
        ("az://compat/x", {"AZURE_STORAGE_ACCOUNT_NAME": ""}, "--az-account"),
    ],
)
def test_settings_of_azure_are_corrected_in_one_sentence(
    az_server: AzureServer,
    verb: tuple[str, ...],
    data: str,
    environ: dict[str, str],
    expected: str,
) -> None:
    said = refusal(*verb, "--data", data, **{**az_server.environ(), **environ})
    assert expected in said
    assert az_server.environ()["AZURE_STORAGE_ACCOUNT_KEY"] not in said


def test_flags_lead_there_as_well_as_variables(az_server: AzureServer) -> None:
    environ = az_server.environ()
    endpoint, account = environ["AZURE_STORAGE_ENDPOINT"], environ["AZURE_STORAGE_ACCOUNT_NAME"]
    key = {"AZURE_STORAGE_ACCOUNT_KEY": environ["AZURE_STORAGE_ACCOUNT_KEY"]}
    flags = ("--az-endpoint", endpoint, "--az-account", account)
    done = command("doctor", "--data", "az://compat/doctor", *flags, **key)
    assert done.returncode == 0, done.stdout
