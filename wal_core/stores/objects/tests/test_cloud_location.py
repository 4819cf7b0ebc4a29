"""Locations, endpoints, and what the library is told."""

from __future__ import annotations

import subprocess
import sys

import pytest

from wal_core import CloudSettings, Invalid, is_cloud
from wal_core.stores.objects.cloud_location import endpoint_of, open_backend, parse_location

KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "very-secret", "HOME": "/nonexistent"}


@pytest.mark.parametrize(
    ("text", "bucket", "prefix", "shown"),
    [
        ("s3://bucket", "bucket", "", "s3://bucket"),
        ("s3://bucket/", "bucket", "", "s3://bucket"),
        ("S3://my.bucket-1/a/b_c/", "my.bucket-1", "a/b_c", "s3://my.bucket-1/a/b_c"),
        ("gs://bucket/x", "bucket", "x", "gs://bucket/x"),
        ("az://container/x=1", "container", "x=1", "az://container/x=1"),
    ],
)
def test_locations(text, bucket, prefix, shown):
    assert is_cloud(text)
    parsed = parse_location(text)
    assert (parsed.bucket, parsed.prefix, str(parsed)) == (bucket, prefix, shown)


@pytest.mark.parametrize(
    "text",
    [
        "s3://",
        "s3:///x",
        "s3://b",
        "s3://buck et",
        "s3://bucket//x",
        "s3://bucket/../x",
        "http://x/y",
        "s3://bucket/a b",
        "s3://user:password@host/x",
        "s3://bucket/%41",
        "s3://bucket/?x",
    ],
)
def test_what_is_no_location(text):
    with pytest.raises(Invalid, match="expected s3://BUCKET/PREFIX"):
        parse_location(text)


@pytest.mark.parametrize("text", ["./data", "memory:", "ftp://host/x", "s3:bucket", "/s3://x"])
def test_other_places(text):
    assert not is_cloud(text)


S3 = parse_location("s3://bucket/p")


def test_the_endpoint_of_a_setting_outweighs_the_environment():
    environ = {"AWS_ENDPOINT_URL": "http://a:1", "AWS_ENDPOINT_URL_S3": "http://b:2/"}
    assert endpoint_of(S3, CloudSettings(), environ) == "http://b:2"
    assert endpoint_of(S3, CloudSettings(endpoint="https://c"), environ) == "https://c"
    assert endpoint_of(S3, CloudSettings(), {}) is None
    assert endpoint_of(parse_location("gs://bucket"), CloudSettings(), environ) is None


@pytest.mark.parametrize(
    "endpoint",
    [
        "host:9000",
        "ftp://host",
        "http://",
        "http://h/?key=x",
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
        endpoint_of(S3, CloudSettings(endpoint=endpoint), {})


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000", "https://[::1]:9000"])
def test_a_bucket_name_does_not_go_before_an_ip_address(endpoint):
    """The library would panic at it."""
    settings = CloudSettings(endpoint=endpoint, path_style=False)
    with pytest.raises(Invalid, match="--s3-path-style"):
        endpoint_of(S3, settings, {})
    named = CloudSettings(endpoint="http://store:9000", path_style=False)
    assert endpoint_of(S3, named, {}) == "http://store:9000"
    assert endpoint_of(S3, CloudSettings(endpoint=endpoint), {}) == endpoint


@pytest.mark.parametrize("missing", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_half_of_the_keys_is_told_by_name(missing):
    keys = {name: value for name, value in KEYS.items() if name != missing}
    with pytest.raises(Invalid, match=f"{missing} is not set") as caught:
        open_backend(S3, CloudSettings(), keys)
    assert "very-secret" not in str(caught.value)


def test_a_password_in_the_endpoint_is_refused_and_not_repeated():
    with pytest.raises(Invalid) as caught:
        endpoint_of(S3, CloudSettings(endpoint="http://me:geheim@host"), {})
    assert "geheim" not in str(caught.value)


def config_of(settings: CloudSettings, environ: dict[str, str]) -> dict:
    return dict(open_backend(S3, settings, KEYS | environ).config)


def test_plain_http_is_signed_whole_and_tls_is_not():
    plain = config_of(CloudSettings(endpoint="http://h:1"), {})
    assert plain["endpoint"] == plain["endpoint_url_s3"] == "http://h:1"
    assert "unsigned_payload" not in plain
    assert config_of(CloudSettings(endpoint="https://h"), {})["unsigned_payload"] == "true"
    assert "unsigned_payload" not in config_of(CloudSettings(), {"AWS_UNSIGNED_PAYLOAD": "false"})


def test_the_bucket_in_the_host_name():
    config = config_of(CloudSettings(endpoint="https://h.example", path_style=False), {})
    assert config["endpoint"] == "https://bucket.h.example"
    assert config["virtual_hosted_style_request"] == "true"


def test_regions(tmp_path):
    assert config_of(CloudSettings(), {})["region"] == "us-east-1"
    assert config_of(CloudSettings(), {"AWS_DEFAULT_REGION": "eu-1"})["region"] == "eu-1"
    assert config_of(CloudSettings(region="eu-2"), {"AWS_REGION": "eu-1"})["region"] == "eu-2"
    (tmp_path / "config").write_text("[default]\nregion = eu-3\n")
    environ = {"AWS_CONFIG_FILE": str(tmp_path / "config")}
    assert config_of(CloudSettings(), environ)["region"] == "eu-3"


def test_an_authority_that_cannot_be_read():
    with pytest.raises(Invalid, match="AWS_CA_BUNDLE"):
        open_backend(S3, CloudSettings(), KEYS | {"AWS_CA_BUNDLE": "/nonexistent"})
    with pytest.raises(Invalid, match="s3://bucket/p"):
        open_backend(S3, CloudSettings(), KEYS | {"AWS_CA_BUNDLE": __file__})


def test_other_clouds_are_opened_by_the_same_library(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")
    for text in ("gs://bucket/p", "az://container/p"):
        assert open_backend(parse_location(text), CloudSettings(), {}).prefix == "p"


def test_a_gateway_with_a_folder_does_not_load_the_library():
    code = (
        "import gateway.server, wal_core, sys; "
        "print([m for m in sys.modules if 'cloud' in m or m == 'obstore'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
