"""One HTTP try: a request to somebody else's server, and whatever came of it.

Nothing here raises for what the other side does: every end has a name, which decides what happens next.

Source for the framing of answers: RFC 9112, read by `hookbox.webhooks.answer`.
"""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote_to_bytes

from gevent.timeout import Timeout

from hookbox.clock import Clock
from hookbox.delivery.egress import BadURL, Blocked, Destination, Policy
from hookbox.delivery.proxy import DENIED, Proxy, ProxyRefused, Tunnel
from hookbox.errors import BadAnswer
from hookbox.webhooks.answer import AnswerReader
from hookbox.webhooks.connections import Connection, ConnectTimedOut, Dialer, Pool
from hookbox.webhooks.resolve import Address, Resolver
from hookbox.webhooks.target import Target

MOST_READ: Final = 64 * 1024
"""Bytes of an answer's body that are read; then the status decides."""
KEEP_IDLE: Final = 30.0
MOST_POOLS: Final = 1000
"""Places to which connections are kept."""
RECEIVE: Final = 16 * 1024
RESET: Final = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


Key = tuple[str, str, int, Proxy | None]
"""Scheme, host and port, and what is in between."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is sent.

    Args:
        headers: all but Host, Content-Length and Authorization from the URL; names and values are checked.
        timeout: seconds for everything, connecting and reading included.
        connect_timeout: seconds for name, connection and TLS.
        query: put behind the URL's own.
        most: bytes of the answer's body that are read.
        errback: whether it tells of trouble, and so may go to the application in any case.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    method: str = "POST"
    timeout: float = 20.0
    connect_timeout: float = 5.0
    query: str = field(default="", repr=False)
    most: int = MOST_READ
    errback: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of it.

    Args:
        outcome: `ok` for any answer, else what went wrong: `dns`, `refused`, `reset`, `unreachable`, `tls`,
            `protocol`, `connect_timeout`, `timeout`, `blocked`.
        status: 0 without an answer.
        body: as much of it as was to be read.
        truncated: whether there was more.
        address: where the connection went, empty without one; the proxy's, if there is a proxy.
        took: seconds.
        detail: one sentence for the operator, empty if all went well.
    """

    outcome: str
    status: int = 0
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    truncated: bool = False
    address: str = ""
    took: float = 0.0
    detail: str = ""

    def header(self, name: str) -> str:
        """The first value of a header, its name in lower case; empty without one."""
        return next((value for key, value in self.headers if key.lower() == name), "")


class Failed(Exception):
    """An end without an answer: its outcome and a sentence."""

    def __init__(self, outcome: str, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome


def _of_the_proxy(failed: Failed) -> Failed:
    """The same, but nobody will take it for the receiver's fault."""
    return Failed(failed.outcome, f"the proxy: {failed}")


class ShortReader(AnswerReader):
    """Reads an answer, but no more of its body than is of use.

    Args:
        most: bytes.
    """

    def __init__(self, most: int = MOST_READ) -> None:
        super().__init__(most)
        self.truncated = False
        self._most = most

    def feed(self, data: bytes) -> None:
        """Take the next bytes; done as soon as there are enough.

        Raises:
            BadAnswer: malformed.
        """
        super().feed(data)
        if self.done and len(self.body) > self._most:
            self.body = self.body[: self._most]
            self.truncated = True
        elif not self.done and self.status >= 200 and len(self._body) + len(self._data) > self._most:
            self.cut()

    def cut(self) -> None:
        """Be done with what there is."""
        self._body += self._data
        del self._body[self._most :]
        self.truncated = True
        self.reusable = False
        self._finish()

    def _check_size(self, size: int) -> None:
        pass


class Sender:
    """Sends to other people's servers, where the policy allows it.

    Args:
        policy: the one in force.
        resolver: looks names up.
        clock: measures, and ages idle connections.
        proxy: what everything goes through now; None for nothing.
    """

    def __init__(
        self,
        policy: Callable[[], Policy],
        resolver: Resolver,
        clock: Clock,
        proxy: Callable[[], Proxy | None] = lambda: None,
    ) -> None:
        self._policy = policy
        self._proxy = proxy
        self._resolver = resolver
        self._clock = clock
        self._dialer = Dialer(resolver)
        self._pools: dict[Key, Pool] = {}

    def send(self, outgoing: Outgoing) -> Sent:
        """Send a request and read the answer, as far as it is of use. Blocks up to its `timeout`."""
        began = self._clock.monotonic()
        trail: list[str] = []
        timer = Timeout.start_new(outgoing.timeout)
        try:
            reader = self._exchange(outgoing, trail)
        except Timeout as expired:
            if expired is not timer:
                raise
            return self._end(began, trail, "timeout", f"no complete answer within {outgoing.timeout:g} s")
        except Failed as failed:
            return self._end(began, trail, failed.outcome, str(failed))
        finally:
            timer.close()
        return Sent(
            "ok",
            reader.status,
            tuple(reader.headers),
            reader.body,
            reader.truncated,
            trail[-1] if trail else "",
            self._clock.monotonic() - began,
        )

    def close(self) -> None:
        """Close what is idle; what is under way goes on."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    def _end(self, began: float, trail: list[str], outcome: str, detail: str) -> Sent:
        took = self._clock.monotonic() - began
        return Sent(outcome, address=trail[-1] if trail else "", took=took, detail=detail)

    def _exchange(self, outgoing: Outgoing, trail: list[str]) -> ShortReader:
        try:
            policy = self._policy()
            destination = policy.check(outgoing.url, errback=outgoing.errback).with_query(outgoing.query)
        except BadURL as error:
            raise Failed("blocked", f"not a URL that can be used: {error}") from None
        except Blocked as error:
            raise Failed("blocked", str(error)) from None
        proxy = None if destination.free else self._proxy()
        if proxy is None:
            return self._send_to(self._judged(destination), None, destination, outgoing, trail)
        addresses = self._addresses_of(proxy)
        if destination.scheme == "https":
            return self._send_to(addresses, proxy, destination, outgoing, trail)
        try:
            reader = self._send_to(addresses, proxy, destination, outgoing, trail)
        except Failed as failed:
            raise _of_the_proxy(failed) from None
        if reader.status == DENIED:
            raise Failed("unreachable", str(ProxyRefused(reader.status, reader.reason)))
        return reader

    def _send_to(
        self,
        addresses: list[Address],
        proxy: Proxy | None,
        destination: Destination,
        outgoing: Outgoing,
        trail: list[str],
    ) -> ShortReader:
        data = _serialize(outgoing, destination, proxy)
        key = (destination.scheme, destination.host, destination.port, proxy)
        pool = self._pool(key)
        connection = pool.take()
        if connection is not None and _peer(connection) in {str(address[0]) for _, address in addresses}:
            trail.append(_peer(connection))
            reader = _converse(connection, pool, data, outgoing.most, fresh=False)
            if reader is not None:
                return reader
        elif connection is not None:
            connection.close()  # the name has moved on
        connection = self._connect(destination, addresses, outgoing.connect_timeout, proxy)
        trail.append(_peer(connection))
        answer = _converse(connection, pool, data, outgoing.most, fresh=True)
        assert answer is not None
        return answer

    def _pool(self, key: Key) -> Pool:
        """Where connections to one place are kept. Those used last are kept longest, as names never end."""
        pool = self._pools.pop(key, None)
        if pool is None:
            pool = Pool(self._clock, KEEP_IDLE)
        self._pools[key] = pool
        if len(self._pools) > MOST_POOLS:
            self._pools.pop(next(iter(self._pools))).close()
        return pool

    def _addresses_of(self, proxy: Proxy) -> list[Address]:
        """Where the operator wants everything to go: nothing to judge there."""
        try:
            return self._resolver.addresses(proxy.host, proxy.port)
        except OSError as error:
            raise _of_the_proxy(Failed("dns", error.strerror or str(error))) from None

    def _judged(self, destination: Destination) -> list[Address]:
        """The addresses that may be connected to; every one of them was judged."""
        try:
            found = self._resolver.addresses(destination.host, destination.port)
        except OSError as error:
            raise Failed("dns", error.strerror or str(error)) from None
        judged = {str(address[0]): ip_address(str(address[0]).partition("%")[0]) for _, address in found}
        try:
            allowed = set(map(str, self._policy().judge(destination, judged.values())))
        except Blocked as error:
            raise Failed("blocked", str(error)) from None
        return [item for item in found if str(judged[str(item[1][0])]) in allowed]

    def _connect(
        self, destination: Destination, addresses: list[Address], timeout: float, proxy: Proxy | None
    ) -> Connection:
        if proxy is None or destination.scheme == "http":
            return self._dial(destination, addresses, timeout)
        tunnel = Tunnel(proxy, destination)
        try:
            return self._dial(destination, addresses, timeout, tunnel)
        except ProxyRefused as error:
            raise Failed("unreachable", str(error)) from None
        except Failed as failed:
            if tunnel.made:
                raise  # it is the target's own
            if tunnel.asked and failed.outcome == "connect_timeout":
                failed = Failed(failed.outcome, f"no answer to CONNECT within {timeout:g} s")
            raise _of_the_proxy(failed) from None

    def _dial(
        self,
        destination: Destination,
        addresses: list[Address],
        timeout: float,
        tunnel: Tunnel | None = None,
    ) -> Connection:
        target = Target(destination.scheme, destination.host, destination.port)
        try:
            return self._dialer.dial(target, timeout, addresses, tunnel)
        except BadAnswer as error:
            raise Failed("protocol", f"unusable answer: {error}") from None
        except ConnectTimedOut as error:
            raise Failed("connect_timeout", str(error)) from None
        except ssl.SSLError as error:
            raise Failed("tls", f"TLS: {error.reason or error}") from None
        except ConnectionRefusedError:
            raise Failed("refused", "connection refused") from None
        except ConnectionError as error:
            raise Failed("reset", error.strerror or str(error)) from None
        except OSError as error:
            raise Failed("unreachable", error.strerror or str(error)) from None


def _converse(
    connection: Connection, pool: Pool, data: bytes, most: int, *, fresh: bool
) -> ShortReader | None:
    """Send and read; None if a kept connection turned out to be closed before any byte of an answer."""
    reader = ShortReader(most)
    received = False
    try:
        _try_to_send(connection, data)
        while not reader.done:
            piece = connection.sock.recv(RECEIVE)
            received = received or bool(piece)
            if piece:
                reader.feed(piece)
            elif not received and not fresh:
                return None
            else:
                _close_in(reader)
    except BadAnswer as error:
        raise Failed("protocol", f"unusable answer: {error}") from None
    except RESET as error:
        if not received and not fresh:
            return None
        if reader.status < 200:
            raise Failed("reset", getattr(error, "strerror", None) or "connection reset") from None
        reader.cut()  # the status was there already, and it decides
    except OSError as error:
        raise Failed("unreachable", error.strerror or str(error)) from None
    finally:
        if reader.done and reader.reusable:
            pool.give_back(connection)
        else:
            connection.close()
    return reader


def _try_to_send(connection: Connection, data: bytes) -> None:
    try:
        connection.sock.sendall(data)
    except RESET:
        pass  # an answer may have come before the other side stopped listening


def _close_in(reader: ShortReader) -> None:
    """The other side closed: an answer whose status was there counts, one without is none."""
    if reader.status == 0:
        raise Failed("reset", "connection closed without an answer")
    try:
        reader.end()
    except BadAnswer:
        if reader.status < 200:
            raise
        reader.cut()


def _serialize(outgoing: Outgoing, destination: Destination, proxy: Proxy | None) -> bytes:
    headers = [
        ("Host", destination.authority),
        *outgoing.headers,
        ("Content-Length", str(len(outgoing.body))),
    ]
    if outgoing.method == "GET":
        headers.pop()
    if destination.userinfo and not any(name.lower() == "authorization" for name, _ in headers):
        headers.append(
            ("Authorization", "Basic " + b64encode(unquote_to_bytes(destination.userinfo)).decode())
        )
    target = destination.target
    if proxy is not None and destination.scheme == "http":
        target = destination.origin + target
        headers.extend(proxy.fields())
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    head = f"{outgoing.method} {target} HTTP/1.1\r\n{lines}\r\n"
    return head.encode("latin-1", "replace") + outgoing.body


def _peer(connection: Connection) -> str:
    try:
        return str(connection.sock.getpeername()[0])
    except OSError:
        return ""
