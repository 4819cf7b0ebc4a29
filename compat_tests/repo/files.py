"""The files of the repository, without what tools leave in it (no version control needed)."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Folders that .gitignore names, and version control's own.
_NOT_OURS = {".git", ".venv", ".venvs", "__pycache__", "data", "dist", "build"}


def repository_files(folder: Path = ROOT) -> Iterator[Path]:
    """Every file a clone has, as absolute paths, in order."""
    for path in sorted(folder.iterdir()):
        if (
            path.is_symlink()
            or path.name in _NOT_OURS
            or path.name.endswith(("_cache", ".egg-info"))
        ):
            continue
        if path.is_dir():
            if path.name != ".hypothesis":
                yield from repository_files(path)
        elif path.suffix not in (".pyc", ".so"):
            yield path


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
