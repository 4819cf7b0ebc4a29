"""Checking a location offline, from what is stored alone: nothing is locked, nothing is changed."""

from wal_core.fsck.check import check_log
from wal_core.fsck.findings import Finding, LogReport, Records
from wal_core.fsck.findings import Kind as FindingKind
from wal_core.fsck.inventory import stored_log_ids

__all__ = ["Finding", "FindingKind", "LogReport", "Records", "check_log", "stored_log_ids"]
