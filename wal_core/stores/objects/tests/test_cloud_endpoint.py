"""Where requests go: by setting, by the variables of each kind of store, or not there at all."""

from __future__ import annotations

import pytest

from wal_core import CloudSettings, Invalid
from wal_core.stores.objects.cloud_endpoint import endpoint_of


def test_the_endpoint_of_a_setting_outweighs_the_environment():
    environ = {"AWS_ENDPOINT_URL": "http://a:1", "AWS_ENDPOINT_URL_S3": "http://b:2/"}
    assert endpoint_of("s3", CloudSettings(), environ) == "http://b:2"
    assert endpoint_of("s3", CloudSettings(endpoint="https://c"), environ) == "https://c"
    assert endpoint_of("s3", CloudSettings(), {}) is None
    assert endpoint_of("gs", CloudSettings(), environ) is None


@pytest.mark.parametrize(
    "endpoint",
    [
        "host:9000",
        "ftp://host",
        "http://",
        "http://[::1",
        "http://[zz]:1",
        "http://h:99999",
        "http://h:abc",
        "http://127.0.0.1.5",
        "http://1.2.3.400:9000",
    ],
)
def test_what_is_no_endpoint(endpoint):
    """The library would panic at some of them."""
    with pytest.raises(Invalid, match="expected http://HOST:PORT"):
        endpoint_of("s3", CloudSettings(endpoint=endpoint), {})


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000", "https://[::1]:9000"])
def test_a_bucket_name_does_not_go_before_an_ip_address(endpoint):
    """The library would panic at it."""
    settings = CloudSettings(endpoint=endpoint, path_style=False)
    with pytest.raises(Invalid, match="--s3-path-style"):
        endpoint_of("s3", settings, {})
    named = CloudSettings(endpoint="http://store:9000", path_style=False)
    assert endpoint_of("s3", named, {}) == "http://store:9000"
    assert endpoint_of("s3", CloudSettings(endpoint=endpoint), {}) == endpoint


def test_a_password_in_the_endpoint_is_refused_and_not_repeated():
    with pytest.raises(Invalid) as caught:
        endpoint_of("s3", CloudSettings(endpoint="http://me:geheim@host"), {})
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
@pytest.mark.parametrize("secret", ["http://h/a?sig=geheim", "https://me:geheim@h"])
def test_what_may_hold_a_secret_is_refused_for_every_store(scheme, secret):
    settings = CloudSettings(endpoint=secret, gs_endpoint=secret, az_endpoint=secret)
    with pytest.raises(Invalid, match="must not hold") as caught:
        endpoint_of(scheme, settings, {})
    assert "geheim" not in str(caught.value)


def test_each_store_has_settings_and_variables_of_its_own():
    environ = {
        "AWS_ENDPOINT_URL": "http://a:1",
        "GOOGLE_BASE_URL": "http://g:1",
        "AZURE_STORAGE_ENDPOINT": "http://z:1/account",
    }
    none = CloudSettings()
    found = {scheme: endpoint_of(scheme, none, environ) for scheme in ("s3", "gs", "az")}
    assert found == {"s3": "http://a:1", "gs": "http://g:1", "az": "http://z:1/account"}
    settings = CloudSettings(
        endpoint="http://b:1", gs_endpoint="http://h:1", az_endpoint="http://y"
    )
    found = {scheme: endpoint_of(scheme, settings, environ) for scheme in ("s3", "gs", "az")}
    assert found == {"s3": "http://b:1", "gs": "http://h:1", "az": "http://y"}


def test_googles_emulator_may_be_named_without_a_scheme():
    """As Google's own clients take it; no setting may be so short."""
    environ = {"STORAGE_EMULATOR_HOST": "localhost:9023"}
    assert endpoint_of("gs", CloudSettings(), environ) == "http://localhost:9023"
    environ = {"STORAGE_EMULATOR_HOST": "https://localhost:9023"}
    assert endpoint_of("gs", CloudSettings(), environ) == "https://localhost:9023"
    with pytest.raises(Invalid, match="endpoint of Google Cloud Storage is 'localhost:9023'"):
        endpoint_of("gs", CloudSettings(gs_endpoint="localhost:9023"), {})
