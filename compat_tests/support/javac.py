"""Java programs of ours: compiled when the tests run, against the jars they run with."""

import fcntl
import os
import shutil
import subprocess
from functools import cache
from hashlib import sha256
from pathlib import Path

from compat_tests.support.environments import MissingClientError
from compat_tests.support.java import FOLDER, classpath, java

# What our programs stand on beside what they are about.
LIBRARIES = ("com.fasterxml.jackson.core:jackson-databind:2.19.4", "org.slf4j:slf4j-simple:1.7.36")
COMPILE_TIMEOUT_S = 300
# Quick to start, and small: several run beside each other.
JVM_FLAGS = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Djava.net.preferIPv4Stack=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


@cache
def program(sources: Path, main: str, *coordinates: str) -> list[str]:
    """The command that runs the class `main` of a folder of sources; its arguments follow."""
    jars = classpath(*coordinates)
    path = os.pathsep.join((str(_compiled(sources, jars)), jars))
    return [java(), *JVM_FLAGS, "-cp", path, main]


def _compiled(sources: Path, jars: str) -> Path:
    """The folder of their classes; made anew when a source or a jar is another one."""
    files = sorted(sources.glob("*.java"))
    digest = sha256(jars.encode())
    for file in files:
        digest.update(file.name.encode() + file.read_bytes())
    folder = FOLDER / f"{sources.name}-{digest.hexdigest()[:12]}"
    with (FOLDER / f"{folder.name}.lock").open("w") as lock:  # tests run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _compile(files, jars, folder)
    return folder


def _compile(files: list[Path], jars: str, folder: Path) -> None:
    compiler = shutil.which("javac")
    if compiler is None:
        raise MissingClientError("no javac on PATH; install a JDK, not only a Java runtime")
    made = folder.with_suffix(".new")
    shutil.rmtree(made, ignore_errors=True)
    done = subprocess.run(
        [compiler, "-proc:none", "-cp", jars, "-d", str(made), *map(str, files)],
        capture_output=True,
        text=True,
        timeout=COMPILE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made.rename(folder)
