"""What is there and not part of the log: garbage, what was cut short, what nothing speaks for."""

from __future__ import annotations

from collections.abc import Sequence

from wal_core.format.chain import Sealed
from wal_core.fsck.findings import Kind
from wal_core.fsck.look import Look
from wal_core.fsck.segments import number_of
from wal_core.stores.manifests import KEPT_COUNT, Garbage, Manifest


async def judge_slots_behind(look: Look, segment: int) -> None:
    """Slots behind the end of a segment, where a fenced writer had blocks in flight."""
    for key in look.inventory.unnamed(look.blocks_of(segment)):
        header = await look.reader.header(key)
        if header is not None and (header.segment, header.block) == (segment, number_of(key)):
            look.inventory.name(key)
            look.report.add(Kind.STRAGGLER, key, "behind the end of its segment")


def judge_garbage(look: Look, manifest: Manifest) -> None:
    """What waits for its deletion. Once everything that is alive is named."""
    inventory, report = look.inventory, look.report
    found: set[str] = set()
    for row in manifest.garbage:
        for key in _keys_of(look, row):
            if inventory.is_named(key) and key not in found:
                text = f"in use, but manifest {manifest.number} wants it deleted"
                report.add(Kind.DOOMED, key, text)
            elif key in inventory.sizes:
                found.add(key)
            inventory.name(key)
    report.garbage_count = len(found)
    report.garbage_bytes = sum(inventory.sizes[key] for key in found)


def _keys_of(look: Look, row: Garbage) -> list[str]:
    if row.segment is None:
        return row.keys
    return [key for key in look.blocks_of(row.segment) if number_of(key) not in row.keep] + row.keys


def judge_rest(look: Look, manifest: Manifest, bad_seals: Sequence[Sealed]) -> None:
    """Everything that is not named by now."""
    # Where links of the chain are missing, what seems to be left over may be all there is of them.
    broken = any(finding.kind is Kind.GAP for finding in look.report.findings)
    named_folders = {
        key.rpartition("/")[0]
        for key in look.inventory.under(f"sealed/{look.log_id}/")
        if look.inventory.is_named(key)
    }
    for key in look.inventory.unnamed():
        if key == f"logs/{look.log_id}/lock":
            continue
        kind, number = Kind.ORPHAN, _number_of_name(key)
        if key.startswith("sealed/"):
            # Its objects come before its index, and that before the manifest: once one of a folder
            # is named, all are. Folders up to `swept` nobody will look at again.
            cut_short = key.rpartition("/")[0] not in named_folders and number > manifest.swept
            kind = Kind.LEFTOVER if cut_short and not broken else Kind.ORPHAN
        elif key.startswith("manifests/") and 0 <= number <= manifest.number - KEPT_COUNT:
            kind = Kind.LEFTOVER
        if any(_may_name(sealed, key) for sealed in bad_seals):
            look.report.unjudged_count += 1
        else:
            text = f"{look.inventory.sizes[key]} bytes that nothing names"
            look.report.add(kind, key, text)


def _may_name(sealed: Sealed, key: str) -> bool:
    """Whether an index that cannot be read may have named an object."""
    folder, _, name = key.split("/", 2)
    if folder == "sealed":
        return name[:20] <= sealed.index.split("/")[2][:20]
    number = _number_of_name(key)
    return folder == "logs" and sealed.first <= number <= sealed.last


def _number_of_name(key: str) -> int:
    """The number behind the log's, -1 when there is none: of a manifest, segment, sealed folder."""
    name = key.split("/", 2)[2][:20]
    return int(name) if name.isascii() and name.isdigit() else -1
