"""What is asked of the system for a socket that clients come to, and how it says no."""

import socket

import pytest

from gateway.net.listening import KEEPALIVE, StartError, bind


def test_peers_that_vanish_are_found_by_the_system() -> None:
    """Who accepts inherits what the listener has."""
    listener = bind("127.0.0.1", 0, "--listen")
    listener.setblocking(True)
    listener.listen()
    with listener, socket.create_connection(listener.getsockname()), listener.accept()[0] as taken:
        assert taken.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle_s, pause_s, count = (
            taken.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in KEEPALIVE
        )
        assert idle_s + pause_s * count == 120


def test_an_address_in_use_is_named() -> None:
    first = bind("127.0.0.1", 0, "--listen")
    try:
        port = first.getsockname()[1]
        first.listen(1)
        with pytest.raises(StartError, match=f"127.0.0.1:{port}.*another broker"):
            bind("127.0.0.1", port, "--listen")
        with pytest.raises(StartError, match="cannot listen"):
            bind("host.invalid", 1, "--listen")
        with pytest.raises(StartError, match="give --listen an address of this machine"):
            bind("192.0.2.7", 1, "--listen")
    finally:
        first.close()


@pytest.mark.parametrize("name", ["a" * 70, "\N{LATIN SMALL LETTER A WITH DIAERESIS}" * 70])
def test_a_name_that_no_machine_has_is_named(name: str) -> None:
    with pytest.raises(StartError, match=rf"cannot listen on '{name}': .*--listen"):
        bind(name, 0, "--listen")
