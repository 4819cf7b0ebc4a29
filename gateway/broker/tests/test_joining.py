"""What the settings of a node make of its part in a cluster."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import pytest

from gateway.broker import joining
from gateway.broker.joining import ETCD_LATE_S, WORKERS_SETTLE_S, way_into_cluster
from gateway.cluster.coordination.shared import SharedStore
from gateway.cluster.neighbours import connect_tcp
from gateway.settings.config import Config

CONFIG = dataclasses.replace(Config(), node_lease_ms=5_500, etcd_prefix="/here")


def test_a_worker_joins_the_others_of_its_supervisor() -> None:
    supervisor = cast("SharedStore", object())
    store, settings = way_into_cluster(CONFIG, supervisor)
    assert store is supervisor
    assert (settings.prefix, settings.lease_s) == ("/here", 6)
    assert settings.settle_s == WORKERS_SETTLE_S
    assert settings.reach is None


@pytest.mark.parametrize("mode", ["object", "quorum"])
def test_a_node_joins_by_etcd_which_ends_leases_late(
    mode: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(CONFIG, mode=mode, etcd="http://127.0.0.1:1")
    opened = object()
    monkeypatch.setattr(joining, "open_store", lambda given: opened if given is config else None)
    store, settings = way_into_cluster(config, None)
    assert store is opened
    assert settings.lease_s == 6 - ETCD_LATE_S
    assert settings.reach is connect_tcp
    assert settings.waits == (mode == "quorum")
