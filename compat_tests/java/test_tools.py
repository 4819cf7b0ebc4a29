"""Kafka's command line tools print against a gateway what they print against Kafka."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from compat_tests.java.judged import judge
from compat_tests.java.tools import run, script, tools_of
from compat_tests.oracle.differences import compare
from compat_tests.support.client import Client, Library
from compat_tests.support.gateway import Gateway
from compat_tests.support.kafka import KAFKA_3, TOOLS_4, Kafka

pytestmark = [
    pytest.mark.storage_blind("compared with another broker, not with what was stored"),
    pytest.mark.xdist_group("oracle"),  # one Apache Kafka serves all who compare with it
    pytest.mark.timeout(300),
]


@pytest.mark.parametrize("version", [KAFKA_3, TOOLS_4])
def test_tools_say_what_they_say_of_kafka(
    version: str,
    beside: Gateway,
    kafka_broker: Kafka,
    launch: Callable[[Library, Gateway | Kafka], Client],
    topic: str,
    tmp_path: Path,
) -> None:
    """Status and output of each step."""
    tools = tools_of(version)
    ours, theirs = launch(tools, beside), launch(tools, kafka_broker)
    major = version.partition(".")[0]
    found = {
        f"{major}: {step.name}": compare(asdict(run(theirs, step)), asdict(run(ours, step)))
        for step in script(topic, tmp_path)
        if step.since <= int(major)
    }
    judge("tools", found)
