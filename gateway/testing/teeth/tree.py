"""A scratch copy of the sources: mistakes are made there, and tests run there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gateway.testing.teeth.mutation import Mutation

ROOT = Path(__file__).parents[3]
COPIED = ("gateway", "protocol", "wal_core", "compat_tests", "conftest.py", "pyproject.toml")
HIDING = ("_records.*.so", "_produce.*.so", "_blocks.*.so")
"""Compiled help that does what Python code says, and would hide a mistake there. The other one
(`_durable`) writes what Python code gives it, which makes mistakes of its own."""
TEST_S_MAX = 60
"""A mistake may make a test wait for ever; it then has noticed, in its way."""
RUN_S_MAX = 600

_FAILED = re.compile(r"^(?:FAILED|ERROR) ([^\s\[]+)", re.MULTILINE)


class Run(NamedTuple):
    """What a run of pytest came to; ids are without parameters."""

    failed: frozenset[str]
    output: str
    completed: bool  # pytest ran what it was asked for, and reported


class Tree:
    """The copy. `python` runs in it and imports from nowhere else."""

    def __init__(self, folder: Path, root: Path = ROOT, copied: Sequence[str] = COPIED) -> None:
        self.folder = folder
        skipped = shutil.ignore_patterns("__pycache__", ".hypothesis", "*.egg-info", *HIDING)
        for name in copied:
            if (root / name).is_dir():
                shutil.copytree(root / name, folder / name, ignore=skipped)
            else:
                shutil.copy(root / name, folder / name)

    @contextmanager
    def mutated(self, mutation: Mutation) -> Iterator[None]:
        """With the mistake in it, and as before afterwards."""
        path = self.folder / mutation.file
        text = path.read_text(encoding="utf-8")
        path.write_text(mutation.applied(text), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(text, encoding="utf-8")

    def test(self, tests: Sequence[str]) -> Run:
        """Run tests by their ids or files."""
        words = ["-m", "pytest", "-q", "--no-header", "--tb=line", "-rfE", "-p", "no:cacheprovider"]
        words += [f"--timeout={TEST_S_MAX}", *tests]
        try:
            done = self._python(words)
        except subprocess.TimeoutExpired:
            return Run(frozenset(tests), f"no end within {RUN_S_MAX} s", completed=True)
        failed = frozenset(_FAILED.findall(done.stdout))
        return Run(failed, done.stdout + done.stderr, completed=done.returncode in (0, 1))

    def _python(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        environ = dict(os.environ)
        environ["PYTHONPATH"] = str(self.folder)
        # Two texts of one length within a second would share their compiled form.
        environ["PYTHONDONTWRITEBYTECODE"] = "1"
        return subprocess.run(  # noqa: S603 - our own tests
            [sys.executable, *words],
            cwd=self.folder,
            env=environ,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=RUN_S_MAX,
        )
