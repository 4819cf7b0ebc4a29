"""A broker of its own to be maltreated, watched by a bystander and by its memory."""

import threading
from collections.abc import Callable, Iterator

import pytest
from kafka.protocol.metadata import MetadataRequest

from compat_tests.conftest import stopped_well
from compat_tests.support.deadline import now_s, wait_until
from compat_tests.support.gateway import Gateway
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import METADATA_VERSION, create_topic

# No promise about latency, only that nobody stalls: an answer takes about a millisecond.
STALL_S = 5.0
GROWTH_BYTES_MAX = 160 << 20


class Bystander:
    """Asks for metadata all the time on one connection of its own."""

    def __init__(self, bootstrap: str) -> None:
        self.answers_count = 0
        self.longest_s = 0.0
        self.failure: BaseException | None = None
        self._bootstrap = bootstrap
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            with Connection(self._bootstrap, timeout_s=STALL_S * 4) as connection:
                while not self._stop.wait(0.005):
                    started_s = now_s()
                    connection.call(MetadataRequest(topics=[]), METADATA_VERSION)
                    self.longest_s = max(self.longest_s, now_s() - started_s)
                    self.answers_count += 1
        except BaseException as failure:
            self.failure = failure

    def __enter__(self) -> "Bystander":
        self._thread.start()
        wait_until(lambda: self.answers_count or self.failure, what="the bystander's first answer")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._stop.set()
        self._thread.join(STALL_S * 5)
        if kind is None:
            assert self.failure is None, f"the bystander was cut off: {self.failure!r}"
            assert self.longest_s < STALL_S, f"the bystander waited {self.longest_s:.1f} s"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in several processes: whoever maltreats the one victim does so one after the other."""
    for item in items:
        if "victim_process" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("victim"))


@pytest.fixture(scope="session")
def victim_process(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    serve_command: list[str] | None,
) -> Iterator[Gateway]:
    if request.config.getoption("--bootstrap"):
        pytest.skip("measures the process; not with --bootstrap")
    data = tmp_path_factory.mktemp("hostile")
    with Gateway(str(data), mode="file", command=serve_command) as gateway:
        with Connection(gateway.bootstrap) as connection:
            create_topic(connection, "target", partitions=2)
        yield gateway
        stopped_well(gateway)


@pytest.fixture
def victim(victim_process: Gateway) -> Iterator[Gateway]:
    """Lives on, keeps answering somebody else, and does not grow without bound."""
    before_bytes = victim_process.rss_bytes()
    with Bystander(victim_process.bootstrap):
        yield victim_process
    assert victim_process.running, "\n".join(victim_process.log)
    growth_bytes = victim_process.rss_bytes() - before_bytes
    assert growth_bytes < GROWTH_BYTES_MAX, f"grew by {growth_bytes >> 20} MiB"


@pytest.fixture
def dial(victim: Gateway) -> Iterator[Callable[[], Connection]]:
    opened: list[Connection] = []

    def connect() -> Connection:
        opened.append(Connection(victim.bootstrap))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()
