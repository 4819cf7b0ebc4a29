"""Which disk a logstore is: two small files in its folder, each written once. Blocking."""

from __future__ import annotations

from pathlib import Path

from wal_core.errors import Corrupt
from wal_core.format.logstore_records import Identity, encode_identity, parse_identity
from wal_core.logstore.folder import read_whole, write_whole
from wal_core.stores.files import sync_folder

NAME = "disk"
BOUND_NAME = "disk.cluster"


def load_identity(root: Path, drawn: bytes) -> Identity:
    """The one that is there; else a new one, of the disk that was drawn. Durable on return. Raises
    Corrupt: who cannot tell who it is must not answer."""
    sync_folder(root)  # a name may be there that no one lived to make durable
    for name in (BOUND_NAME, NAME):
        try:
            return parse_identity(read_whole(root / name))
        except FileNotFoundError:
            continue
        except Corrupt as error:
            raise Corrupt(f"{root / name}: {error.message}") from error
    identity = Identity(drawn, "")
    write_whole(root / NAME, encode_identity(identity))
    return identity


def write_cluster(root: Path, identity: Identity) -> None:
    """It belongs to that cluster from now on. Durable on return."""
    write_whole(root / BOUND_NAME, encode_identity(identity))
