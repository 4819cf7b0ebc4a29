"""Start-up in detail: from exec to the first accepted connection, idle memory, and where both go.

`python -m compat_tests.bench.startup [--runs N]`. Prints figures and judges nothing: the targets
(0.5 s, 80 MB) are for a machine that does nothing else.
"""

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from compat_tests.bench.broker import gateway
from compat_tests.bench.report import heading, line

# What is added on the way to a listening broker, each line containing the one before.
STAGES = (
    ("Python alone", "pass"),
    ("+ command line and settings", "import gateway.cli.main, gateway.cli.serve"),
    ("+ protocol", "import gateway.cli.serve, protocol"),
    ("+ asyncio", "import gateway.cli.serve, protocol, asyncio"),
    ("+ the whole server", "import gateway.cli.serve, gateway.serving"),
    ("+ uvloop", "import gateway.cli.serve, gateway.serving, uvloop"),
)
_PRINT_RSS = "; import resource as r; print(r.getrusage(r.RUSAGE_SELF).ru_maxrss)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    heading("exec to first accepted connection, idle memory")
    for mode, data_kind in (("file", "folder"), ("object", "folder"), ("object", "memory")):
        starts(mode, data_kind, runs)
    heading("where the time and the memory go (imports only)")
    for name, code in STAGES:
        took_ms, rss_mb = _run_python(code, runs)
        line(name, f"{took_ms:.0f} ms", f"{rss_mb:.0f} MB")


def starts(mode: str, data_kind: str, runs: int, environ: Mapping[str, str] | None = None) -> None:
    """Starts over an empty place and over what was left there; the median and the worst.

    `data_kind`: folder, memory, or the s3:// location that places are to be made in.
    """
    first_ms, second_ms, memory_mb = [], [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            data = "memory:" if data_kind == "memory" else str(Path(folder) / "data")
            if "://" in data_kind:
                data = f"{data_kind}/{Path(folder).name}"
            for took_ms in (first_ms, second_ms):
                begun = time.perf_counter()
                with gateway(data, mode, environ=environ) as broker:
                    host, _, port = broker.bootstrap.rpartition(":")
                    with socket.create_connection((host, int(port))):
                        took_ms.append((time.perf_counter() - begun) * 1000)
                    memory_mb.append(broker.memory_mb())
    for what, took_ms in (("first start", first_ms), ("second start", second_ms)):
        line(
            f"{mode} mode, {data_kind}, {what}",
            f"median {statistics.median(took_ms):.0f} ms",
            f"worst {max(took_ms):.0f} ms",
        )
    line("", f"idle {statistics.median(memory_mb):.0f} MB", f"worst {max(memory_mb):.0f} MB")


def _run_python(code: str, runs: int) -> tuple[float, float]:
    took_ms, rss_mb = [], []
    for _ in range(runs):
        begun = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code + _PRINT_RSS], capture_output=True, text=True, check=True
        )
        took_ms.append((time.perf_counter() - begun) * 1000)
        rss_mb.append(int(done.stdout) * 1024 / 1e6)  # ru_maxrss is in KiB on Linux
    return statistics.median(took_ms), statistics.median(rss_mb)


if __name__ == "__main__":
    main()
