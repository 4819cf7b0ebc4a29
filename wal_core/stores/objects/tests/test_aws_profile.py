"""Keys from the shared files: who comes first, what is refused, what is never shown."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from wal_core import Invalid
from wal_core.stores.objects.aws_profile import Profile, keys_of_profile

CREDENTIALS = """
[default]
aws_access_key_id = default-id
aws_secret_access_key = default-secret
[work]
aws_access_key_id = work-id
aws_secret_access_key = work-secret
aws_session_token = work-token
"""
CONFIG = """
[default]
region = eu-default
[profile work]
region = eu-work
[profile role]
role_arn = arn:aws:iam::1:role/x
"""


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / ".aws"
    folder.mkdir()
    (folder / "credentials").write_text(CREDENTIALS)
    (folder / "config").write_text(CONFIG)
    return {"HOME": str(tmp_path)}


def test_the_default_profile(home):
    profile = Profile.load(home)
    assert profile.region == "eu-default"
    assert profile.keys == {
        "access_key_id": "default-id",
        "secret_access_key": "default-secret",
        "token": None,
    }


def test_a_user_without_a_home_has_no_profiles():
    """As in a container that runs under a number nobody knows."""
    assert Profile.load({"HOME": "~nobody-of-that-name"}) == (None, None)


def test_a_named_profile(home):
    profile = Profile.load(home | {"AWS_PROFILE": "work"})
    assert profile.region == "eu-work"
    assert profile.keys is not None
    assert (profile.keys["access_key_id"], profile.keys["token"]) == ("work-id", "work-token")


def test_keys_in_the_environment_come_first(home):
    environ = home | {"AWS_ACCESS_KEY_ID": "x", "AWS_PROFILE": "work"}
    assert Profile.load(environ) == ("eu-work", None)


def test_a_role_of_the_machine_outweighs_a_profile_nobody_named(home):
    role = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}
    assert Profile.load(home | role).keys is None
    assert Profile.load(home | role | {"AWS_PROFILE": "work"}).keys is not None


def test_no_files_no_profile(tmp_path):
    assert Profile.load({"HOME": str(tmp_path)}) == (None, None)


@pytest.mark.parametrize(
    ("name", "said"), [("nobody", "no AWS file"), ("role", "export-credentials")]
)
def test_a_named_profile_that_cannot_be_used(home, name, said):
    with pytest.raises(Invalid, match=said):
        Profile.load(home | {"AWS_PROFILE": name})


def test_a_broken_file_is_named_but_not_shown(home):
    path = Path(home["HOME"]) / ".aws" / "credentials"
    path.write_text("aws_secret_access_key = geheim\n")
    with pytest.raises(Invalid, match="credentials") as caught:
        Profile.load(home)
    assert "geheim" not in str(caught.value)


def test_files_elsewhere(home, tmp_path):
    moved = (tmp_path / ".aws" / "credentials").rename(tmp_path / "moved")
    assert Profile.load(home | {"AWS_SHARED_CREDENTIALS_FILE": str(moved)}).keys is not None


def test_keys_that_rotate_are_read_again(home):
    ask = keys_of_profile(home)
    first = ask()
    assert first["expires_at"].tzinfo is datetime.UTC
    path = Path(home["HOME"]) / ".aws" / "credentials"
    path.write_text(CREDENTIALS.replace("default-id", "new-id"))
    assert (first["access_key_id"], ask()["access_key_id"]) == ("default-id", "new-id")
    path.write_text("")
    with pytest.raises(Invalid, match="no longer"):
        ask()
