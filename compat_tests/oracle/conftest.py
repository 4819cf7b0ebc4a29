"""A real Kafka and a gateway beside it, for the whole session; started when first wanted."""

from collections.abc import Iterator

import pytest

from compat_tests.conftest import stopped_well
from compat_tests.oracle.allowed import Ledger, load
from compat_tests.oracle.messages import build
from compat_tests.oracle.side import Sent
from compat_tests.support.deadline import wait_until
from compat_tests.support.gateway import Gateway
from compat_tests.support.kafka import Kafka
from compat_tests.wire.connection import Connection

# As the Kafka beside it: a first join waits for nobody.
OPTIONS = ("--group-initial-rebalance-delay-ms", "0")


@pytest.fixture(scope="session")
def beside(
    request: pytest.FixtureRequest, kafka_broker: Kafka, serve_command: list[str] | None
) -> Iterator[Gateway]:
    """The gateway that is compared; there is none without a Kafka."""
    if request.config.getoption("--bootstrap"):
        pytest.skip("compares the gateway of this checkout with a Kafka of its own")
    wait_until(lambda: _gives_ids(kafka_broker), what="a Kafka that gives producer ids")
    with Gateway("memory:", mode="object", options=OPTIONS, command=serve_command) as gateway:
        yield gateway
        stopped_well(gateway)


def _gives_ids(kafka: Kafka) -> bool:
    """It does some moments after it is ready."""
    with Connection(kafka.bootstrap) as connection:
        fields = {"transactional_id": None, "transaction_timeout_ms": 60_000}
        return bool(connection.call(build("InitProducerId", fields), 4).error_code == 0)


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    return Ledger(load())


@pytest.fixture(scope="session")
def sent() -> Sent:
    """(API key, version) of all that both have answered."""
    return set()
