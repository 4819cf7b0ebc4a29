"""Imports machine code instead of the sources that it was made of, where it fits them.

What is listed in modules.txt is translated to C and compiled by mypyc (backend.py) into one
library, in built/<interpreter>/ beside this file. A program that wants it calls `install` before it
imports anything else of this project; whoever does not, as tests of modules, runs the sources. See
ARCHITECTURE.md, "Compiled help".
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

PURE_ENV = "WOODPECKER_PURE_PYTHON"
"""Set to anything, it keeps compiled code from being used."""

LIBRARY = "woodpecker__mypyc"
SUFFIX = EXTENSION_SUFFIXES[0]
ROOT = Path(__file__).parents[2]
BUILT = Path(__file__).with_name("built") / SUFFIX.strip(".").partition(".")[0]
SOURCES = "sources.txt"
"""Beside the library, a line for each module: the CRC of its source and its name."""


class _Finder:
    """First of `sys.meta_path`; knows the files of a few names and nothing of any other."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        file = self.files.get(name)
        if file is None:
            return None
        return spec_from_file_location(name, file, loader=ExtensionFileLoader(name, file))


def install(built: Path = BUILT, root: Path = ROOT) -> bool:
    """From now on imports take the machine code; False if there is none that fits.

    All or nothing: what is translated calls what else is without a look at it. So if one was
    imported from its source already, all are.
    """
    names = None if os.environ.get(PURE_ENV) else fitting(built, root)
    if names is None or any(name in sys.modules for name in names):
        return False
    files = {name: os.path.join(built, name + SUFFIX) for name in (*names, LIBRARY)}  # noqa: PTH118 - 60 of them
    finder = _Finder(files)
    sys.meta_path.insert(0, finder)
    try:
        import_module(LIBRARY)
    except ImportError:  # of another system, or damaged: the sources do the same
        sys.meta_path.remove(finder)
        return False
    return True


def in_use() -> int:
    """How many modules run as machine code in this process."""
    return sum(len(one.files) - 1 for one in sys.meta_path if isinstance(one, _Finder))


def fitting(built: Path = BUILT, root: Path = ROOT) -> list[str] | None:
    """The modules that machine code is there of; None if the source of one is another by now."""
    names = []
    try:
        (built / (LIBRARY + SUFFIX)).stat()
        for line in (built / SOURCES).read_text("ascii").splitlines():
            said, name = line.split()
            if int(said, 16) != source_crc(root, name):
                return None
            names.append(name)
    except (OSError, ValueError):
        return None
    return names or None


def source_crc(root: Path, name: str) -> int:
    with open(os.path.join(root, *name.split(".")) + ".py", "rb") as file:  # noqa: PTH118, PTH123 - 60 of them
        return crc32(file.read())
