"""Each script says the same of Apache Kafka and of the gateway, but for what is allowed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from compat_tests.oracle import (  # noqa: F401 - each adds its scripts
    scripts_clients,
    scripts_configs,
    scripts_connection,
    scripts_fetch,
    scripts_groups,
    scripts_idempotence,
    scripts_next_groups,
    scripts_offsets,
    scripts_produce,
    scripts_quotas,
    scripts_security,
    scripts_sweeps,
    scripts_topics,
)
from compat_tests.oracle.allowed import Ledger
from compat_tests.oracle.differences import compare
from compat_tests.oracle.script import SCRIPTS, Script
from compat_tests.oracle.side import Sent, Side
from compat_tests.support.gateway import Gateway
from compat_tests.support.kafka import KAFKA_3, KAFKA_4, Kafka
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import api_versions

pytestmark = pytest.mark.xdist_group("oracle")
Versions = dict[int, list[int]]


@pytest.fixture(scope="session")
def common(kafka_broker: Kafka, beside: Gateway) -> Versions:
    """What the gateway serves and Kafka 3.9 does too."""
    return in_both(advertised(kafka_broker.bootstrap), advertised(beside.bootstrap))


@pytest.fixture(scope="session")
def newer(kafka_4_broker: Kafka, common: Versions, beside: Gateway) -> Versions:
    """What the gateway serves and only the newest Kafka does too."""
    found = in_both(advertised(kafka_4_broker.bootstrap), advertised(beside.bootstrap))
    return {
        key: [version for version in versions if version not in common.get(key, [])]
        for key, versions in found.items()
    }


def advertised(bootstrap: str) -> dict[int, tuple[int, int]]:
    with Connection(bootstrap) as connection:
        return api_versions(connection)


def in_both(one: dict[int, tuple[int, int]], other: dict[int, tuple[int, int]]) -> Versions:
    return {
        key: list(range(max(one[key][0], other[key][0]), min(one[key][1], other[key][1]) + 1))
        for key in one.keys() & other.keys()
    }


@pytest.fixture
def versions(request: pytest.FixtureRequest, script: Script) -> Versions:
    found: Versions = request.getfixturevalue("newer" if script.newest else "common")
    return found


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=lambda script: script.name)
def test_kafka_and_the_gateway_say_the_same(
    script: Script,
    versions: Versions,
    kafka_of: Callable[[str], Kafka],
    beside: Gateway,
    ledger: Ledger,
    sent: Sent,
) -> None:
    kafka = kafka_of(KAFKA_4 if script.newest else KAFKA_3)
    sides = [Side(broker.bootstrap, script.name, versions) for broker in (kafka, beside)]
    try:
        with ThreadPoolExecutor(len(sides)) as both:
            for done in [both.submit(script.run, side) for side in sides]:
                done.result()
    finally:
        for side in sides:
            side.close()
    of_kafka, of_gateway = sides
    sent |= of_kafka.sent & of_gateway.sent
    differences = ledger.judge(script.name, compare(of_kafka.seen, of_gateway.seen))
    assert not differences, "\n".join(["", *map(str, differences)])


def test_every_allowed_difference_is_still_one(beside: Gateway, ledger: Ledger) -> None:
    stale = [row.title for row in ledger.stale(SCRIPTS)]
    assert not stale, "strike out of allowed.toml: " + "; ".join(stale)


def test_every_version_that_is_advertised_was_compared(
    request: pytest.FixtureRequest, beside: Gateway, ledger: Ledger, sent: Sent
) -> None:
    """Whoever adds an API or a version adds its request to `requests.py`."""
    if not set(SCRIPTS) <= ledger.ran:
        pytest.skip("only some of the scripts ran")
    missing = [
        (key, version)
        for key, (first, last) in advertised(beside.bootstrap).items()
        for version in range(first, last + 1)
        if (key, version) not in sent
    ]
    assert not missing, f"advertised and not compared with Kafka: {missing}"
