"""The manifests: which one counts, and whether those it was built on are there."""

from __future__ import annotations

from wal_core.errors import Corrupt
from wal_core.format.block import BlockKind
from wal_core.format.places import Place
from wal_core.fsck.findings import Kind
from wal_core.fsck.look import Look
from wal_core.fsck.reading import Problem
from wal_core.stores.manifests import (
    KEPT_COUNT,
    NO_MANIFEST,
    Manifest,
    decode_manifest,
    manifest_key,
)


async def newest_manifest(look: Look) -> Manifest | None:
    """None when it is damaged, or known to be missing. Older ones are for people: theirs is a
    finding, no more."""
    numbers = look.inventory.manifests(look.log_id)
    # A folder is made for the manifest behind the newest: so much the folders tell of them.
    told = max(look.inventory.sealed_folders(look.log_id), default=0) - 1
    if told > max(numbers, default=-1):
        key = manifest_key(look.log_id, told)
        if await look.size_bytes(key, 0) is None:  # else committed while the rest was listed
            look.report.add(Kind.MISSING, key, "something was sealed on top of this manifest")
            return None
    if not numbers:
        return NO_MANIFEST
    oldest = max(numbers[0], numbers[-1] - KEPT_COUNT + 1)
    newest: Manifest | None = None
    for number in range(oldest, numbers[-1] + 1):
        key = manifest_key(look.log_id, number)
        look.inventory.name(key)
        is_newest = number == numbers[-1]
        if number not in numbers:
            look.report.add(Kind.MISSING, key, "an older manifest; there are later ones")
        elif is_newest or look.deep:
            found = await _read(look, key, number)
            if isinstance(found, Problem):
                whose = "the newest manifest" if is_newest else "an older manifest"
                look.problem(key, found, whose)
            elif is_newest:
                newest = found
    return newest


async def _read(look: Look, key: str, number: int) -> Manifest | Problem:
    block = await look.reader.block(Place(key, 0, None, look.log_id, number, 0))
    if isinstance(block, Problem):
        return block
    if block.header.kind != BlockKind.MANIFEST:
        return Problem(Kind.DAMAGED, "it is no manifest")
    try:
        return decode_manifest(block.data, number)
    except Corrupt as error:
        return Problem(Kind.DAMAGED, error.message)
