"""What cannot reach any etcd is told by name."""

import pytest

from gateway.cluster.coordination.etcd_settings import EtcdSettings


def test_settings_that_cannot_work_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no etcd endpoint"):
        EtcdSettings(())
    with pytest.raises(ValueError, match="user and password both"):
        EtcdSettings(("127.0.0.1:1",), user="root")
    with pytest.raises(ValueError, match="certificate and its key both"):
        EtcdSettings(("127.0.0.1:1",), key=b"x")


def test_secrets_are_not_shown() -> None:
    shown = repr(EtcdSettings(("127.0.0.1:1",), user="root", password="secret"))
    assert "root" in shown
    assert "secret" not in shown
