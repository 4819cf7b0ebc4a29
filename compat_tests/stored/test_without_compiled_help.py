"""What is written with compiled help is read without it, and the other way round."""

import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from compat_tests.repo.files import ROOT
from compat_tests.support.gateway import Gateway
from compat_tests.wire.batches import GZIP, build, values_of
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import create_topic, fetch_batches, produce

INVALID_RECORD = 87
PURE = {"WOODPECKER_PURE_PYTHON": "1"}
SINGLES_COUNT = 300  # blocks of one record, which are read in one piece


def write(connection: Connection) -> list[bytes]:
    create_topic(connection, "t")
    values = [b"%d" % number * (1 + number % 9) for number in range(SINGLES_COUNT)]
    for value in values:
        assert produce(connection, "t", build([value])).error_code == 0
    many = [bytes([65 + number % 26]) * (number % 140) for number in range(2_000)]
    assert produce(connection, "t", build(many)).error_code == 0
    assert produce(connection, "t", build(many, codec=GZIP)).error_code == 0
    for codec in (0, GZIP):
        poison = build(many, count=len(many) - 1, last_delta=len(many) - 2, codec=codec)
        assert produce(connection, "t", poison).error_code == INVALID_RECORD
    return values + many


@pytest.mark.parametrize("writes_pure", [True, False], ids=["read-compiled", "read-pure"])
def test_either_reads_what_the_other_wrote(tmp_path: Path, writes_pure: bool) -> None:
    data = str(tmp_path / "data")
    writer, reader = (PURE, {}) if writes_pure else ({}, PURE)
    with Gateway(data, mode="file", environ=writer).start() as gateway:
        with closing(Connection(gateway.bootstrap)) as connection:
            expected = write(connection)
        gateway.kill()
    with Gateway(data, mode="file", environ=reader).start() as gateway:
        with closing(Connection(gateway.bootstrap)) as connection:
            *plain, packed = fetch_batches(connection, "t")
        found = [record for batch in plain for record in values_of(batch)]
        assert found == list(enumerate(expected))
        assert (packed.base_offset, packed.count) == (len(expected), len(expected) - SINGLES_COUNT)
        assert gateway.tracebacks_count == 0
        assert gateway.stop() == 0


def test_the_brokers_of_these_tests_have_all_of_it(tmp_path: Path) -> None:
    # As `make compat` makes it: what of the sources differs as machine code would show elsewhere.
    command = [sys.executable, "-m", "gateway", "doctor", "--data", str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    said = re.findall(r"(compiled help|hot modules): (.*)", done.stdout)
    assert [name for name, _ in said] == ["compiled help", "hot modules"]
    assert said[0][1].startswith("in use for")
    assert said[1][1].endswith("of them run as machine code")
