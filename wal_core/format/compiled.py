"""The compiled help, where it was built and is wanted: see ARCHITECTURE.md, "Compiled help".

Each user of it has Python code that does the same, and takes that where this is None.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

PURE_ENV = "WOODPECKER_PURE_PYTHON"
"""Set to anything, it keeps compiled code from being used."""


_PARTS = {
    "blocks that are read and their checksums": "wal_core.format._blocks",
    "blocks that are written": "wal_core.stores._durable",
}


def compiled_parts() -> dict[str, bool]:
    """What there can be compiled help for, and whether it is in use."""
    return {part: compiled(name) is not None for part, name in _PARTS.items()}


def compiled(name: str) -> ModuleType | None:
    """A module of this package that is written in C."""
    if os.environ.get(PURE_ENV):
        return None
    try:
        module = import_module(name)
    except ImportError:
        return None
    return None if is_stale(module.__file__ or "") else module


def is_stale(built: str) -> bool:
    """Its source lies beside it and is newer, as in a checkout after a pull: what it does, and how
    it is called, may be another version's."""
    source = built.partition(".abi3.")[0] + ".c"
    try:
        return os.stat(built).st_mtime_ns < os.stat(source).st_mtime_ns  # noqa: PTH116 - as in protocol
    except OSError:
        return False
