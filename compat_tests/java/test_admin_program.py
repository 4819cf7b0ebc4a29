"""Every method of Java's admin interface gives on a gateway what it gives on Apache Kafka.

`compat_tests/workers/java_admin` makes the calls, one after the other, and tells each answer whole,
by whatever its methods say. What is different and why stands in `allowed.toml`.
"""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from compat_tests.java.judged import judge
from compat_tests.oracle.differences import compare
from compat_tests.support.client import NEWEST_JAVA, WORKERS
from compat_tests.support.gateway import Gateway
from compat_tests.support.javac import LIBRARIES, program
from compat_tests.support.kafka import Kafka

pytestmark = [
    pytest.mark.storage_blind("compared with another broker, not with what was stored"),
    pytest.mark.xdist_group("oracle"),  # one Apache Kafka serves all who compare with it
    pytest.mark.timeout(300),
]

CALLS_MIN_COUNT = 90
RUN_TIMEOUT_S = 240
# What is this broker's own, whatever it is.
_OWN = re.compile(r"(timestamp|Timestamp|memberId|consumerId|host|clusterId|producerId)$")


def answers(bootstrap: str, name: str) -> dict[str, Any]:
    """By step; the program has ended by itself."""
    command = program(WORKERS / "java_admin", "AdminProgram", NEWEST_JAVA, *LIBRARIES)
    done = subprocess.run(
        [*command, bootstrap, name],
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["step"]: common(line["found"]) for line in lines}


def common(found: Any) -> Any:
    """Without what two brokers do not share."""
    if isinstance(found, dict):
        return {
            key: "its own" if _OWN.search(key) and value is not None else common(value)
            for key, value in found.items()
        }
    return [common(item) for item in found] if isinstance(found, list) else found


def test_every_admin_method(beside: Gateway, kafka_broker: Kafka, topic: str) -> None:
    addresses = (kafka_broker.bootstrap, beside.bootstrap)
    with ThreadPoolExecutor() as pool:
        theirs, ours = pool.map(lambda address: answers(address, topic), addresses)
    assert list(ours) == list(theirs)
    assert len(ours) >= CALLS_MIN_COUNT
    assert ours["methods that no step called"] == []
    found = {step: compare(theirs[step], ours[step]) for step in ours}
    judge("admin", found)
