"""What the library is told of a bucket."""

from __future__ import annotations

import pytest

from wal_core import CloudSettings, Invalid
from wal_core.stores.objects.cloud_location import open_backend, parse_location
from wal_core.stores.objects.cloud_options import azure_options, google_options

KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "very-secret", "HOME": "/nonexistent"}
S3 = parse_location("s3://bucket/p")


@pytest.mark.parametrize("missing", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_half_of_the_keys_is_told_by_name(missing):
    keys = {name: value for name, value in KEYS.items() if name != missing}
    with pytest.raises(Invalid, match=f"{missing} is not set") as caught:
        open_backend(S3, CloudSettings(), keys)
    assert "very-secret" not in str(caught.value)


def s3_config(settings: CloudSettings, environ: dict[str, str]) -> dict:
    return dict(open_backend(S3, settings, KEYS | environ).config)


def test_plain_http_is_signed_whole_and_tls_is_not():
    plain = s3_config(CloudSettings(endpoint="http://h:1"), {})
    assert plain["endpoint"] == plain["endpoint_url_s3"] == "http://h:1"
    assert "unsigned_payload" not in plain
    assert s3_config(CloudSettings(endpoint="https://h"), {})["unsigned_payload"] == "true"
    assert "unsigned_payload" not in s3_config(CloudSettings(), {"AWS_UNSIGNED_PAYLOAD": "false"})


def test_the_bucket_in_the_host_name():
    config = s3_config(CloudSettings(endpoint="https://h.example", path_style=False), {})
    assert config["endpoint"] == "https://bucket.h.example"
    assert config["virtual_hosted_style_request"] == "true"


def test_regions(tmp_path):
    assert s3_config(CloudSettings(), {})["region"] == "us-east-1"
    assert s3_config(CloudSettings(), {"AWS_DEFAULT_REGION": "eu-1"})["region"] == "eu-1"
    assert s3_config(CloudSettings(region="eu-2"), {"AWS_REGION": "eu-1"})["region"] == "eu-2"
    (tmp_path / "config").write_text("[default]\nregion = eu-3\n")
    environ = {"AWS_CONFIG_FILE": str(tmp_path / "config")}
    assert s3_config(CloudSettings(), environ)["region"] == "eu-3"


def test_in_the_clear_no_token_is_sent():
    assert google_options(None) == {}
    assert google_options("https://storage.example") == {
        "config": {"base_url": "https://storage.example"}
    }
    options = google_options("http://h:1")
    assert options["credential_provider"]() == {"token": "", "expires_at": None}


def test_whose_container():
    environ = {"AZURE_STORAGE_ACCOUNT": "older", "AZURE_STORAGE_ACCOUNT_NAME": "named"}
    assert azure_options(CloudSettings(), environ, None) == {"config": {"account_name": "named"}}
    settings = CloudSettings(az_account="set")
    assert azure_options(settings, environ, "http://h:1/set") == {
        "config": {"account_name": "set", "endpoint": "http://h:1/set"}
    }
    assert azure_options(CloudSettings(), {"AZURE_STORAGE_USE_EMULATOR": "true"}, None) == {
        "config": {}
    }
    with pytest.raises(Invalid, match=r"--az-account or AZURE_STORAGE_ACCOUNT_NAME"):
        azure_options(CloudSettings(), {}, None)


def test_a_key_that_is_none_is_told_before_anything_is_sent(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "!!")
    with pytest.raises(Invalid, match=r"az://container: .*Invalid Access Key"):
        open_backend(parse_location("az://container"), CloudSettings(az_account="a"), {})
