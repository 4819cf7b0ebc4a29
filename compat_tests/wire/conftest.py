"""A fresh connection per test, to a broker of each mode, or to one in memory (`storage_blind`)."""

from collections.abc import Callable, Iterator

import pytest

from compat_tests.support.gateway import Gateway, Remote
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import create_topic


@pytest.fixture
def dial(broker: Gateway | Remote) -> Iterator[Callable[[], Connection]]:
    """Another connection to the same broker."""
    opened: list[Connection] = []

    def connect() -> Connection:
        opened.append(Connection(broker.bootstrap))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def wire(dial: Callable[[], Connection]) -> Connection:
    return dial()


@pytest.fixture
def made(wire: Connection, topic: str) -> str:
    """An empty topic of one partition."""
    create_topic(wire, topic)
    return topic


@pytest.fixture
def made_three(wire: Connection, topic: str) -> str:
    """An empty topic of three partitions."""
    create_topic(wire, topic, partitions=3)
    return topic
