"""The proxy before a gateway, against a server that sends everything back."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from compat_tests.proxies.looping import Listener
from compat_tests.proxies.tcp import TcpProxy, Way, _Pair
from compat_tests.support.deadline import now_s, wait_until

TIMEOUT_S = 10.0


@pytest.fixture
def echo() -> Iterator[Listener]:
    async def serve(reader, writer) -> None:  # type: ignore[no-untyped-def]
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()

    listener = Listener(serve)
    yield listener
    listener.close()


@pytest.fixture
def proxy(echo: Listener) -> Iterator[TcpProxy]:
    with TcpProxy(echo.port, seed=1) as proxy:
        yield proxy


@pytest.fixture
def peer(proxy: TcpProxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=TIMEOUT_S) as peer:
        yield peer


def back(peer: socket.socket, data: bytes) -> bytes:
    """What comes back of `data` until all of it is there or the connection ends."""
    found = b""
    try:
        peer.sendall(data)
        while len(found) < len(data) and (part := peer.recv(1 << 16)):
            found += part
    except ConnectionError:
        pass
    return found


def test_bytes_pass_in_both_directions(peer: socket.socket) -> None:
    data = bytes(range(256)) * 10_000
    assert back(peer, data) == data


def test_cut_at_once(proxy: TcpProxy, peer: socket.socket) -> None:
    assert back(peer, b"x") == b"x"
    proxy.cut()
    wait_until(lambda: proxy.events["cut"] == 1, what="the cut")
    assert back(peer, b"y") == b""


def test_cut_inside_what_is_sent(proxy: TcpProxy, peer: socket.socket) -> None:
    assert back(peer, b"x") == b"x"
    proxy.cut(inside=True)
    wait_until(lambda: proxy.events["cut"] == 1, what="the cut")
    assert len(back(peer, b"y" * 1_000)) <= 500


def test_a_share_of_the_connections(proxy: TcpProxy) -> None:
    peers = [socket.create_connection(("127.0.0.1", proxy.port), TIMEOUT_S) for _ in range(20)]
    try:
        assert all(back(peer, b"x") == b"x" for peer in peers)
        proxy.cut(0.5)
        wait_until(lambda: proxy.events["cut"], what="the cuts")
        living = [peer for peer in peers if back(peer, b"y") == b"y"]
        assert len(living) == 20 - proxy.events["cut"]
        assert 0 < len(living) < 20
    finally:
        for peer in peers:
            peer.close()


def test_stalled_until_healed(proxy: TcpProxy, peer: socket.socket) -> None:
    assert back(peer, b"x") == b"x"
    proxy.stall()
    peer.settimeout(0.2)
    with pytest.raises(TimeoutError):
        back(peer, b"y")
    peer.settimeout(TIMEOUT_S)
    proxy.heal()
    assert peer.recv(1) == b"y"


def test_requests_arrive_and_replies_do_not() -> None:
    heard: list[bytes] = []

    async def serve(reader, writer) -> None:  # type: ignore[no-untyped-def]
        while data := await reader.read(1 << 16):
            heard.append(data)
            writer.write(data)
            await writer.drain()

    listener = Listener(serve)
    with TcpProxy(listener.port) as proxy:
        proxy.stall(Way.BACK)
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=TIMEOUT_S) as peer:
            peer.sendall(b"x")
            wait_until(lambda: heard == [b"x"], what="the request")
            peer.settimeout(0.2)
            with pytest.raises(TimeoutError):
                peer.recv(1)
            peer.settimeout(TIMEOUT_S)
            proxy.heal()
            assert peer.recv(1) == b"x"
    listener.close()


def test_refused_until_healed(proxy: TcpProxy, peer: socket.socket) -> None:
    assert back(peer, b"x") == b"x"
    proxy.refuse()
    wait_until(lambda: proxy.events["cut"] == 1, what="the cut")
    assert back(peer, b"y") == b""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=TIMEOUT_S) as second:
        assert back(second, b"y") == b""
    proxy.heal()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=TIMEOUT_S) as third:
        assert back(third, b"z") == b"z"


def test_slow(proxy: TcpProxy, peer: socket.socket) -> None:
    proxy.slow(200_000)
    started_s = now_s()
    assert len(back(peer, bytes(40_000))) == 40_000
    assert now_s() - started_s >= 0.15  # 0.2 s at that rate


def test_a_connection_that_ends_while_the_proxy_closes_is_closed_there_too(
    echo: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending: list[_Pair] = []

    async def pump(self: TcpProxy, pair: _Pair, way: Way, *_: object) -> None:
        if way is Way.THERE:
            return  # the client has gone
        try:
            await asyncio.Event().wait()
        finally:
            ending.append(pair)
            await asyncio.sleep(TIMEOUT_S)  # until the proxy closes

    monkeypatch.setattr(TcpProxy, "_pump", pump)
    with (
        TcpProxy(echo.port) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=TIMEOUT_S),
    ):
        wait_until(lambda: bool(ending), what="the end of a connection")
    assert all(writer.transport.is_closing() for writer in ending[0].writers)


def test_another_target(proxy: TcpProxy, peer: socket.socket) -> None:
    """Connections that are there stay where they are."""
    assert back(peer, b"x") == b"x"

    async def shout(reader, writer) -> None:  # type: ignore[no-untyped-def]
        writer.write(b"other")
        await writer.drain()
        await reader.read()

    other = Listener(shout)
    proxy.target_port = other.port
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=TIMEOUT_S) as second:
        assert second.recv(5) == b"other"
    assert back(peer, b"y") == b"y"
    other.close()
