"""Sockets that clients come to: bound, but silent until the server takes them."""

from __future__ import annotations

import errno
import socket

# Seconds of silence before the first probe and between the next, and how many there are.
KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}
_LISTEN_REMEDY_OTHERWISE = "choose another address with {flag}"
_LISTEN_REMEDIES = {
    errno.EADDRINUSE: "is another broker running? choose another port with {flag}",
    errno.EADDRNOTAVAIL: "give {flag} an address of this machine; --advertised takes any",
    errno.EACCES: "choose a port above 1023 with {flag}",
}


class StartError(Exception):
    """The gateway cannot start; the text says what to do."""


def bind(host: str, port: int, flag: str, *, shared: bool = False) -> socket.socket:
    """A listening socket, bound but silent: clients that come while data load wait in no
    queue. Those who bind one `shared`, all of one user, get clients in turn. Raises StartError.
    """
    # As bytes where that is the same: Python has its tables of all letters loaded for a str.
    name = host.encode() if host.isascii() else host
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no machine can have that name"
        remedy = _LISTEN_REMEDY_OTHERWISE.format(flag=flag)
        raise StartError(f"cannot listen on {host!r}: {reason}; {remedy}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _find_dead_peers(listener)
        listener.setblocking(False)
        listener.bind(address)
    except OSError as error:
        listener.close()
        remedy = _LISTEN_REMEDIES.get(error.errno or 0, _LISTEN_REMEDY_OTHERWISE)
        raise StartError(
            f"cannot listen on {host}:{port}: {error.strerror}; {remedy.format(flag=flag)}"
        ) from None
    return listener


def _find_dead_peers(listener: socket.socket) -> None:
    """Who vanished without a word is gone after two minutes; accepted sockets inherit this."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        option = getattr(socket, name, None)
        if option is not None:
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
