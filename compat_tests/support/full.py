"""A file system that is filled, as another program would."""

import errno
from pathlib import Path

MIB = 1 << 20


def fill(filler: Path) -> None:
    """To the last byte, with that file."""
    with filler.open("ab", buffering=0) as file:
        for size in (MIB, 4096):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC
