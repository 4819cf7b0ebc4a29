"""Making a damaged log whole, as far as anything is left: what fsck has found, upkeep's way."""

from wal_core.repair.repairing import Repaired, repair_log

__all__ = ["Repaired", "repair_log"]
