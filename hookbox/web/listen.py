"""Listening sockets, made from settings."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import Any

BACKLOG = 4096
USER_TIMEOUT_MS = 30_000
TCP_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)


def listen(interface: str, port: int) -> socket.socket:
    """A listening socket on `interface` and `port`, or on a Unix socket for `unix:PATH` (mode 0600).

    Raises:
        OSError: it cannot be listened on.
    """
    if interface.startswith("unix:"):
        return _listen_unix(interface.removeprefix("unix:"))
    listener = socket.socket(family_of(interface), socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tune(listener)
        listener.bind((interface, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def tune(listener: socket.socket) -> None:
    """Set what a listener needs, also one that somebody else has opened."""
    listener.setblocking(False)
    if listener.family == socket.AF_UNIX:
        return
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if TCP_USER_TIMEOUT is not None:  # inherited by accepted sockets on Linux, tcp(7)
        listener.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS)


def family_of(interface: str) -> socket.AddressFamily:
    """Of what kind the sockets of a TCP interface are."""
    return socket.AF_INET6 if ":" in interface else socket.AF_INET


def _listen_unix(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        _remove_stale(path)
        listener.bind(path)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    listener.setblocking(False)
    return listener


def _remove_stale(path: str) -> None:
    """Remove a socket file that nobody listens on any more."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise OSError(errno.EADDRINUSE, "there is a file of that name, and it is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            os.unlink(path)
        else:
            raise OSError(errno.EADDRINUSE, "another server listens there")


def tls_context(certfile: str, keyfile: str) -> Any:
    """A server's TLS context with today's defaults, None without a certificate.

    Raises:
        OSError: a file cannot be read, or is no certificate or key.
    """
    if not certfile:
        return None
    import ssl

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certfile, keyfile, password="")  # an encrypted key fails, instead of asking
    return context
