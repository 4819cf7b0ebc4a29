"""Making a log whole again: a damaged one as far as anything is left, one of a lagging copy as far
as it is whole."""

from wal_core.repair.giving_up import GivenUpTail, give_up_tail
from wal_core.repair.lagging import CutLog, GivenUp, cut_log
from wal_core.repair.repairing import Repaired, repair_log

__all__ = ["CutLog", "GivenUp", "GivenUpTail", "Repaired", "cut_log", "give_up_tail", "repair_log"]
