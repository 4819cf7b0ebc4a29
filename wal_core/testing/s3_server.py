"""A real S3 server for tests and benchmarks.

Two independent ones can be had as Python packages: ministack (fast, the default) and moto. Both
keep everything in memory.
"""

from __future__ import annotations

import os
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Literal

from wal_core.testing.server_process import ServerProcess, opener

Kind = Literal["ministack", "moto"]

REGION = "us-east-1"
ACCESS_KEY = "test-access-key"
SECRET_KEY = "test-secret-key"  # noqa: S105 - of a server that believes everybody


class S3Server(ServerProcess):
    """One server process. Use it as a context manager."""

    def __init__(self, kind: Kind = "ministack") -> None:
        super().__init__(kind)
        self.kind = kind

    def command(self, port: int) -> Sequence[str]:
        if self.kind == "moto":
            return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        address = f"127.0.0.1:{port}"
        # Its own command would write a file with its process id beside other people's.
        words = ["hypercorn", "ministack.app:app", "--bind", address]
        # No workers: one process, which a test can stop and end.
        return [sys.executable, "-m", *words, "--workers", "0"]

    def process_environ(self, port: int) -> Mapping[str, str]:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        environ |= {"SERVICES": "s3", "S3_PERSIST": "0", "LOG_LEVEL": "WARNING"}
        return environ | {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1"}

    def environ(self) -> dict[str, str]:
        """What a program needs in its environment to find this server and nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }

    def make_bucket(self, name: str) -> None:
        """The servers check no signature, so a bare PUT does."""
        request = urllib.request.Request(f"{self.endpoint}/{name}", method="PUT")  # noqa: S310
        with opener().open(request, timeout=10):
            pass
