"""The disks of logstores: a folder each, or a small file system that can be filled."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from compat_tests.support.full import MIB, fill

SMALL_BYTES = 128 * MIB
SMALL_FLAGS = {"--disk-free-bytes-min": "8MiB"}
INSIDE_ENV = "ROUNDS_MAY_MOUNT"


def may_mount(module: str) -> bool:
    """Starts this program anew where it may mount what nobody else sees; False: that is not allowed
    here."""
    if os.environ.get(INSIDE_ENV):
        return True
    unshared = ["unshare", "-Urm"]
    try:
        subprocess.run([*unshared, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pass
    else:
        os.environ[INSIDE_ENV] = "1"
        os.execvp(unshared[0], [*unshared, sys.executable, "-m", module, *sys.argv[1:]])
    return False


class Disk:
    """Of one node."""

    def __init__(self, folder: Path, *, is_small: bool) -> None:
        self._folder = folder
        self._is_small = is_small
        folder.mkdir()
        if is_small:
            words = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_BYTES}", "tmpfs", str(folder)]
            subprocess.run(words, check=True)

    @property
    def logstore(self) -> Path:
        """Its folder."""
        return self._folder / "logstore"

    @property
    def flags(self) -> dict[str, str]:
        return SMALL_FLAGS if self._is_small else {}

    def wipe(self) -> None:
        """While nobody has it open."""
        shutil.rmtree(self.logstore, ignore_errors=True)

    def fill(self) -> None:
        assert self._is_small
        fill(self._filler)

    def clear(self) -> None:
        self._filler.unlink(missing_ok=True)

    def end(self) -> None:
        if self._is_small:
            subprocess.run(["umount", "--lazy", str(self._folder)], check=True)

    @property
    def _filler(self) -> Path:
        return self._folder / "filler"
