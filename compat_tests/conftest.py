"""Options, brokers and clients of the black-box suite.

By default every test runs against brokers this session starts (`--serve-command` names another
program that takes `--listen`, `--data`, `--mode` and prints a ready line; `--serve-flags` adds to
what every broker is started with), and in every mode, unless it is marked `storage_blind`. With
`--bootstrap HOST:PORT` the suite runs against a broker that listens already; what needs a restart
or a setting of its own is skipped then.

The clients of `support.client.LIBRARIES` are what this project promises. Where one cannot be
installed its tests are skipped with the reason, and with `CI=true` the session fails for it.
"""

import os
import secrets
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from compat_tests.card.__main__ import written
from compat_tests.support.client import LIBRARIES, Client, Library
from compat_tests.support.environments import MissingClientError
from compat_tests.support.gateway import Gateway, Remote, split_command, start_with
from compat_tests.support.kafka import KAFKA_3, KAFKA_4, Kafka
from wal_core.testing.azure_server import AzureServer
from wal_core.testing.google_front import GoogleFront
from wal_core.testing.node_packages import MissingToolError
from wal_core.testing.s3_server import S3Server

MARKERS = {
    "kill": "kill -9 under load; minutes rather than seconds",
    "chaos": "random faults of everything under load; --minutes of them",
    "soak": "writing and deleting for --minutes, then a look at what is left",
    "every_client_in(modes)": "runs there with every library, also with those that have others",
    "storage_blind(why)": "proves nothing that storage could break; runs in one mode, memory:",
}
BUCKET_MODES = ("s3", "gs", "az")
_MODES_HELP = (
    "of file, object (a folder of objects), and s3, gs, az (a bucket); default: %(default)s"
)
_BUCKET = "compat"
Broker = Gateway | Remote

_ran = pytest.StashKey[dict[str, str]]()
_missing = pytest.StashKey[dict[str, str]]()
_outcomes = pytest.StashKey[list[tuple[str, str, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("compat", "black-box suite")
    group.addoption("--bootstrap", help="HOST:PORT of a running broker to test instead of ours")
    group.addoption("--bootstrap-strict", help="the same, of one with automatic creation off")
    group.addoption("--serve-command", help="program to start as the broker")
    group.addoption("--serve-flags", default="", help="more flags for each broker, as one text")
    group.addoption("--modes", default="file,object", help=_MODES_HELP)
    group.addoption("--kills", type=int, default=50, help="kills per mode (default: %(default)s)")
    group.addoption("--minutes", type=float, default=1.0, help="random faults, per mode (1)")
    group.addoption("--stack-seconds", type=float, default=3.0, help="of load by a Milvus (3)")
    group.addoption("--report-card", type=Path, help="file to note in what each client could do")
    group.addoption("--seed", type=int, default=1, help="seed of moments and bytes")


def pytest_configure(config: pytest.Config) -> None:
    for name, text in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {text}")
    config.stash[_ran] = {}
    config.stash[_missing] = {}
    config.stash[_outcomes] = []
    start_with(split_command(config.getoption("--serve-flags")))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    external = metafunc.config.getoption("--bootstrap")
    modes = ["external"] if external else metafunc.config.getoption("--modes").split(",")
    if not external and metafunc.definition.get_closest_marker("storage_blind"):
        modes = ["memory"]
    if "broker" in metafunc.fixturenames:
        metafunc.parametrize("broker", modes, indirect=True, scope="session")
    if "chaos_mode" in metafunc.fixturenames:
        # A folder of objects has no faults of its own that a file or a bucket has not.
        metafunc.parametrize("chaos_mode", [mode for mode in modes if mode in ("file", "s3")])
    if "mode" in metafunc.fixturenames:
        metafunc.parametrize("mode", modes, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A library has no tests in modes that it is not run in, nor of codecs that it lacks."""
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        (kept if _runs(item) else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def _runs(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    params = call.params if call else {}
    library = LIBRARIES.get(params.get("library", ""))
    mode = params.get("broker", params.get("mode"))
    if library is None:
        return True
    has_mode = mode is None or library.runs_in(mode) or _wants_all_in(item, mode)
    return params.get("codec", "none") in library.codecs and has_mode


def _wants_all_in(item: pytest.Item, mode: str) -> bool:
    return any(mode in mark.args for mark in item.iter_markers("every_client_in"))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.stash[_ran] or config.stash[_missing]:
        terminalreporter.section("named clients")
        for name, text in sorted(config.stash[_ran].items()):
            terminalreporter.line(f"ran      {name}: {text}")
        for name, text in sorted(config.stash[_missing].items()):
            terminalreporter.line(f"MISSING  {name}: {text}")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of several has ended: what it noted of the clients counts here."""
    told = getattr(node, "workeroutput", {}).get("named_clients", ({}, {}, []))
    node.config.stash[_ran].update(told[0])
    node.config.stash[_missing].update(told[1])
    node.config.stash[_outcomes].extend(told[2])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, Any, Any]:
    """Notes what became of a library's test, or of what it needs."""
    report = yield
    call = getattr(item, "callspec", None)
    library = call.params.get("library") if call else None
    if library in LIBRARIES and (report.when == "call" or report.failed):
        noted = (library, item.originalname, report.outcome)
        item.config.stash[_outcomes].append(noted)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    stash = session.config.stash
    noted = (stash[_ran], stash[_missing], stash[_outcomes])
    if hasattr(session.config, "workeroutput"):  # as one of several workers
        session.config.workeroutput["named_clients"] = noted
        return
    if path := session.config.getoption("--report-card"):
        written(path, stash[_outcomes], stash[_ran])
    in_ci = os.environ.get("CI", "").lower() in ("1", "true", "yes")
    if in_ci and stash[_missing] and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def serve_command(request: pytest.FixtureRequest) -> list[str] | None:
    text = request.config.getoption("--serve-command")
    return split_command(text) if text else None


@pytest.fixture(scope="session")
def broker_of(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    serve_command: list[str] | None,
) -> Iterator[Callable[[str], Broker]]:
    """The broker of a mode: started when first wanted, and there for the whole session, whatever
    the order in which tests of different modes run."""
    started: dict[str, Broker] = {}
    for mode in set(request.config.getoption("--modes").split(",")) & set(BUCKET_MODES):
        request.getfixturevalue(f"{mode}_server")  # started before them, so it ends after them
    with ExitStack() as stack:

        def get(mode: str) -> Broker:
            if bootstrap := request.config.getoption("--bootstrap"):
                return Remote(bootstrap)
            if mode not in started:
                # The quickest to start and to write to, for what has nothing to do with storage.
                data, environ, kind = "memory:", {}, "object"
                if mode != "memory":
                    data, environ = place(request, mode, tmp_path_factory)
                    kind = mode
                gateway = Gateway(data, mode=kind, command=serve_command, environ=environ)
                started[mode] = stack.enter_context(gateway)
            return started[mode]

        yield get
        for gateway in started.values():
            assert isinstance(gateway, Gateway)
            stopped_well(gateway)


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest, broker_of: Callable[[str], Broker]) -> Broker:
    """In each mode; for tests marked `storage_blind`, in memory."""
    return broker_of(request.param)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """The bucket of mode s3; started when the first test wants it."""
    with S3Server() as server:
        server.make_bucket(_BUCKET)
        yield server


@pytest.fixture(scope="session")
def gs_server(s3_server: S3Server) -> Iterator[GoogleFront]:
    """The bucket of mode gs: the same, in Google's dialect."""
    with GoogleFront(s3_server) as front:
        yield front


@pytest.fixture(scope="session")
def az_server(request: pytest.FixtureRequest) -> Iterator[AzureServer]:
    """The container of mode az."""
    try:
        server = AzureServer()
    except MissingToolError as error:
        request.config.stash[_missing]["azurite"] = str(error)
        pytest.skip(f"azurite is not available: {error}")
    request.config.stash[_ran]["azurite"] = server.version
    with server:
        server.make_container(_BUCKET)
        yield server


def place(
    request: pytest.FixtureRequest, mode: str, folders: pytest.TempPathFactory
) -> tuple[str, dict[str, str]]:
    """A new data location for a mode, and the environment that leads to it."""
    folder = folders.mktemp(f"data-{mode}")
    if mode not in BUCKET_MODES:
        return str(folder), {}
    server = request.getfixturevalue(f"{mode}_server")
    return f"{mode}://{_BUCKET}/{folder.name}", server.environ()


@pytest.fixture(scope="session")
def memory_broker(broker_of: Callable[[str], Broker]) -> Broker:
    """What tests marked `storage_blind` have; none else may."""
    return broker_of("memory")


@pytest.fixture(scope="session")
def strict_broker(
    request: pytest.FixtureRequest, serve_command: list[str] | None
) -> Iterator[Broker]:
    """Automatic topic creation is off."""
    if bootstrap := request.config.getoption("--bootstrap-strict"):
        yield Remote(bootstrap)
        return
    if request.config.getoption("--bootstrap"):
        pytest.skip("needs a broker without automatic creation: --bootstrap-strict")
    options = ("--no-auto-create",)
    with Gateway("memory:", mode="object", options=options, command=serve_command) as gateway:
        yield gateway
        stopped_well(gateway)


def stopped_well(gateway: Gateway) -> None:
    """After all the tests of a session the process lives, complained of nothing and stops clean."""
    assert gateway.running, "the broker died:\n" + "\n".join(gateway.log)
    log = "\n".join(gateway.log)
    assert gateway.stop() == 0, log
    assert gateway.tracebacks_count == 0, f"tracebacks in the broker's log:\n{log}"


@pytest.fixture(scope="session")
def kafka_of(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Kafka]]:
    """A real Kafka of a version, started when first wanted; skipped, and shown, without Java."""
    started: dict[str, Kafka] = {}
    with ExitStack() as stack:

        def get(version: str) -> Kafka:
            name = f"apache-kafka-{version.partition('.')[0]}"
            if version not in started:
                folder = tmp_path_factory.mktemp(name)
                try:
                    kafka = Kafka(folder, version=version)
                except MissingClientError as error:
                    request.config.stash[_missing][name] = str(error)
                    pytest.skip(f"{name} is not available: {error}")
                started[version] = stack.enter_context(kafka)
                request.config.stash[_ran][name] = version
            return started[version]

        yield get


@pytest.fixture(scope="session")
def kafka_broker(kafka_of: Callable[[str], Kafka]) -> Kafka:
    """Apache Kafka of the last line with ZooKeeper's APIs and all old versions, for the session."""
    return kafka_of(KAFKA_3)


@pytest.fixture(scope="session")
def kafka_4_broker(kafka_of: Callable[[str], Kafka]) -> Kafka:
    """Apache Kafka of the newest line, for what came after 3.9."""
    return kafka_of(KAFKA_4)


@pytest.fixture
def own_gateway(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    serve_command: list[str] | None,
) -> Iterator[Callable[..., Gateway]]:
    """Makes brokers that the test may stop, kill and restart."""
    if request.config.getoption("--bootstrap"):
        pytest.skip("restarts the broker; not with --bootstrap")
    started: list[Gateway] = []

    def make(mode: str, *options: str, data: str | None = None) -> Gateway:
        location, environ = place(request, mode, tmp_path_factory)
        gateway = Gateway(
            data or location, mode=mode, options=options, command=serve_command, environ=environ
        )
        started.append(gateway)
        return gateway.start()

    yield make
    for gateway in started:
        if gateway.running:
            gateway.kill()
        print(f"--- log of the broker in {gateway.mode} mode", *gateway.log, sep="\n")


@pytest.fixture(scope="session")
def run_id() -> str:
    """Keeps the names of two sessions against one broker apart."""
    return secrets.token_hex(3)


@pytest.fixture(scope="session")
def _numbers() -> Iterator[int]:
    return count()


@pytest.fixture
def topic(run_id: str, _numbers: Iterator[int]) -> str:
    return f"compat-{run_id}-{next(_numbers)}"


@pytest.fixture
def new_topic(run_id: str, _numbers: Iterator[int]) -> Callable[[], str]:
    """For tests that need several names, of topics or of groups."""
    return lambda: f"compat-{run_id}-{next(_numbers)}"


@pytest.fixture(params=list(LIBRARIES), scope="session")
def library(request: pytest.FixtureRequest) -> Library:
    return require(request, request.param)


def require(request: pytest.FixtureRequest, name: str) -> Library:
    """The library, or a skip that the summary and CI will show."""
    library = LIBRARIES[name]
    try:
        library.command()
    except MissingClientError as error:
        request.config.stash[_missing][name] = str(error)
        pytest.skip(f"client {name} is not available: {error}")
    return library


@pytest.fixture
def note_program(request: pytest.FixtureRequest) -> Callable[[str, Callable[[], str]], None]:
    """For a promised program that is no library: tells its version, or skips and shows why not."""

    def note(name: str, version: Callable[[], str]) -> None:
        try:
            request.config.stash[_ran][name] = version()
        except MissingClientError as error:
            request.config.stash[_missing][name] = str(error)
            pytest.skip(f"{name} is not available: {error}")

    return note


@pytest.fixture
def need(request: pytest.FixtureRequest) -> Callable[[str], Library]:
    """For tests that name their client themselves."""
    return lambda name: require(request, name)


@pytest.fixture(scope="session")
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[[Library, Broker], Client]]:
    """A worker of this library for this broker; shared by all tests of the session."""
    pool: dict[tuple[str, str], Client] = {}

    def get(library: Library, broker: Broker) -> Client:
        key = (library.name, broker.bootstrap)
        if key not in pool:
            pool[key] = Client(library, broker.bootstrap)
            request.config.stash[_ran][library.name] = pool[key].call("info")["library"]
        return pool[key]

    yield get
    for client in pool.values():
        client.close()


@pytest.fixture
def launch(request: pytest.FixtureRequest) -> Iterator[Callable[[Library, Broker], Client]]:
    """A worker of the test's own, for tests that kill it or restart its broker."""
    started: list[Client] = []

    def get(library: Library, broker: Broker) -> Client:
        client = Client(library, broker.bootstrap)
        request.config.stash[_ran][library.name] = client.call("info")["library"]
        started.append(client)
        return client

    yield get
    for client in started:
        client.close()


@pytest.fixture
def client(library: Library, broker: Broker, connect: Callable[..., Client]) -> Client:
    """Each library against each mode."""
    return connect(library, broker)
