"""kcat, librdkafka's command line tool, as it lies on this machine (Debian's package `kcat`)."""

import shutil
import subprocess
from collections.abc import Sequence

from compat_tests.support.environments import MissingClientError

ANSWER_TIMEOUT_S = 60


class Kcat:
    """For one broker; what it is asked fails with MissingClientError where there is none."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    def run(self, *words: str, stdin: bytes = b"") -> bytes:
        """What it prints; whatever it complains of is a failure."""
        done = self.ended(words, stdin)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def refused(self, *words: str, stdin: bytes = b"") -> str:
        """What it complains of before it ends with a failure."""
        done = self.ended(words, stdin)
        assert done.returncode != 0, done.stdout
        return done.stderr.decode()

    def ended(self, words: Sequence[str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        path = shutil.which("kcat")
        if path is None:
            raise MissingClientError("no kcat on PATH; Debian has it as the package kcat")
        return subprocess.run(
            [path, "-b", self._bootstrap, *words],
            input=stdin,
            capture_output=True,
            timeout=ANSWER_TIMEOUT_S,
            check=False,
        )

    def version(self) -> str:
        """Its own and its librdkafka's, which stand in one line, in brackets the latter."""
        said = self.ended(["-V"]).stdout.decode()
        words = said.replace(",", " ").split()
        own = words[words.index("Version") + 1]
        return f"kcat {own}, librdkafka {words[words.index('librdkafka') + 1]}"
