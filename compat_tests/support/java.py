"""Programs from the Java registry: a class path for coordinates, made by Maven on first use.

Maven keeps the jars in its own repository; which of them belong together is noted under
`.venvs/java/`, so that only the first run asks Maven.
"""

import fcntl
import shutil
import subprocess
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from xml.sax.saxutils import escape

from compat_tests.support.environments import ROOT, MissingClientError

FOLDER = ROOT / ".venvs" / "java"
CLASSPATH_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:build-classpath"
MAVEN_TIMEOUT_S = 600
JAVA_MAJOR_MIN = 17
"""What Apache Kafka 4 runs on."""


def java() -> str:
    """The Java that runs them; MissingClientError where there is none, or one too old."""
    path = shutil.which("java")
    if path is None:
        raise MissingClientError(f"no java on PATH; install Java {JAVA_MAJOR_MIN} or newer")
    said = subprocess.run([path, "-version"], capture_output=True, text=True, check=False).stderr
    version = said.partition('version "')[2].partition('"')[0]
    major = version.split(".", maxsplit=1)[0]
    if not major.isdigit() or int(major) < JAVA_MAJOR_MIN:
        raise MissingClientError(f"{path} is Java {version}, needed is {JAVA_MAJOR_MIN} or newer")
    return path


def classpath(*coordinates: str) -> str:
    """For `group:artifact:version` each, with all that they depend on."""
    name = (
        f"{coordinates[0].split(':')[1]}-{sha256(' '.join(coordinates).encode()).hexdigest()[:8]}"
    )
    folder = FOLDER / name
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:  # tests run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        noted = folder / "classpath"
        if not noted.exists() or not _complete(noted.read_text()):
            _resolve(folder, noted, coordinates)
        return noted.read_text().strip()


def _complete(text: str) -> bool:
    return bool(text.strip()) and all(Path(jar).exists() for jar in text.strip().split(":"))


def _resolve(folder: Path, noted: Path, coordinates: Sequence[str]) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingClientError("no mvn on PATH; install Maven 3.6 or newer")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pom.xml").write_text(_pom(coordinates))
    # --strict-checksums: what does not match its checksum is refused, not warned about.
    command = [maven, "-B", "-q", "--strict-checksums", "-f", str(folder / "pom.xml")]
    command += [CLASSPATH_PLUGIN, f"-Dmdep.outputFile={noted}"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=MAVEN_TIMEOUT_S, check=False
    )
    if done.returncode != 0 or not _complete(noted.read_text() if noted.exists() else ""):
        raise MissingClientError(
            f"mvn could not fetch {', '.join(coordinates)}: {(done.stdout + done.stderr)[-800:]}"
        )


def _pom(coordinates: Sequence[str]) -> str:
    rows = []
    for coordinate in coordinates:
        group, artifact, version = map(escape, coordinate.split(":"))
        rows.append(
            f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
            f"<version>{version}</version></dependency>"
        )
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>none</groupId>"
        "<artifactId>none</artifactId><version>0</version>"
        f"<dependencies>{''.join(rows)}</dependencies></project>\n"
    )
