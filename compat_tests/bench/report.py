"""Numbers to lines."""

from __future__ import annotations

from collections.abc import Sequence


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of an ascending sequence lies below; nearest rank."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def line(what: str, *cells: str) -> None:
    print(f"  {what:<34}" + "".join(f"{cell:>20}" for cell in cells), flush=True)
