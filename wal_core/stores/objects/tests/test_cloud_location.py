"""Locations, and opening what they name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from wal_core import CloudSettings, Invalid, is_cloud
from wal_core.stores.objects.cloud_location import open_backend, parse_location

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


def test_an_authority_that_cannot_be_read():
    with pytest.raises(Invalid, match="AWS_CA_BUNDLE"):
        open_backend(S3, CloudSettings(), KEYS | {"AWS_CA_BUNDLE": "/nonexistent"})
    with pytest.raises(Invalid, match="s3://bucket/p"):
        open_backend(S3, CloudSettings(), KEYS | {"AWS_CA_BUNDLE": __file__})


def test_other_clouds_are_opened_by_the_same_library(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")
    for text in ("gs://bucket/p", "az://container/p"):
        settings = CloudSettings(az_account="account")
        assert open_backend(parse_location(text), settings, {}).prefix == "p"


def test_a_gateway_with_a_folder_does_not_load_the_library():
    code = (
        "import gateway.serving, wal_core, sys; "
        "print([m for m in sys.modules if 'cloud' in m or m == 'obstore'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
