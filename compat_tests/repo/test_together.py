"""Tests of one `xdist_group` run in one process: what they share is made once."""

import re
import subprocess
import sys

from compat_tests.repo.files import ROOT


def test_a_group_is_not_taken_apart() -> None:
    suite = ["compat_tests/oracle/test_kafka.py", "-k", "ports or without_java"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-n", "2", "--dist", "loadgroup", *suite],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    workers = re.findall(r"^\[(gw\d+)\].*PASSED .*@oracle", done.stdout, re.MULTILINE)
    assert len(workers) == 2, done.stdout
    assert len(set(workers)) == 1
