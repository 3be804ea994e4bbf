"""Connections to one application: made within a deadline, kept alive, never reused in doubt."""

from __future__ import annotations

import select
import ssl
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import certifi
import gevent
import gevent.ssl
from gevent import monkey, socket
from gevent.timeout import Timeout

from hookbox.clock import Clock
from hookbox.webhooks.resolve import Address, Resolver
from hookbox.webhooks.target import Target

poll = monkey.get_original("select", "poll")  # it only looks and never waits
IDLE = 3.0  # seconds an unused connection is kept: shorter than what most servers keep theirs
SWEEP = 1.0  # seconds between two looks for those


class ConnectTimedOut(OSError):
    """No connection within the limit."""


class Connection:
    """A connected socket that is read and written by one greenlet at a time."""

    __slots__ = ("_news", "idle_since", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.idle_since = 0.0
        self._news: Any = None
        if not isinstance(sock, gevent.ssl.SSLSocket):  # under TLS there are records that say nothing
            self._news = poll()
            self._news.register(sock.fileno(), select.POLLIN)

    def is_quiet(self) -> bool:
        """Whether it is open and holds nothing to read, as between two exchanges it must be."""
        if self._news is not None:
            return not self._news.poll(0)
        self.sock.settimeout(0.0)
        try:
            self.sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            self.sock.settimeout(None)
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        """Close without a word, whatever state it is in."""
        self.sock.close()


class Dialer:
    """Makes connections.

    Args:
        resolver: looks names up.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def dial(
        self,
        target: Target,
        timeout: float,
        addresses: Sequence[Address] | None = None,
        prepare: Callable[[socket.socket], None] | None = None,
    ) -> Connection:
        """Connect to the first address that accepts, with TLS if the scheme is https.

        Args:
            target: where to.
            timeout: seconds for connecting and the TLS handshake, all addresses together. Looking
                the name up is not counted: that is limited by the caller's own deadline.
            addresses: to try, instead of looking the name up.
            prepare: does what has to be done on a new connection before TLS; may block, and raise.

        Raises:
            OSError: refused, unreachable, no such name, a certificate that does not verify.
            ConnectTimedOut: no connection within `timeout`.
            Exception: what `prepare` raises; after an OSError the next address is tried.
        """
        if addresses is None:
            addresses = self._resolver.addresses(target.host, target.port)
        timer = Timeout.start_new(timeout)
        try:
            for tried, (family, address) in enumerate(addresses, 1):
                try:
                    sock = _connect(family, address, timeout / len(addresses))
                    if prepare is not None:
                        _prepare(sock, prepare)
                    return Connection(self._secure(sock, target) if target.scheme == "https" else sock)
                except OSError:
                    if tried == len(addresses):
                        raise
        except Timeout as expired:
            if expired is not timer:
                raise
        finally:
            timer.close()
        raise ConnectTimedOut(f"no connection within {timeout:g} s")

    def _secure(self, sock: socket.socket, target: Target) -> socket.socket:
        secured = self._context.wrap_socket(sock, server_hostname=target.host, do_handshake_on_connect=False)
        try:
            secured.do_handshake()
        except BaseException:
            secured.close()
            raise
        return secured

    @cached_property
    def _context(self) -> gevent.ssl.SSLContext:
        context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and name
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_default_certs()
        context.load_verify_locations(certifi.where())
        return context


def _connect(family: int, address: tuple[object, ...], timeout: float) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(address)
        sock.settimeout(None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException as error:
        sock.close()
        if isinstance(error, TimeoutError):
            raise ConnectTimedOut(f"no connection within {timeout:g} s") from None
        raise
    return sock


def _prepare(sock: socket.socket, prepare: Callable[[socket.socket], None]) -> None:
    try:
        prepare(sock)
    except BaseException:
        sock.close()
        raise


class Pool:
    """Idle connections to one target; the one used last is used first, so the others can age.

    Args:
        clock: ages them.
        idle: seconds an unused one is kept.
    """

    def __init__(self, clock: Clock, idle: float = IDLE) -> None:
        self.open = True
        self._clock = clock
        self._keep = idle
        self._idle: list[Connection] = []
        self._sweeping = False
        self._sweeper = gevent.get_hub().loop.timer(SWEEP, SWEEP, ref=False)

    def __len__(self) -> int:
        return len(self._idle)

    def take(self) -> Connection | None:
        """Give a connection that was left in good order, or None if there is none."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_quiet():
                return connection
            connection.close()
        return None

    def give_back(self, connection: Connection) -> None:
        """Keep a connection whose last exchange ended in good order."""
        if not self.open:
            connection.close()
            return
        connection.idle_since = self._clock.monotonic()
        self._idle.append(connection)
        if not self._sweeping:
            self._sweeping = True
            self._sweeper.start(self._sweep)

    def close(self) -> None:
        """Close what is idle now, and what is given back later."""
        self.open = False
        self._sweeper.stop()
        while self._idle:
            self._idle.pop().close()

    def _sweep(self) -> None:
        # Runs in the hub: must not block.
        now = self._clock.monotonic()
        old = 0
        while old < len(self._idle) and now - self._idle[old].idle_since >= self._keep:
            self._idle[old].close()
            old += 1
        del self._idle[:old]
        if not self._idle:
            self._sweeping = False
            self._sweeper.stop()
