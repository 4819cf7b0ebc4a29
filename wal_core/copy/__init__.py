"""Copying a log, also one that is being written, to another folder or bucket.

What arrives is a prefix of the log that holds every record confirmed before the copy began, in the
same or in the other mode. It is no log before it is whole: its marker comes last.
"""

from wal_core.copy.copier import CopyReport, copy_log
from wal_core.copy.target import open_to_copy

__all__ = ["CopyReport", "copy_log", "open_to_copy"]
