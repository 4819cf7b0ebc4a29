"""How a broker takes part in a cluster, by its settings: loaded by those that do."""

from __future__ import annotations

from gateway.broker.membership import MembershipSettings
from gateway.cluster.coordination.base import CoordinationStore
from gateway.cluster.coordination.opening import open_store
from gateway.cluster.coordination.shared import SharedStore
from gateway.cluster.neighbours import connect_tcp
from gateway.cluster.ownership import MoveRules
from gateway.settings.config import Config

ETCD_LATE_S = 1
WORKERS_SETTLE_S = 1.0
"""Workers that start together share logs out evenly if they come within that of each other."""
WORKERS_TENURE_MS_MIN = 5_000  # a worker that was started again gets its share back soon


def way_into_cluster(
    config: Config, supervisor: SharedStore | None
) -> tuple[CoordinationStore, MembershipSettings]:
    """Of a worker that has a supervisor, or of a node with etcd."""
    lease_s = -(-config.node_lease_ms // 1_000)
    if supervisor is not None:
        rules = MoveRules(tenure_ms_min=WORKERS_TENURE_MS_MIN)
        # Who ended has no lease from that moment on: nobody is waited for whom nobody can see.
        settle_s = WORKERS_SETTLE_S
        return supervisor, MembershipSettings(config.etcd_prefix, lease_s, rules, settle_s=settle_s)
    # etcd finds ended leases now and then, and ends them by its own log: up to a second later.
    lease_s -= ETCD_LATE_S
    waits = config.mode == "quorum"
    return open_store(config), MembershipSettings(
        config.etcd_prefix, lease_s, reach=connect_tcp, waits=waits
    )
