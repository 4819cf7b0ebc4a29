"""Checks recorded histories of clients for what a log must never do. Format: HISTORY.md.

Stands alone: the standard library and msgspec, no clock, no network, nothing of the broker, so that
it judges any broker that speaks Kafka's protocol.
"""

from gateway.verify.lines import Unreadable
from gateway.verify.load import load_history
from gateway.verify.report import Report, verify
from gateway.verify.writer import HistoryWriter, Recorded, poll, send

__all__ = [
    "HistoryWriter",
    "Recorded",
    "Report",
    "Unreadable",
    "load_history",
    "poll",
    "send",
    "verify",
]
