"""The fuzzing process: one target, instrumented, under atheris until the time is up.

Started by the runner with the arguments of libFuzzer behind the target's name. Ends with another
code than 0 when an input breaks a rule, needs too much memory or too long; that input is then in
the folder for artifacts.
"""

from __future__ import annotations

import logging
import resource
import sys
from pathlib import Path

import atheris

MEMORY_BYTES_MAX = 256 * 1024 * 1024
"""Beyond what the process has when it begins. Twenty times what the fuzzer itself comes to need,
and far below what a length of 2^31 that is believed would ask for."""


def main() -> None:
    name, *arguments = sys.argv[1:]
    packages = ["gateway", "protocol", "wal_core", "configparser", "tomllib", "json"]
    with atheris.instrument_imports(include=packages):
        from gateway.testing.fuzz.table import target_named  # noqa: PLC0415 - instrumented here

    target = target_named(name)
    logging.disable()  # a refused record is reported, and here is nothing but those
    for _, data in target.seeds():
        target.run(data)  # loads what is loaded late
    _bound_memory()
    atheris.Setup([sys.argv[0], *arguments], target.run)
    atheris.Fuzz()


def _bound_memory() -> None:
    """A length that is believed ends in MemoryError, not in a slow machine."""
    status = Path("/proc/self/statm")
    if not status.exists():
        return
    used_bytes = int(status.read_text().split()[0]) * resource.getpagesize()
    limit_bytes = used_bytes + MEMORY_BYTES_MAX
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


if __name__ == "__main__":
    main()
