"""Consumer groups: membership, generations and committed offsets.

The package knows Kafka's group semantics and the record formats of ``__consumer_offsets``. It knows
neither sockets nor logs: records leave through `GroupJournal` and come back through
`GroupCoordinator.replay`. Time comes from the running loop, timestamps from the injected clock.
"""

from gateway.groups.config import GroupConfig, group_config
from gateway.groups.coordinator import GroupCoordinator
from gateway.groups.coordinators import GroupCoordinators
from gateway.groups.journal import GroupJournal

__all__ = [
    "GroupConfig",
    "GroupCoordinator",
    "GroupCoordinators",
    "GroupJournal",
    "group_config",
]
