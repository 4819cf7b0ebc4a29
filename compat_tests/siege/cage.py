"""A bound on a process's memory, and what it took.

The kernel's own bound where control groups can be made (version 1 or 2, by root), so that a
process which exceeds it is killed. Everywhere the largest resident size is compared too.
"""

from __future__ import annotations

from pathlib import Path

GIB = 1 << 30
_ROOTS = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max"),
)


class Cage:
    """`with Cage(name) as cage: cage.put(pid)`; what it holds must have ended before it ends."""

    def __init__(self, name: str, bytes_max: int = GIB) -> None:
        self._name = name
        self.bytes_max = bytes_max
        self._folder: Path | None = None

    @property
    def kills(self) -> bool:
        """Whether the kernel enforces the bound."""
        return self._folder is not None

    def __enter__(self) -> Cage:
        for root, limit in _ROOTS:
            folder = root / self._name
            try:
                folder.mkdir()
                (folder / limit).write_text(str(self.bytes_max))
            except OSError:
                _remove(folder)
                continue
            self._folder = folder
            break
        return self

    def put(self, pid: int) -> None:
        if self._folder is not None:
            (self._folder / "cgroup.procs").write_text(str(pid))

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            _remove(self._folder)


def _remove(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        pass  # never made, or the kernel has not buried its last process yet


def peak_bytes(pid: int) -> int:
    """The largest resident size of a living process so far (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the process has ended: killed for its memory?")


def forget_peak(pid: int) -> None:
    """The largest size is counted from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
