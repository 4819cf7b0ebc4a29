import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from gateway.cli.client import METADATA
from gateway.cli.connection import Connection
from gateway.cli.errors import ClientError
from gateway.cli.main import run
from gateway.cli.tests.conftest import Cli
from gateway.cli.tests.fake_broker import FakeBroker
from protocol.messages.metadata import MetadataRequest


@contextmanager
def peer(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """A listener that treats its one connection in some way; gives the port."""

    def accept() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            behave(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


NOT_KAFKA = {
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "negative length": b"\xff\xff\xff\xff",
    "too short": b"\x00\x00\x00\x00",
    "another correlation id": b"\x00\x00\x00\x0a\x00\x00\x00\x63\x00\x00\x00\x00\x00\x00",
    "a cut body": b"\x00\x00\x00\x06\x00\x00\x00\x01\x00\x00",
}


@pytest.mark.parametrize("answer", NOT_KAFKA.values(), ids=NOT_KAFKA)
def test_a_peer_that_is_no_kafka_broker(answer: bytes) -> None:
    with (
        peer(lambda s: s.sendall(answer)) as port,
        pytest.raises(ClientError, match="does not answer as a Kafka broker") as caught,
    ):
        Connection("127.0.0.1", port, 10_000)
    assert "TLS" in caught.value.remedy


def test_a_peer_that_hangs_up() -> None:
    with peer(lambda s: None) as port, pytest.raises(ClientError, match="was lost"):
        Connection("127.0.0.1", port, 10_000)


def test_a_peer_that_says_nothing() -> None:
    waiting = threading.Event()
    with peer(lambda s: waiting.wait(10) and None) as port:
        with pytest.raises(ClientError, match="did not answer in 50 ms"):
            Connection("127.0.0.1", port, 50)
        waiting.set()


def test_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert run(["topics", "list", "--bootstrap", f"127.0.0.1:{port}"]) == 1
    said = capsys.readouterr().err
    assert f"nothing listens on 127.0.0.1:{port}" in said
    assert "woodpecker-gateway serve" in said


def test_no_such_host(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", resolve)
    assert run(["topics", "list", "--bootstrap", "no-such-host:9092"]) == 1
    said = capsys.readouterr().err
    assert "there is no host no-such-host" in said
    assert "serve --advertised" in said


def test_the_highest_version_both_sides_have_is_used(broker: FakeBroker) -> None:
    connection = Connection("127.0.0.1", broker.port, 10_000)
    assert connection.request(METADATA, MetadataRequest(topics=[])).brokers[0].port == broker.port
    connection.close()


def test_an_api_the_broker_does_not_have(cli: Cli, broker: FakeBroker) -> None:
    broker.keys.remove(20)
    broker.topics = {"a": [[]]}
    refused = cli("topics", "delete", "a")
    assert refused.code == 1
    assert "DELETE_TOPICS" in refused.err
    assert "UNSUPPORTED_VERSION" in refused.err
