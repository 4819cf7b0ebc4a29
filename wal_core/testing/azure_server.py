"""Azure's blob service for tests: Azurite, Microsoft's own emulator, as a package of npm.

It checks signatures, and keeps everything in memory. Its account and key are the ones that every
client of Azure knows as the emulator's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import shutil
import urllib.request
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from pathlib import Path

from wal_core.testing.node_packages import installed
from wal_core.testing.server_process import ServerProcess, opener

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_VERSION = "2021-12-02"  # of the protocol, in the one request of ours
_PACKAGES = Path(__file__).with_name("azurite")


class AzureServer(ServerProcess):
    """One server process. Raises MissingToolError where Node.js is not."""

    def __init__(self) -> None:
        super().__init__("azurite")
        self._program = installed(_PACKAGES) / "node_modules/azurite/dist/src/blob/main.js"

    @property
    def version(self) -> str:
        """Of the emulator."""
        packages = json.loads((_PACKAGES / "package.json").read_text())
        return str(packages["dependencies"]["azurite"])

    def command(self, port: int) -> Sequence[str]:
        words = ["--blobHost", "127.0.0.1", "--blobPort", str(port)]
        words += ["--inMemoryPersistence", "--disableTelemetry", "--silent"]
        # The library speaks newer dates of the protocol than the emulator knows of.
        words += ["--skipApiVersionCheck"]
        return [shutil.which("node") or "node", str(self._program), *words]

    def process_environ(self, port: int) -> Mapping[str, str]:
        return {k: v for k, v in os.environ.items() if not k.startswith("AZURE_")}

    def environ(self) -> dict[str, str]:
        """What a program needs in its environment to find this server and nothing else."""
        return {
            "AZURE_STORAGE_ENDPOINT": f"{self.endpoint}/{ACCOUNT}",
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
        }

    def make_container(self, name: str) -> None:
        """The library has no call for it."""
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": _VERSION}
        signed = "PUT" + "\n" * 12 + "".join(f"{k}:{v}\n" for k, v in headers.items())
        signed += f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
        digest = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
        address = f"{self.endpoint}/{ACCOUNT}/{name}?restype=container"
        request = urllib.request.Request(address, method="PUT", headers=headers)  # noqa: S310
        with opener().open(request, timeout=10):
            pass
